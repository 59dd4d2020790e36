//! A node: the part of a server process that works on runs. It claims runs whose time has come, gives each to an
//! [`actor`], keeps its lease alive, and frees the runs of nodes that are lost.

mod actor;
mod clock;
mod doors;
mod first;
mod locks;
mod tasks;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    handle::Engine,
    machine::{Effect, Machine, POISON},
    port::Effects,
    store::{self, Claim, Fresh, NewRun, Plans, Room, Round},
    writer::Writer,
};
use crate::kernel::{NodeId, Result};

use clock::DbClock;
use doors::Doors;

/// How a node works. The defaults are those of the guarantees.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the lease lasts without a heartbeat.
    pub lease: Duration,
    /// The pause between heartbeats.
    pub heartbeat: Duration,
    /// The pause between looks for lost nodes.
    pub reaper: Duration,
    /// The pause between looks for work that no notification told of.
    pub poll: Duration,
    /// The most runs at work at the same time.
    pub max_runs: usize,
    /// The most model and tool calls at the same time.
    pub max_calls: usize,
    /// How many processes in a row may die under a call until it is given up.
    pub poison: u32,
    /// How many runs of an organization may be at work at once on all nodes, where it has no limit of its own.
    pub max_runs_per_organization: Option<u32>,
    /// How long a clean stop waits for calls that are under way.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            heartbeat: Duration::from_secs(5),
            reaper: Duration::from_secs(2),
            poll: Duration::from_millis(500),
            max_runs: 512,
            max_calls: 128,
            poison: POISON,
            max_runs_per_organization: None,
            drain: Duration::from_secs(25),
        }
    }
}

/// The most runs that one claim takes.
const CLAIM: usize = 32;
/// How long a node waits for the database before it tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// A node at work.
pub struct Runner {
    pool: PgPool,
    engine: Engine,
    effects: Arc<dyn Effects>,
    settings: Settings,
    node: NodeId,
    writer: Writer,
    plans: Plans,
    clock: DbClock,
    calls: Arc<Semaphore>,
    /// Where the calls of each organization wait before they join the line for a slot.
    doors: Doors,
    /// Who holds it works on a run with a call that may take the process down: one at a time.
    lane: Arc<Mutex<()>>,
    /// When the node began.
    began: Instant,
    /// No new work: the process is about to end.
    stop: CancellationToken,
    /// The drain limit has passed: drop what is under way.
    abort: CancellationToken,
    actors: TaskTracker,
    /// Whether there may be due runs that this node had no room for: then it looks again when a run ends.
    hungry: AtomicBool,
}

impl Runner {
    /// Makes this process known as a node.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn register(
        pool: PgPool,
        engine: Engine,
        effects: Arc<dyn Effects>,
        settings: Settings,
        host: &str,
        stop: CancellationToken,
    ) -> Result<Arc<Self>> {
        let (node, asked) = (NodeId::new(), Instant::now());
        let now = store::register(&pool, node, host, millis(settings.lease)).await?;
        tracing::info!(node = %node, host, "node registered");
        Ok(Arc::new(Self {
            writer: Writer::start(pool.clone(), node, engine.clone()),
            plans: Plans::default(),
            calls: Arc::new(Semaphore::new(settings.max_calls)),
            doors: Doors::default(),
            lane: Arc::default(),
            began: Instant::now(),
            clock: DbClock::new(now, asked, settings.heartbeat * 2),
            actors: TaskTracker::new(),
            hungry: AtomicBool::new(true),
            abort: CancellationToken::new(),
            pool,
            engine,
            effects,
            settings,
            node,
            stop,
        }))
    }

    /// The node's id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Works until the process is asked to stop, then lets calls under way finish within the drain limit, and gives all
    /// runs back.
    pub async fn run(self: Arc<Self>, host: &str) {
        let keepers = TaskTracker::new();
        let alive = CancellationToken::new();
        keepers.spawn(self.clone().keep_lease(host.to_owned(), alive.clone()));
        // Apart, so that a slow one keeps no other waiting.
        keepers.spawn(self.clone().reap(alive.clone()));
        keepers.spawn(self.clone().tidy(alive.clone()));
        keepers.spawn(self.clone().listen(alive.clone()));
        // Where runs of an organization are counted, a claim does it.
        if self.settings.max_runs_per_organization.is_none() {
            let runner = self.clone();
            let first = move |org, run: &NewRun| runner.first(org, run);
            let fresh = self.engine.open(self.node, self.settings.max_runs.div_ceil(2), first);
            keepers.spawn(self.clone().take_in(fresh));
        }
        self.claim_until_stopped().await;
        self.engine.close();
        self.actors.close();
        if tokio::time::timeout(self.settings.drain, self.actors.wait()).await.is_err() {
            tracing::warn!(runs = self.actors.len(), "the drain limit passed; calls under way are dropped");
            self.abort.cancel();
            self.actors.wait().await;
        }
        alive.cancel();
        keepers.close();
        keepers.wait().await;
        if let Err(error) = store::retire(&self.pool, self.node).await {
            tracing::warn!(%error, "the node could not be taken off the list; its lease will run out");
        }
        tracing::info!(node = %self.node, "node stopped");
    }

    /// What there is room for. An organization that has most of this node comes last, and the last eighth of the node is
    /// for the others: however long its runs take, somebody else's begins at once.
    fn room(&self) -> Room {
        let most = self.settings.max_runs;
        let free = most.saturating_sub(self.engine.active_count());
        let last = self.engine.busiest().filter(|(_, runs)| runs * 2 > most);
        Room {
            limit: free.min(CLAIM).min(most.div_ceil(4)),
            last: last.map(|(org, runs)| (org, (most - most / 8).saturating_sub(runs))),
            per_organization: self.settings.max_runs_per_organization,
        }
    }

    async fn claim_until_stopped(self: &Arc<Self>) {
        let mut round = Round::default();
        while !self.stop.is_cancelled() {
            // Before it looks: a run that ends meanwhile makes it look again.
            self.hungry.store(true, Relaxed);
            let room = self.room();
            let limit = room.limit;
            let claims = match limit {
                0 => Vec::new(),
                _ => match round.claim(&self.pool, self.node, &room).await {
                    Ok(claims) => claims,
                    Err(error) => {
                        tracing::warn!(%error, "claiming failed");
                        self.pause(AGAIN).await;
                        continue;
                    }
                },
            };
            if !claims.is_empty() {
                self.engine.counters().claims.add(1);
                self.engine.counters().claimed.add(claims.len() as u64);
            }
            let more = limit > 0 && claims.len() == limit;
            self.hungry.store(limit == 0 || !round.took_all(), Relaxed);
            for claim in claims {
                self.take_up(claim, None);
            }
            if !more {
                tokio::select! {
                    () = self.engine.claimable() => {}
                    () = tokio::time::sleep(self.settings.poll) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
    }

    /// Takes up the runs that are started in this node's hands.
    async fn take_in(self: Arc<Self>, mut fresh: mpsc::UnboundedReceiver<Fresh>) {
        while let Some(Fresh { claim, work, .. }) = fresh.recv().await {
            self.take_up(claim, work);
        }
    }

    fn take_up(self: &Arc<Self>, claim: Claim, begun: Option<(Box<Machine>, Vec<Effect>)>) {
        let nudge = self.engine.enter(claim.org, claim.run);
        let runner = self.clone();
        self.actors.spawn(async move {
            // An actor that panics is a fault of ours: its run is freed like that of a lost node, and the process lives.
            let work = tokio::spawn(actor::work(runner.clone(), claim, begun, nudge.clone()));
            if let Err(error) = work.await {
                tracing::error!(run = %claim.run, %error, "a run's task failed");
                if let Err(error) = store::give_back(&runner.pool, runner.node, claim).await {
                    tracing::warn!(run = %claim.run, %error, "the run could not be given back");
                }
            }
            runner.engine.leave(claim.run, &nudge);
            if runner.hungry.load(Relaxed) {
                runner.engine.wake_claimer();
            }
        });
    }

    async fn keep_lease(self: Arc<Self>, host: String, alive: CancellationToken) {
        let lease = millis(self.settings.lease);
        let mut beats = looks_every(self.settings.heartbeat);
        while is_next(&mut beats, &alive).await {
            let asked = Instant::now();
            let beat = match store::beat(&self.pool, self.node, lease).await {
                Ok(Some(now)) => Ok(now),
                // The lease ran out while this process slept. What it owned and nobody took is still its own.
                Ok(None) => {
                    tracing::warn!(node = %self.node, "the lease had run out; registering again");
                    self.clock.lease_ran_out();
                    store::register(&self.pool, self.node, &host, lease).await
                }
                Err(error) => Err(error),
            };
            match beat {
                Ok(now) => self.clock.set(now, asked),
                Err(error) => tracing::warn!(%error, "no heartbeat: the database does not answer"),
            }
        }
    }

    /// Frees the runs of lost nodes.
    async fn reap(self: Arc<Self>, alive: CancellationToken) {
        let mut looks = looks_every(self.settings.reaper);
        while is_next(&mut looks, &alive).await {
            // While the database was away, or this process slept, others could not prolong their leases either, or not
            // that this one knows: they get their time. What they own and nobody takes is still theirs.
            if !self.clock.in_touch_for(self.settings.lease) {
                continue;
            }
            match store::reap(&self.pool).await {
                Ok(0) => {}
                Ok(freed) => {
                    tracing::warn!(freed, "runs of a lost node were freed");
                    self.engine.wake_claimer();
                }
                Err(error) => tracing::warn!(%error, "looking for lost nodes failed"),
            }
        }
    }

    /// Goes on with what a process left undone that died in between.
    async fn tidy(self: Arc<Self>, alive: CancellationToken) {
        let mut looks = looks_every(self.settings.reaper);
        let mut forgotten = HashSet::new();
        while is_next(&mut looks, &alive).await {
            if self.clock.in_touch_for(self.settings.lease) {
                forgotten = self.give_back_forgotten(&forgotten).await;
                self.deliver_events().await;
                self.pass_on_locks().await;
                self.admit_held().await;
            }
        }
    }

    /// Wakes own runs that have signals which no notification told of.
    async fn listen(self: Arc<Self>, alive: CancellationToken) {
        let mut looks = looks_every(self.settings.poll.max(Duration::from_millis(200)) * 2);
        while is_next(&mut looks, &alive).await {
            match store::signalled(&self.pool, self.node).await {
                Ok(runs) => runs.into_iter().for_each(|run| self.engine.heard(run)),
                Err(error) => tracing::warn!(%error, "looking for signals failed"),
            }
        }
    }

    /// Brings events to steps that wait for them where a process died in between.
    async fn deliver_events(&self) {
        let deliver = async {
            for (org, key) in store::undelivered(&self.pool).await? {
                for run in store::deliver(&self.pool, org, &key).await? {
                    self.engine.committed(org, run);
                }
            }
            Ok::<(), crate::kernel::Error>(())
        };
        if let Err(error) = deliver.await {
            tracing::warn!(%error, "looking for events that nobody was told of failed");
        }
    }

    /// Lets in runs that are held although their group has a place, where a process died before it could.
    async fn admit_held(&self) {
        let admit = async {
            for (org, group) in store::groups_with_room(&self.pool).await? {
                for run in store::admit(&self.pool, org, &group).await? {
                    self.engine.committed(org, run);
                }
            }
            Ok::<(), crate::kernel::Error>(())
        };
        if let Err(error) = admit.await {
            tracing::warn!(%error, "looking for held runs that may begin failed");
        }
    }

    /// A run has ended: who is next in its group begins. Where that fails, [`Self::admit_held`] finds it.
    async fn admit_next(&self, claim: Claim) {
        match store::admit_after(&self.pool, claim).await {
            Ok(runs) => runs.into_iter().for_each(|run| self.engine.committed(claim.org, run)),
            Err(error) => {
                tracing::warn!(run = %claim.run, %error, "who is next could not be let in; looking again soon")
            }
        }
    }

    /// A claim whose answer was lost on the way leaves a run that is owned and that nobody works on. One that was seen
    /// so twice is given back.
    async fn give_back_forgotten(&self, before: &HashSet<Claim>) -> HashSet<Claim> {
        let owned = match store::owned(&self.pool, self.node).await {
            Ok(owned) => owned,
            Err(error) => {
                tracing::warn!(%error, "looking for forgotten runs failed");
                return HashSet::new();
            }
        };
        let idle: HashSet<_> = owned.into_iter().filter(|claim| !self.engine.is_active(claim.run)).collect();
        for claim in idle.intersection(before) {
            tracing::warn!(run = %claim.run, "a run that was owned and forgotten is given back");
            if let Err(error) = store::give_back(&self.pool, self.node, *claim).await {
                tracing::warn!(run = %claim.run, %error, "the run could not be given back");
            }
        }
        idle
    }

    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Tells the other processes which runs have news, many in one notification. Runs as long as the process.
pub async fn notifier(pool: PgPool, engine: Engine) {
    let Some(mut outbound) = engine.take_outbound() else { return };
    let mut news = Vec::new();
    // A notification holds at most 8,000 bytes; an entry has about 90.
    while outbound.recv_many(&mut news, 80).await > 0 {
        // The last of each run says it all.
        news.sort_unstable();
        news.reverse();
        news.dedup_by_key(|(_, run, _)| *run);
        match serde_json::to_string(&news) {
            Ok(payload) => {
                if let Err(error) = store::notify(&pool, &payload).await {
                    tracing::debug!(%error, "a notification was lost; the others will look by themselves");
                }
            }
            Err(error) => tracing::error!(%error, "a notification could not be written"),
        }
        news.clear();
        // What comes in meanwhile goes together.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn looks_every(pause: Duration) -> Interval {
    let mut looks = tokio::time::interval(pause);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Waits for the next look; `false`: the node ends.
async fn is_next(looks: &mut Interval, alive: &CancellationToken) -> bool {
    tokio::select! {
        _ = looks.tick() => true,
        () = alive.cancelled() => false,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
