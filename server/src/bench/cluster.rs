//! A PostgreSQL of the benchmark's own, in a temporary folder: made like the private one, with the same settings (it
//! keeps what it confirms), and removed afterwards.

use std::path::PathBuf;

use crate::{
    config::{Config, Database},
    postgres::Private,
    startup::Trouble,
};

/// A running cluster.
pub struct Cluster {
    folder: PathBuf,
    private: Private,
}

impl Cluster {
    /// Makes and starts one.
    ///
    /// # Errors
    /// When a database of the operator's is named, or PostgreSQL does not start.
    pub async fn start(config: &Config) -> Result<Self, Trouble> {
        if config.database.url.is_some() {
            return Err(Trouble::new(
                "The benchmark fills a database with millions of rows, so it works in a PostgreSQL of its own alone.",
                "Run it without DATABASE_URL.",
            ));
        }
        let folder = std::env::temp_dir().join(format!("agentflow-bench-{}", std::process::id()));
        let database = Database { data_dir: Some(folder.clone()), ..config.database.clone() };
        let private = Private::open(&database).await?;
        Ok(Self { folder, private })
    }

    /// Its address, for a role that owns the schema.
    pub fn url(&self) -> &str {
        self.private.url()
    }

    /// Its address, for its superuser: only such a one may fill tables without their triggers.
    pub fn superuser_url(&self) -> String {
        self.private.url().replacen("agentflow@", "postgres@", 1)
    }

    /// One of PostgreSQL's programs, connected with this cluster, where it is installed.
    pub fn program(&self, name: &str) -> Option<tokio::process::Command> {
        self.private.program(name)
    }

    /// A folder that PostgreSQL's programs can read.
    pub fn folder(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Stops it, and takes away all that it wrote.
    pub async fn remove(self) {
        self.private.close().await;
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{} could not be removed: {error}", self.folder.display());
        }
    }
}
