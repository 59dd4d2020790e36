//! A PostgreSQL of one run of the tests or of one `prepare`: in a temporary folder, on a socket, gone afterwards.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, places, shell};

/// A running cluster with an empty database whose role may make others.
pub struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    user: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes and starts one.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self> {
        let binaries = binaries().ok_or("PostgreSQL is not installed: make setup")?;
        // PostgreSQL refuses to run as root.
        let user = if shell::is_root() { Some((id("-u")?, id("-g")?)) } else { None };
        let folder = std::env::temp_dir().join(format!("agentflow-{}", std::process::id()));
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid))?;
        }
        let cluster = Self { folder, binaries, user };
        let data = cluster.data();
        shell::output(cluster.tool("initdb").arg("-D").arg(&data).args([
            "-U",
            "agentflow",
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--auth",
            "trust",
            "--no-sync",
        ]))?;
        // Fast and forgetful is right for tests, except for what the server itself insists on.
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c fsync=off -c max_connections=300 -c log_min_messages=fatal",
            cluster.folder.display()
        );
        let log = cluster.folder.join("log");
        let mut start = cluster.tool("pg_ctl");
        // Not `output`: the server would keep our end of the pipe open.
        start.arg("-D").arg(&data).arg("-l").arg(log).args(["-o", &options, "-w", "-s", "start"]);
        shell::run(start.stdout(std::process::Stdio::null()))?;
        for statement in ["create role tests login createrole createdb", "create database tests owner tests"] {
            cluster.psql("postgres", "agentflow", &["-c", statement])?;
        }
        Ok(cluster)
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        let folder: String = self
            .folder
            .to_string_lossy()
            .chars()
            .map(|c| if c == '/' { "%2F".to_owned() } else { c.to_string() })
            .collect();
        format!("postgres://tests@localhost/tests?host={folder}")
    }

    /// Applies the migrations to its database.
    ///
    /// # Errors
    /// When one fails.
    pub fn migrate(&self) -> Result {
        let mut migrations = Vec::new();
        shell::files(&places::root().join("migrations"), &mut migrations);
        for migration in migrations {
            let text = fs::read_to_string(&migration)?;
            let mut arguments = vec!["-c", text.as_str()];
            // As the server's migrator does it.
            if !text.starts_with("-- no-transaction") {
                arguments.push("-1");
            }
            self.psql("tests", "tests", &arguments)?;
        }
        Ok(())
    }

    fn psql(&self, database: &str, role: &str, arguments: &[&str]) -> Result {
        let mut command = self.tool("psql");
        command.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", role, "-d", database, "-h"]).arg(&self.folder);
        shell::output(command.args(arguments)).map(drop)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn tool(&self, name: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir("/");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.tool("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-m", "immediate", "-w", "-s", "stop"]);
        if let Err(error) = shell::run(&mut stop) {
            eprintln!("{error}");
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn id(flag: &str) -> Result<u32> {
    Ok(shell::output(Command::new("id").args([flag, "postgres"]))?.trim().parse()?)
}

/// The oldest major version that the server takes.
const OLDEST: u32 = 15;

/// The folder with the newest PostgreSQL's binaries.
pub fn binaries() -> Option<PathBuf> {
    if let Some(named) = places::variable("PG_BIN_DIR") {
        return Some(PathBuf::from(named));
    }
    let complete =
        |folder: &Path| ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|name| folder.join(name).is_file());
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let folder = entry.path().join("bin");
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.trim_start_matches("postgresql@").parse().unwrap_or(0);
            if version >= OLDEST && complete(&folder) {
                found.push((version, folder));
            }
        }
    }
    found.sort();
    let newest = found.pop().map(|(_, folder)| folder);
    newest.or_else(|| shell::which("initdb")?.parent().filter(|folder| complete(folder)).map(Path::to_owned))
}
