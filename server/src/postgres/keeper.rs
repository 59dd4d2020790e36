//! Keeps PostgreSQL running: a thread of its own starts it, reads its log, and starts it again if it ends by itself.
//!
//! The thread matters. On Linux, PostgreSQL is told to stop when the thread that started it is gone (`setpriv
//! --pdeathsig`), so it must live as long as the process; then even a server that is killed leaves no PostgreSQL behind.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{binaries::Binaries, folder::Folder};
use crate::startup::Trouble;

/// Lines of its log that are kept to explain a start that failed.
const KEPT: usize = 8;

/// How long the processes of a killed predecessor may take to end.
const LEFT_OVER: Duration = Duration::from_secs(20);

/// A PostgreSQL that is kept running.
pub struct Keeper {
    shared: Arc<Shared>,
    folder: Folder,
    binaries: Binaries,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    ended: AtomicBool,
    words: Mutex<VecDeque<String>>,
}

impl Keeper {
    /// Starts it.
    ///
    /// # Errors
    /// When the system starts no thread or no process.
    pub fn start(folder: &Folder, binaries: &Binaries) -> Result<Self, Trouble> {
        let failed = |error: std::io::Error| Trouble::new(format!("PostgreSQL does not start: {error}."), "");
        let shared = Arc::new(Shared::default());
        let (to_thread, of_thread) = (shared.clone(), (folder.clone(), binaries.clone()));
        let thread = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || keep(&to_thread, &of_thread.0, &of_thread.1))
            .map_err(failed)?;
        Ok(Self { shared, folder: folder.clone(), binaries: binaries.clone(), thread })
    }

    /// The last words of a start that failed.
    pub fn failed(&self) -> Option<String> {
        if !self.shared.ended.load(Ordering::Acquire) {
            return None;
        }
        let words = self.shared.words.lock().unwrap_or_else(PoisonError::into_inner);
        Some(words.iter().cloned().collect::<Vec<_>>().join("\n  "))
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.shared.stopping.store(true, Ordering::Release);
        pg_ctl_stop(&self.folder, &self.binaries).await;
        let thread = self.thread;
        drop(tokio::task::spawn_blocking(move || thread.join()).await);
    }
}

/// Asks PostgreSQL to end its sessions and stop, and waits until it has.
pub async fn pg_ctl_stop(folder: &Folder, binaries: &Binaries) {
    let stopped = folder
        .command(&binaries.pg_ctl())
        .arg("stop")
        .arg("--pgdata")
        .arg(folder.data())
        .args(["--mode", "fast", "--wait", "--timeout", "60", "--silent"])
        .output()
        .await;
    match stopped {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            tracing::warn!(words = %String::from_utf8_lossy(&output.stderr).trim(), "PostgreSQL does not stop")
        }
        Err(error) => tracing::warn!(%error, "pg_ctl does not start"),
    }
}

/// What the thread does: start, read, and start again unless it was stopped.
fn keep(shared: &Shared, folder: &Folder, binaries: &Binaries) {
    let mut was_up = false;
    let begun = Instant::now();
    loop {
        match spawn(folder, binaries) {
            Ok(child) => was_up |= follow(child, shared),
            Err(error) => remember(shared, format!("{}: {error}", binaries.postgres().display())),
        }
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        if !was_up && left_over(shared) && begun.elapsed() < LEFT_OVER {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        if !was_up {
            // It never answered: whoever waits for it is told.
            shared.ended.store(true, Ordering::Release);
            return;
        }
        tracing::error!("the private PostgreSQL has ended by itself: starting it again");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Whether it has just said that processes of a killed predecessor are still at their end.
fn left_over(shared: &Shared) -> bool {
    let words = shared.words.lock().unwrap_or_else(PoisonError::into_inner);
    words.iter().any(|line| line.contains("is still in use"))
}

fn spawn(folder: &Folder, binaries: &Binaries) -> std::io::Result<Child> {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut command = if setpriv.is_file() {
        let mut command = folder.command(setpriv).into_std();
        // SIGINT: end the sessions, write everything down, stop.
        command.args(["--pdeathsig", "INT", "--"]).arg(binaries.postgres());
        command
    } else {
        folder.command(&binaries.postgres()).into_std()
    };
    settings(&mut command, folder);
    // Its own group: Ctrl-C in the terminal is for the server, which then stops PostgreSQL after its last statement.
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

fn settings(command: &mut Command, folder: &Folder) {
    command.arg("-D").arg(folder.data());
    let mut socket = std::ffi::OsString::from("unix_socket_directories=");
    socket.push(folder.socket());
    command.arg("-c").arg(socket);
    for setting in [
        "port=5432",
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "fsync=on",
        "full_page_writes=on",
        "synchronous_commit=on",
        "max_connections=100",
        "logging_collector=off",
        "log_destination=stderr",
        "log_line_prefix=",
        // What a statement held stays out of the log.
        "log_min_error_statement=panic",
    ] {
        command.args(["-c", setting]);
    }
}

/// Carries its log over to ours until it ends. Whether it was ever ready.
fn follow(mut child: Child, shared: &Shared) -> bool {
    let mut was_up = false;
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let Ok(line) = line else { break };
        was_up |= line.contains("ready to accept connections");
        // Being asked while it starts or stops is no trouble.
        let usual = line.ends_with("starting up") || line.ends_with("shutting down");
        if !usual && ["ERROR:", "FATAL:", "PANIC:"].iter().any(|level| line.starts_with(level)) {
            tracing::warn!(target: "postgres", "{line}");
        } else {
            tracing::debug!(target: "postgres", "{line}");
        }
        remember(shared, line);
    }
    drop(child.wait());
    was_up
}

fn remember(shared: &Shared, line: String) {
    let mut words = shared.words.lock().unwrap_or_else(PoisonError::into_inner);
    if words.len() == KEPT {
        words.pop_front();
    }
    words.push_back(line);
}
