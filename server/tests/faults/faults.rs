//! What is broken, when and to whom: a schedule that follows from the seed, and the deeds.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sqlx::PgPool;

use crate::{
    arena::Arena,
    checks,
    client::{Client, Request, lock},
    options::{Dice, Extent},
    outside::Moment,
    place::Shape,
    processes::{LEASE_MS, REAPER_MS},
    report::Part,
};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of any process at any moment.
    Kill,
    /// `kill -9` of the process whose call has just come in.
    KillAtCall,
    /// `kill -9` of the process to which an answer's last byte has just gone.
    KillAtAnswer,
    /// `kill -9` of the process that has just accepted a run.
    KillAtAccept,
    /// `kill -9` of all processes but one.
    KillMost,
    /// A process is stopped for longer than its lease, and goes on.
    Pause,
    /// The database is stopped hard and comes back after so many seconds.
    StopDatabase(u64),
}

impl Fault {
    fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill at random",
            Self::KillAtCall => "kill at a call",
            Self::KillAtAnswer => "kill at an answer",
            Self::KillAtAccept => "kill at an accept",
            Self::KillMost => "kill of all but one",
            Self::Pause => "stopped owner",
            Self::StopDatabase(_) => "stopped database",
        }
    }
}

/// The faults of the main part, each with the pause before it: the same for the same seed.
pub fn schedule(extent: &Extent, seed: u64, long: bool) -> Vec<(Duration, Fault)> {
    let mut dice = Dice::new(seed, 77);
    let kinds = [
        Fault::Kill,
        Fault::KillAtCall,
        Fault::KillAtCall,
        Fault::KillAtAnswer,
        Fault::KillAtAnswer,
        Fault::KillAtAnswer,
        Fault::KillAtAccept,
        Fault::Kill,
    ];
    let mut faults: Vec<Fault> = (0..extent.kills)
        .map(|number| if number % 12 == 11 { Fault::KillMost } else { kinds[number % kinds.len()] })
        .collect();
    faults.extend((0..extent.pauses).map(|_| Fault::Pause));
    faults.extend((0..extent.stops).map(|number| {
        Fault::StopDatabase(match number % 10 {
            9 if long => 60,
            3 | 6 => {
                if long {
                    10
                } else {
                    5
                }
            }
            _ => 1,
        })
    }));
    for place in (1..faults.len()).rev() {
        faults.swap(place, dice.below(place + 1));
    }
    faults.into_iter().map(|fault| (dice.millis(200, 1_600), fault)).collect()
}

/// Does the deeds and measures how soon work goes on.
pub struct Breaker {
    arena: Arc<Arena>,
    client: Arc<Client>,
    dice: Dice,
    recovery: Arc<Mutex<Vec<(Fault, u64)>>>,
    /// Measurements under way.
    measuring: Arc<AtomicUsize>,
    accepts: u64,
}

impl Breaker {
    /// A breaker of this arena.
    pub fn new(arena: Arc<Arena>, client: Arc<Client>, seed: u64) -> Self {
        let dice = Dice::new(seed, 78);
        Self { arena, client, dice, recovery: Arc::default(), measuring: Arc::default(), accepts: 0 }
    }

    /// One fault. Returns when everything is there again.
    pub async fn perform(&mut self, fault: Fault, part: &mut Part) {
        part.fault(fault.kind());
        match fault {
            Fault::Kill => {
                let place = self.dice.below(self.arena.fleet.count());
                self.kill(fault, place).await;
            }
            Fault::KillMost => {
                let keep = self.dice.below(self.arena.fleet.count());
                let others = (0..self.arena.fleet.count()).filter(|place| *place != keep);
                futures::future::join_all(others.map(|place| self.kill(fault, place))).await;
            }
            Fault::KillAtCall => self.trap(fault, Moment::Called).await,
            Fault::KillAtAnswer => self.trap(fault, Moment::Answered).await,
            Fault::KillAtAccept => self.kill_at_accept(fault).await,
            Fault::Pause => self.pause(fault, part).await,
            Fault::StopDatabase(seconds) => self.stop_database(fault, seconds, part).await,
        }
    }

    /// Waits for the measurements and puts their figures down.
    pub async fn finish(&self, part: &mut Part) {
        while self.measuring.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let recovery = lock(&self.recovery).clone();
        let (stops, kills): (Vec<_>, Vec<_>) =
            recovery.into_iter().partition(|(fault, _)| matches!(fault, Fault::StopDatabase(_)));
        let kills: Vec<u64> = kills.into_iter().map(|(_, ms)| ms).collect();
        let stops: Vec<u64> = stops.into_iter().map(|(_, ms)| ms).collect();
        part.note(
            "G7",
            format!("takeover of the runs of a process that is gone: {}", crate::report::quantiles(&kills)),
        );
        part.note("G15", format!("work after the database is back: {}", crate::report::quantiles(&stops)));
        let limit = checks::takeover_limit_ms();
        let slow = kills.iter().filter(|ms| **ms > limit).count();
        part.find_if(slow > 0, "G7", || format!("{slow} takeovers took longer than {limit} ms"));
        let slow = stops.iter().filter(|ms| **ms > 5_000).count();
        part.find_if(slow > 0, "G15", || format!("work went on later than 5 s after {slow} stops"));
        part.recovery.extend(kills.iter().chain(&stops));
    }

    async fn kill(&self, fault: Fault, place: usize) {
        let Some(pid) = self.arena.fleet.pid(place) else { return };
        self.arena.fleet.kill(place).await;
        self.come_back(fault, place, pid, Instant::now()).await;
    }

    /// Measures the takeover, and starts the process again.
    async fn come_back(&self, fault: Fault, place: usize, pid: u32, gone: Instant) {
        self.measure_takeover(fault, place, pid, gone);
        let pause = 20 + u64::from(pid) % 400;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        assert!(self.arena.fleet.start(place).await, "process {place} does not start again");
    }

    fn measure_takeover(&self, fault: Fault, place: usize, pid: u32, gone: Instant) {
        let (tables, recovery, measuring) = (self.arena.tables.clone(), self.recovery.clone(), self.measuring.clone());
        measuring.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let host = format!("slot{place}:{pid}");
            let mut had = false;
            while gone.elapsed() < Duration::from_secs(60) {
                match owned_by(&tables, &host).await {
                    Some(0) => break,
                    Some(_) => had = true,
                    None => {}
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            if had {
                let took = u64::try_from(gone.elapsed().as_millis()).unwrap_or(u64::MAX);
                lock(&recovery).push((fault, took));
            }
            measuring.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn trap(&self, fault: Fault, moment: Moment) {
        let fleet = &self.arena.fleet;
        let pids: Vec<_> = (0..fleet.count()).map(|place| fleet.pid(place)).collect();
        self.arena.outside.set_trap(moment);
        let begun = Instant::now();
        loop {
            if let Some(sprung) = self.arena.outside.take_sprung().pop() {
                if let Some(pid) = pids[sprung.place] {
                    self.come_back(fault, sprung.place, pid, sprung.at).await;
                }
                return;
            }
            // Nobody calls: any process will do.
            if begun.elapsed() > Duration::from_secs(4) {
                self.arena.outside.clear_trap();
                return self.kill(fault, (begun.elapsed().subsec_nanos() as usize) % fleet.count()).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn kill_at_accept(&mut self, fault: Fault) {
        let fleet = &self.arena.fleet;
        let place = self.dice.pick(&fleet.serving());
        let Some(pid) = fleet.pid(place) else { return };
        self.accepts += 1;
        let token = format!("accept-{}", self.accepts);
        let shape = Shape::Chain;
        let path = self.client.path_of(shape);
        let input = serde_json::json!({ "input": {} });
        let request = Request::post(path, input).with_token(&token);
        let reply = self.client.send(place, &self.client.place.keys[0], request).await;
        if let (Some(202), Some(run)) = (reply.status, reply.body["id"].as_str()) {
            fleet.kill_now(place);
            self.client.accepted(run, shape, &token, 0, false);
        } else {
            fleet.kill_now(place);
        }
        self.come_back(fault, place, pid, Instant::now()).await;
    }

    async fn pause(&mut self, fault: Fault, part: &mut Part) {
        let fleet = &self.arena.fleet;
        // Calls that outlast the sleep: their answers find an owner that is none any more.
        for _ in 0..8 {
            self.accepts += 1;
            let input = serde_json::json!({ "ms": LEASE_MS + 3_500 });
            self.client.start_with(Shape::Slow, &format!("outlasts-{}", self.accepts), &input, &mut self.dice).await;
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        let place = busiest(&self.arena.tables).await.unwrap_or(0);
        let Some(pid) = fleet.pid(place) else { return };
        fleet.signal(place, Signal::STOP);
        self.measure_takeover(fault, place, pid, Instant::now());
        tokio::time::sleep(Duration::from_millis(LEASE_MS + REAPER_MS + 1_500)).await;
        fleet.signal(place, Signal::CONT);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let lives = fleet.pid(place) == Some(pid);
        part.find_if(!lives, "G7", || "a process that had been stopped ended by itself".to_owned());
        fleet.calm(place);
    }

    async fn stop_database(&mut self, fault: Fault, seconds: u64, part: &mut Part) {
        // A takeover without a database would be measured wrongly.
        while self.measuring.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let fleet = &self.arena.fleet;
        let before = fleet.own_exits();
        fleet.disturb_all();
        self.arena.postgres.stop_hard().await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.arena.postgres.start().await;
        let back = Instant::now();
        let known = recorded(&self.arena.tables).await;
        while back.elapsed() < Duration::from_secs(60) {
            if recorded(&self.arena.tables).await.is_some_and(|now| Some(now) > known) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        lock(&self.recovery).push((fault, u64::try_from(back.elapsed().as_millis()).unwrap_or(u64::MAX)));
        for place in 0..fleet.count() {
            while !fleet.is_ready(place).await {
                if fleet.pid(place).is_none() || back.elapsed() > Duration::from_secs(60) {
                    part.find("G15", format!("process {place} is not ready after the database was away"));
                    fleet.start(place).await;
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            fleet.calm(place);
        }
        let exits = fleet.own_exits() - before;
        part.find_if(exits > 0, "G15", || format!("{exits} processes ended because the database was away"));
    }
}

/// How many runs a process owns, or several whose names fit; none while the database is away.
pub async fn owned_by(tables: &PgPool, host: &str) -> Option<i64> {
    sqlx::query_scalar("select count(*) from runs where owner in (select id from nodes where host like $1)")
        .bind(host)
        .fetch_one(tables)
        .await
        .ok()
}

/// The process that owns the most runs.
async fn busiest(tables: &PgPool) -> Option<usize> {
    let host: String = sqlx::query_scalar(
        "select n.host from runs r join nodes n on n.id = r.owner group by n.host order by count(*) desc limit 1",
    )
    .fetch_optional(tables)
    .await
    .ok()??;
    host.strip_prefix("slot")?.split(':').next()?.parse().ok()
}

/// How many results and beginnings are recorded; none while the database is away.
async fn recorded(tables: &PgPool) -> Option<i64> {
    sqlx::query_scalar("select count(*) from run_events where kind in ('step.succeeded', 'step.started')")
        .fetch_one(tables)
        .await
        .ok()
}
