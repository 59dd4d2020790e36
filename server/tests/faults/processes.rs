//! The built binary, as several processes on one database: started, killed, stopped, continued, told to end.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// How long a lease lasts in here, in milliseconds; the heartbeat and the reaper go with it.
pub const LEASE_MS: u64 = 3_000;
const HEARTBEAT_MS: u64 = 750;
/// The pause between looks for lost nodes.
pub const REAPER_MS: u64 = 500;
/// How long a process may take until it is ready.
const READY: Duration = Duration::from_secs(40);

/// What all processes are started with.
#[derive(Clone)]
pub struct Settings {
    /// The binary.
    pub binary: PathBuf,
    /// The database.
    pub database_url: String,
    /// `host:port` of the fake tool server.
    pub tools: String,
    /// The base address of the fake model.
    pub model: String,
}

/// Processes by their place; each keeps its port.
pub struct Fleet {
    settings: Settings,
    slots: Vec<Mutex<Slot>>,
    /// For asking them.
    pub http: reqwest::Client,
}

struct Slot {
    port: u16,
    role: &'static str,
    /// Another binary than the others'.
    binary: Option<PathBuf>,
    /// Variables of the environment for this one alone.
    extra: BTreeMap<String, String>,
    child: Option<Child>,
    /// Since when nothing was done to it and it is ready.
    calm_since: Option<Instant>,
    /// How often it ended by itself.
    own_exits: u32,
}

impl Fleet {
    /// Processes of these roles, none of them started.
    pub fn new(settings: Settings, roles: &[&'static str]) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .connect_timeout(Duration::from_secs(1))
            .build()
            .expect("a client");
        let slots = roles.iter().map(|role| {
            Mutex::new(Slot {
                port: free_port(),
                role,
                binary: None,
                extra: BTreeMap::new(),
                child: None,
                calm_since: None,
                own_exits: 0,
            })
        });
        Self { settings, slots: slots.collect(), http }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// The places of those that answer requests.
    pub fn serving(&self) -> Vec<usize> {
        (0..self.count()).filter(|place| self.slot(*place).role != "worker").collect()
    }

    /// The places of those that work on runs.
    pub fn working(&self) -> Vec<usize> {
        (0..self.count()).filter(|place| self.slot(*place).role != "web").collect()
    }

    /// The address of a path at a process.
    pub fn url(&self, place: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.slot(place).port)
    }

    /// Gives one process variables of its own, from its next start on.
    pub fn set_extra(&self, place: usize, extra: &[(&str, String)]) {
        self.slot(place).extra = extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    }

    /// Another binary for one process from its next start on; none: that of all.
    pub fn set_binary(&self, place: usize, binary: Option<PathBuf>) {
        self.slot(place).binary = binary;
    }

    /// Starts a process and waits until it is ready. `false`: it was not within its time.
    pub async fn start(&self, place: usize) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if self.pid(place).is_none() {
                let child = self.spawn(place);
                self.slot(place).child = Some(child);
            }
            if self.is_ready(place).await {
                self.slot(place).calm_since = Some(Instant::now());
                return true;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        false
    }

    /// Starts all of them.
    pub async fn start_all(&self) -> bool {
        let started = futures::future::join_all((0..self.count()).map(|place| self.start(place))).await;
        started.into_iter().all(|ready| ready)
    }

    fn spawn(&self, place: usize) -> Child {
        let log = self.log(place);
        let slot = self.slot(place);
        let Settings { binary, database_url, tools, model } = &self.settings;
        let mut command = Command::new(slot.binary.as_ref().unwrap_or(binary));
        command
            .args(["serve", "--role", slot.role])
            .env("DATABASE_URL", database_url)
            .env("HOSTNAME", format!("slot{place}"))
            .env("AGENTFLOW_ADDRESS", format!("127.0.0.1:{}", slot.port))
            .env("AGENTFLOW_LEASE_MS", LEASE_MS.to_string())
            .env("AGENTFLOW_HEARTBEAT_MS", HEARTBEAT_MS.to_string())
            .env("AGENTFLOW_REAPER_MS", REAPER_MS.to_string())
            .env("AGENTFLOW_DATABASE_CONNECTIONS", "10")
            .env("AGENTFLOW_ALLOWED_HOSTS", tools)
            .env("AGENTFLOW_MODEL_BASE_URL", model)
            .env("AGENTFLOW_MODELS", "fake")
            .env("AGENTFLOW_LOG", "warn")
            .env("AGENTFLOW_LOG_FORMAT", "text")
            .envs(&slot.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        command.spawn().expect("the binary starts")
    }

    /// What a process says goes into a file, where one is asked for.
    fn log(&self, place: usize) -> Stdio {
        let Some(folder) = crate::options::log_folder() else { return Stdio::null() };
        let path = folder.join(format!("slot{place}-{}.log", self.slot(place).port));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.map_or_else(|_| Stdio::null(), Stdio::from)
    }

    /// Whether it is ready at this moment.
    pub async fn is_ready(&self, place: usize) -> bool {
        let asked = self.http.get(self.url(place, "/health/ready")).timeout(Duration::from_secs(3)).send().await;
        asked.is_ok_and(|reply| reply.status().is_success())
    }

    /// The id of a living process.
    pub fn pid(&self, place: usize) -> Option<u32> {
        let mut slot = self.slot(place);
        let child = slot.child.as_mut()?;
        if let Ok(Some(_)) = child.try_wait() {
            slot.child = None;
            slot.own_exits += 1;
            return None;
        }
        child.id()
    }

    /// SIGKILL, without waiting for anything. Gives the process that was hit.
    pub fn kill_now(&self, place: usize) -> Option<Child> {
        let mut slot = self.slot(place);
        slot.calm_since = None;
        let mut child = slot.child.take()?;
        // A process that has just ended by itself is as dead.
        let _ = child.start_kill();
        Some(child)
    }

    /// SIGKILL: no word of farewell.
    pub async fn kill(&self, place: usize) {
        if let Some(mut child) = self.kill_now(place) {
            let _ = child.wait().await;
        }
    }

    /// Sends a signal.
    pub fn signal(&self, place: usize, signal: Signal) {
        self.slot(place).calm_since = None;
        let pid = self.pid(place).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
    }

    /// SIGKILL for each of them.
    pub async fn kill_all(&self) {
        for place in 0..self.count() {
            self.kill(place).await;
        }
    }

    /// Waits for the end of a process that was told to, and says how it ended.
    pub async fn ended(&self, place: usize, within: Duration) -> Option<std::process::ExitStatus> {
        let mut child = self.slot(place).child.take()?;
        let ended = tokio::time::timeout(within, child.wait()).await;
        ended.ok()?.ok()
    }

    /// From now on nothing is done to it.
    pub fn calm(&self, place: usize) {
        self.slot(place).calm_since = Some(Instant::now());
    }

    /// Something happens to all of them, as when the database goes.
    pub fn disturb_all(&self) {
        for place in 0..self.count() {
            self.slot(place).calm_since = None;
        }
    }

    /// Whether nothing was done to it since a moment.
    pub fn was_calm_since(&self, place: usize, moment: Instant) -> bool {
        self.slot(place).calm_since.is_some_and(|since| since + Duration::from_millis(500) <= moment)
    }

    /// How often processes ended by themselves.
    pub fn own_exits(&self) -> u32 {
        (0..self.count())
            .map(|place| {
                let _ = self.pid(place);
                self.slot(place).own_exits
            })
            .sum()
    }

    /// The process that a connection to one of the harness's ports comes from.
    pub fn place_of_peer(&self, peer: u16) -> Option<usize> {
        let inode = inode_of(peer)?;
        let wanted = format!("socket:[{inode}]");
        (0..self.count()).find(|place| {
            let Some(pid) = self.pid(*place) else { return false };
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            open.filter_map(|entry| std::fs::read_link(entry.path()).ok())
                .any(|target| target.to_str() == Some(wanted.as_str()))
        })
    }

    fn slot(&self, place: usize) -> std::sync::MutexGuard<'_, Slot> {
        self.slots[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket that has this local port, as the kernel lists it.
fn inode_of(port: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let end = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        local.ends_with(&end).then(|| fields.nth(7)?.parse().ok()).flatten()
    })
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|probe| probe.local_addr()).expect("a free port").port()
}
