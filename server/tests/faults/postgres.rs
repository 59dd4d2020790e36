//! A PostgreSQL of the harness's own, that it stops hard and starts again. As careful as a real one: `fsync` is on.

use std::{
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tempfile::TempDir;
use tokio::process::Command;

/// The role of the operator, whom row-level security does not bind.
const OPERATOR: &str = "operator";

/// A cluster in a folder of its own, on a socket and nowhere else.
pub struct Postgres {
    folder: TempDir,
    binaries: PathBuf,
    user: Option<(u32, u32)>,
}

impl Postgres {
    /// Makes a cluster with an empty database `agentflow` and starts it.
    pub async fn make(binaries: Option<PathBuf>) -> Self {
        let folder = TempDir::with_prefix("agentflow-faults-").expect("a temporary folder");
        let binaries = binaries.or_else(newest).expect("PostgreSQL: make setup, or name its folder in PG_BIN_DIR");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("the folder's mode");
        // PostgreSQL refuses to run as root.
        let user = if id("-u", None).await == 0 {
            Some((id("-u", Some("postgres")).await, id("-g", Some("postgres")).await))
        } else {
            None
        };
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("the folder's owner");
        }
        let made = Self { folder, binaries, user };
        let mut initdb = made.tool("initdb");
        initdb
            .arg("-D")
            .arg(made.data())
            .args(["-U", OPERATOR, "-E", "UTF8", "--locale", "C.UTF-8", "--auth", "trust"]);
        run(initdb).await;
        made.start().await;
        for statement in
            ["create role agentflow login createrole createdb", "create database agentflow owner agentflow"]
        {
            made.psql("postgres", statement).await;
        }
        made
    }

    /// Starts it, and waits until it answers: after a hard stop it first repeats what its log holds.
    pub async fn start(&self) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c fsync=on -c max_connections=200 -c shared_buffers=64MB",
            self.folder.path().display()
        );
        let mut start = self.tool("pg_ctl");
        start.arg("-D").arg(self.data()).arg("-l").arg(self.folder.path().join("log"));
        start.args(["-o", &options, "-w", "-t", "60", "-s", "start"]);
        run(start).await;
    }

    /// Stops it as a power cut would: nobody is waited for, nothing is written down.
    pub async fn stop_hard(&self) {
        let mut stop = self.tool("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "-s", "stop"]);
        run(stop).await;
    }

    /// The address for servers: a role that owns the schema, and is no superuser.
    pub fn url(&self, database: &str) -> String {
        let host = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://agentflow@localhost/{database}?host={host}&sslmode=disable")
    }

    /// A pool of the operator's, who sees all organizations.
    pub async fn operator(&self, database: &str) -> PgPool {
        let options =
            PgConnectOptions::new_without_pgpass().socket(self.folder.path()).username(OPERATOR).database(database);
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(2));
        pool.connect_lazy_with(options)
    }

    /// Writes the database down as it is at this moment.
    pub async fn dump(&self, name: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{name}.dump"));
        let mut dump = self.tool("pg_dump");
        dump.args(["-Fc", "-U", OPERATOR, "-d", "agentflow", "-h"]).arg(self.folder.path()).arg("-f").arg(&file);
        run(dump).await;
        file
    }

    /// Makes an empty database.
    pub async fn create(&self, database: &str) {
        self.psql("postgres", &format!("create database {database} owner agentflow")).await;
    }

    /// Makes a database out of a dump.
    pub async fn restore(&self, file: &Path, database: &str) {
        self.create(database).await;
        let mut restore = self.tool("pg_restore");
        restore.args(["-U", OPERATOR, "-d", database, "-h"]).arg(self.folder.path()).arg(file);
        run(restore).await;
    }

    async fn psql(&self, database: &str, statement: &str) {
        let mut psql = self.tool("psql");
        psql.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", OPERATOR, "-d", database, "-h"]);
        psql.arg(self.folder.path()).args(["-c", statement]);
        run(psql).await;
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.tool("pg_ctl").into_std();
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "-s", "stop"]);
        // It may be stopped already.
        drop(stop.stderr(Stdio::null()).status());
    }
}

async fn run(mut command: Command) {
    // Not its pipes: a started server would keep them open.
    let status = command.status().await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

async fn id(flag: &str, user: Option<&str>) -> u32 {
    let output = Command::new("id").arg(flag).args(user).output().await.expect("id");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("the id of a user")
}

/// The folder of the newest PostgreSQL that is installed where packages put it.
fn newest() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let version = entry.file_name().to_string_lossy().parse().unwrap_or(0);
        let folder = entry.path().join("bin");
        if folder.join("initdb").is_file() {
            found.push((version, folder));
        }
    }
    found.into_iter().max().map(|(_, folder)| folder)
}
