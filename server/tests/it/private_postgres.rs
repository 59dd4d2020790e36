//! The PostgreSQL that a server keeps for itself, with the real binary: made, found again after a kill, stopped cleanly.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::Connection;
use tempfile::TempDir;

/// A server with its own data folder.
pub struct Server {
    process: Child,
    /// Where it answers, without a slash at the end.
    pub url: String,
}

impl Server {
    pub fn start(data: &Path) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("port").port();
        let mut process = Command::new(env!("CARGO_BIN_EXE_agentflow"))
            .arg("serve")
            .env_remove("DATABASE_URL")
            .env("AGENTFLOW_DATA_DIR", data)
            .env("AGENTFLOW_ADDRESS", format!("127.0.0.1:{port}"))
            .env("AGENTFLOW_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut words = String::new();
        let stdout = process.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut words).expect("its first words");
        assert!(words.contains("is ready"), "{words:?}");
        Self { process, url: format!("http://127.0.0.1:{port}") }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    pub async fn ready(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a test asks its own server")]
        let client = reqwest::Client::new();
        client.get(format!("{}/health/ready", self.url)).send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    // Run by root, PostgreSQL is another user, who must reach it.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("mode");
    folder
}

/// Does this in the cluster of a server that is running.
async fn statement(data: &Path, text: &str) -> Option<i64> {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .socket(data.join("postgres/socket"))
        .username("agentflow")
        .database("agentflow");
    let mut connection = sqlx::PgConnection::connect_with(&options).await.expect("its database answers");
    sqlx::query_scalar(sqlx::AssertSqlSafe(text.to_owned())).fetch_optional(&mut connection).await.expect("statement")
}

fn postgres_runs(data: &Path) -> bool {
    let listed = Command::new("ps").args(["-e", "-o", "args="]).output().expect("ps");
    let needle = format!("-D {}", data.join("postgres/data").display());
    String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.contains("postgres") && line.contains(&needle))
}

#[tokio::test]
async fn a_server_that_was_killed_finds_its_data_again_and_one_that_was_stopped_leaves_nothing_running() {
    let data = folder();
    let first = Server::start(data.path());
    assert!(first.ready().await);
    statement(data.path(), "create table kept as select 7::bigint as n").await;

    first.signal("-KILL");
    drop(first);
    let second = Server::start(data.path());
    assert!(second.ready().await);
    assert_eq!(statement(data.path(), "select n from kept").await, Some(7));

    // An unclean end of both: nobody had the time to write anything down.
    let trace = std::fs::read_to_string(data.path().join("postgres/data/postmaster.pid")).expect("postmaster.pid");
    let postmaster = trace.lines().next().expect("a process").to_owned();
    second.signal("-KILL");
    assert!(Command::new("kill").args(["-KILL", &postmaster]).status().expect("kill").success());
    drop(second);
    let mut third = Server::start(data.path());
    assert!(third.ready().await);
    assert_eq!(statement(data.path(), "select n from kept").await, Some(7));

    third.signal("-TERM");
    let begun = Instant::now();
    let status = third.process.wait().expect("an end");
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!postgres_runs(data.path()));
}

#[tokio::test]
async fn a_postgres_that_ends_by_itself_is_started_again() {
    let data = folder();
    let server = Server::start(data.path());
    statement(data.path(), "create table kept as select 7::bigint as n").await;
    let trace = std::fs::read_to_string(data.path().join("postgres/data/postmaster.pid")).expect("postmaster.pid");
    let postmaster = trace.lines().next().expect("a process").to_owned();
    assert!(Command::new("kill").args(["-INT", &postmaster]).status().expect("kill").success());
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    while !server.ready().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "the database does not come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(statement(data.path(), "select n from kept").await, Some(7));
}

#[tokio::test]
async fn the_master_key_is_made_once_beside_the_cluster_and_never_silently_another() {
    use std::os::unix::fs::PermissionsExt;
    let data = folder();
    let file = data.path().join("master.key");
    let server = Server::start(data.path());
    let made = std::fs::read_to_string(&file).expect("the key's file");
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    agentflow::credentials::MasterKey::parse(&made).expect("a key");
    assert!(std::fs::read_dir(data.path()).expect("the folder").count() <= 2, "a draft is left");
    // Something is sealed under it.
    statement(data.path(), "alter table data_keys no force row level security").await;
    statement(data.path(), "insert into organizations (id, name, slug) values (gen_random_uuid(), 'Acme', 'acme')")
        .await;
    let id = agentflow::credentials::MasterKey::parse(&made).expect("a key").id().to_owned();
    let seal = format!("insert into data_keys select id, 1, '{id}', 'x' from organizations");
    statement(data.path(), &seal).await;
    server.signal("-TERM");
    drop(server);
    let again = Server::start(data.path());
    assert_eq!(std::fs::read_to_string(&file).expect("the key's file"), made);
    again.signal("-TERM");
    drop(again);
    // Without it, no other one is made in its place; another one is refused.
    std::fs::remove_file(&file).expect("removed");
    assert!(refusal(data.path()).contains("no master key to open them with"));
    assert!(!file.exists());
    std::fs::write(&file, agentflow::credentials::MasterKey::generate().export().as_bytes()).expect("written");
    assert!(refusal(data.path()).contains("does not fit the database"));
    std::fs::write(&file, made).expect("written");
    assert!(Server::start(data.path()).ready().await);
}

/// What a server says that does not start.
fn refusal(data: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_agentflow"))
        .arg("serve")
        .env_remove("DATABASE_URL")
        .env("AGENTFLOW_DATA_DIR", data)
        .env("AGENTFLOW_ADDRESS", "127.0.0.1:0")
        .env("AGENTFLOW_LOG", "error")
        .output()
        .expect("the server starts");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
