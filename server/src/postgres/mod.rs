//! The private PostgreSQL: without `DATABASE_URL` the server keeps a cluster of its own.
//!
//! It lives in the data folder, listens on a Unix socket and nowhere else, and is started and stopped with the server.
//! A lock on the folder says who keeps it: the first process does, and others (such as `agentflow admin …` beside a
//! running server) are guests. What a killed server left behind is stopped in an orderly way before a new start.
//! PostgreSQL refuses to run as root, so a server that is root runs it as the user `postgres`.

mod binaries;
pub mod folder;
mod keeper;

use std::{fs::File, path::Path, time::Duration};

use agentflow::db;
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::{Instant, sleep};

use crate::{config::Database, startup::Trouble};
use binaries::Binaries;
use folder::Folder;
use keeper::Keeper;

/// How long a start may take: after a power cut, PostgreSQL first repeats what its log holds.
const START: Duration = Duration::from_secs(120);

/// A private cluster that answers.
pub struct Private {
    url: String,
    keeper: Option<Keeper>,
    folder: Folder,
    binaries: Option<Binaries>,
    /// Held as long as this process keeps the cluster.
    _lock: Option<File>,
}

impl Private {
    /// Makes the cluster if there is none, starts it if it is not running, and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, the folder cannot be used, or PostgreSQL does not start.
    pub async fn open(config: &Database) -> Result<Self, Trouble> {
        let folder = Folder::open(config).await?;
        let Some(lock) = folder.lock()? else {
            // Somebody else keeps it: be a guest.
            wait_until_ready(&folder, None).await?;
            return Ok(Self { url: url(&folder), keeper: None, folder, binaries: None, _lock: None });
        };
        let binaries = Binaries::find(config, folder.version().as_deref()).await?;
        tracing::info!(folder = %folder.root().display(), postgres = %binaries.version, "keeping a private PostgreSQL");
        if !folder.has_cluster() {
            create(&folder, &binaries).await?;
        }
        stop_leftover(&folder, &binaries).await?;
        let keeper = Keeper::start(&folder, &binaries)?;
        wait_until_ready(&folder, Some(&keeper)).await?;
        Ok(Self { url: url(&folder), keeper: Some(keeper), folder, binaries: Some(binaries), _lock: Some(lock) })
    }

    /// Its address, for a role that owns the schema.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One of PostgreSQL's other programs as a superuser of this cluster, if this process keeps the cluster and the
    /// program is installed.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<tokio::process::Command> {
        let mut command = self.folder.command(&self.binaries.as_ref()?.program(name)?);
        command.env("PGHOST", self.folder.socket()).env("PGUSER", "postgres").env("PGDATABASE", "agentflow");
        Some(command)
    }

    /// Stops it, if this process keeps it.
    pub async fn close(self) {
        if let Some(keeper) = self.keeper {
            keeper.stop().await;
        }
    }
}

/// The address as text. The socket's folder is a parameter, so any path is possible.
fn url(folder: &Folder) -> String {
    let socket: String = url::form_urlencoded::byte_serialize(folder.socket().to_string_lossy().as_bytes()).collect();
    format!("postgres://agentflow@localhost/agentflow?sslmode=disable&host={socket}")
}

/// Makes a cluster under another name and then gives it its own: one that was begun and not finished is never used.
async fn create(folder: &Folder, binaries: &Binaries) -> Result<(), Trouble> {
    let draft = folder.draft();
    let mut last = String::new();
    // Not every system knows the first locale; the second is everywhere.
    for locale in ["C.UTF-8", "C"] {
        folder.remove_draft()?;
        let output = folder
            .command(&binaries.initdb())
            .arg("--pgdata")
            .arg(&draft)
            .args(["--username", "postgres", "--encoding", "UTF8", "--locale", locale, "--data-checksums"])
            .args(["--auth-local", "trust", "--auth-host", "reject"])
            .output()
            .await
            .map_err(|error| Trouble::new(format!("PostgreSQL's initdb does not start: {error}."), ""))?;
        if output.status.success() {
            return std::fs::rename(&draft, folder.data())
                .map_err(|error| folder::unusable(folder.root(), &error.to_string()));
        }
        last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(Trouble::new(
        format!("PostgreSQL could not make its files in {}:\n  {last}", folder.root().display()),
        "Mend that, name another folder with AGENTFLOW_DATA_DIR, or name a database with DATABASE_URL.",
    ))
}

/// Stops the PostgreSQL that a killed server left behind, and makes the trace of one that is gone harmless.
async fn stop_leftover(folder: &Folder, binaries: &Binaries) -> Result<(), Trouble> {
    let trace = folder.data().join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&trace) else { return Ok(()) };
    let (pid, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let alive = match pid.trim().parse::<u32>() {
        Ok(pid) => is_postgres_of(pid, folder.data()).await,
        Err(_) => false,
    };
    if alive {
        tracing::warn!("a PostgreSQL of an earlier server is still running: stopping it first");
        keeper::pg_ctl_stop(folder, binaries).await;
    } else {
        tracing::warn!("PostgreSQL was not stopped cleanly: it will repeat what its log holds");
        // The number may belong to somebody else by now, which PostgreSQL would take for itself, and refuse. Its parent's
        // number it knows to be a chance. The rest of the trace stays: by it PostgreSQL finds what is left of its
        // processes, and waits for their end.
        std::fs::write(&trace, format!("{}\n{rest}", std::process::id()))
            .map_err(|error| folder::unusable(&trace, &error.to_string()))?;
        // The same for the socket, whose folder nobody else uses: its lock says nothing that the one of the data does not.
        for file in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
            drop(std::fs::remove_file(folder.socket().join(file)));
        }
    }
    Ok(())
}

/// Whether this process is a PostgreSQL on this folder.
async fn is_postgres_of(pid: u32, data: &Path) -> bool {
    let proc = Path::new("/proc");
    let arguments = if proc.join("self").exists() {
        std::fs::read(proc.join(pid.to_string()).join("cmdline")).unwrap_or_default()
    } else {
        let listed = tokio::process::Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().await;
        listed.map(|output| output.stdout).unwrap_or_default()
    };
    String::from_utf8_lossy(&arguments).contains(&*data.to_string_lossy())
}

/// Waits until it answers, and makes the role and the database that the server works with.
async fn wait_until_ready(folder: &Folder, keeper: Option<&Keeper>) -> Result<(), Trouble> {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(folder.socket())
        .username("postgres")
        .database("postgres")
        .ssl_mode(PgSslMode::Disable)
        .application_name("agentflow");
    let begun = Instant::now();
    loop {
        match PgConnection::connect_with(&options).await {
            Ok(connection) => {
                return db::found(connection)
                    .await
                    .map_err(|error| Trouble::new(format!("The private PostgreSQL refuses: {error}."), ""));
            }
            Err(error) if begun.elapsed() > START => {
                return Err(Trouble::new(format!("The private PostgreSQL does not answer: {error}."), ""));
            }
            Err(_) => {}
        }
        if let Some(words) = keeper.and_then(Keeper::failed) {
            return Err(Trouble::new(
                format!("The private PostgreSQL in {} does not start:\n  {words}", folder.root().display()),
                "Mend that, or name a database with DATABASE_URL.",
            ));
        }
        sleep(Duration::from_millis(30)).await;
    }
}
