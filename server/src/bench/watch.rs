//! What the benchmark sees of runs: it stands where readers stand, and hears of events when they are committed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use agentflow::{
    engine::{
        handle::Readers,
        journal::{Event, StoredEvent},
        state::StepId,
    },
    kernel::{OrgId, RunId},
    live::Hub,
};
use tokio::sync::watch;

use crate::startup::Trouble;

/// How long a workload may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Hears what is committed, and hands it on to the readers over HTTP.
pub struct Watch {
    hub: Hub,
    ends: Mutex<HashMap<RunId, Instant>>,
    /// When each event was committed, where that is asked for.
    events: Option<Mutex<HashMap<(RunId, i64), Instant>>>,
    counts: watch::Sender<Counts>,
}

/// How many runs have come how far.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    succeeded: usize,
    waiting: usize,
    failed: usize,
}

impl Watch {
    /// Hands on to this hub. With `events`, each event's moment is kept.
    pub fn new(hub: Hub, events: bool) -> Arc<Self> {
        Arc::new(Self {
            hub,
            ends: Mutex::default(),
            events: events.then(Mutex::default),
            counts: watch::Sender::new(Counts::default()),
        })
    }

    /// When a run ended.
    pub fn ended(&self, run: RunId) -> Option<Instant> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&run).copied()
    }

    /// When an event was committed.
    pub fn committed_at(&self, run: RunId, seq: i64) -> Option<Instant> {
        self.events.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).get(&(run, seq)).copied()
    }

    /// Waits until so many runs have succeeded since the beginning.
    ///
    /// # Errors
    /// When one fails, or it takes too long.
    pub async fn succeeded(&self, count: usize) -> Result<(), Trouble> {
        self.until(|counts| counts.succeeded >= count).await
    }

    /// Waits until so many runs have begun to wait since the beginning.
    ///
    /// # Errors
    /// When one fails, or it takes too long.
    pub async fn waiting(&self, count: usize) -> Result<(), Trouble> {
        self.until(|counts| counts.waiting >= count).await
    }

    async fn until(&self, reached: impl Fn(Counts) -> bool) -> Result<(), Trouble> {
        let mut counts = self.counts.subscribe();
        let wait = counts.wait_for(|counts| counts.failed > 0 || reached(*counts));
        let counts = match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(counts)) => *counts,
            Ok(Err(_)) | Err(_) => return Err(Trouble::new("The benchmark's runs do not come to their end.", "")),
        };
        match counts.failed {
            0 => Ok(()),
            failed => Err(Trouble::new(format!("{failed} runs of the benchmark failed."), "")),
        }
    }
}

impl Readers for Watch {
    fn committed(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>) {
        let now = Instant::now();
        if let Some(moments) = &self.events {
            let mut moments = moments.lock().unwrap_or_else(PoisonError::into_inner);
            moments.extend(events.iter().map(|event| ((run, event.seq), now)));
        }
        for event in events.iter() {
            match event.event {
                Event::RunSucceeded => {
                    self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(run, now);
                    self.counts.send_modify(|counts| counts.succeeded += 1);
                }
                Event::RunWaiting { .. } => self.counts.send_modify(|counts| counts.waiting += 1),
                Event::RunFailed { .. } | Event::RunCancelled => self.counts.send_modify(|counts| counts.failed += 1),
                _ => {}
            }
        }
        self.hub.publish(org, run, events);
    }

    fn partial(&self, org: OrgId, run: RunId, step: &StepId, attempt: u32, text: Option<&str>) {
        self.hub.partial(org, run, step, attempt, text);
    }
}
