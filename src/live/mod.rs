//! What happens now: committed events and streamed tokens on their way to this process's readers.
//!
//! The table is the truth and this is only the fast way to hear of it: whoever reads a run reads the table up to where it
//! stands, then listens here, and reads the table again wherever a number is missing. So nothing here has to be complete,
//! and everything here is bounded: a reader that falls behind is told to reconnect and never slows a run.

pub mod listen;
mod store;

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::broadcast;

use crate::{
    engine::{
        handle::Readers,
        journal::{Event, StoredEvent},
        state::StepId,
    },
    kernel::{OrgId, RunId},
};

/// Batches that a reader of a run may be behind before it is told to reconnect.
const RUN_BUFFER: usize = 256;
/// Ticks that a reader of an organization may be behind. Missed ticks are one tick.
const ORG_BUFFER: usize = 8;
/// Runs of which the last published number is remembered.
const REMEMBERED: usize = 8_192;

/// A piece of the text that a model is writing. Shown, not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// The step.
    pub step: StepId,
    /// Its attempt: a new one begins the text anew.
    pub attempt: u32,
    /// The piece; nothing where the pieces so far count no more.
    pub text: Option<String>,
}

/// A committed event on its way to its readers. It is written as JSON once, however many they are.
#[derive(Debug)]
pub struct Told {
    stored: StoredEvent,
    json: OnceLock<String>,
}

impl Told {
    /// The event as JSON, in one line.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json(&self) -> Result<&str, serde_json::Error> {
        match self.json.get() {
            Some(json) => Ok(json),
            None => {
                let json = serde_json::to_string(&self.stored)?;
                Ok(self.json.get_or_init(|| json))
            }
        }
    }
}

impl From<StoredEvent> for Told {
    fn from(stored: StoredEvent) -> Self {
        Self { stored, json: OnceLock::new() }
    }
}

impl Deref for Told {
    type Target = StoredEvent;

    fn deref(&self) -> &StoredEvent {
        &self.stored
    }
}

/// What a reader of a run hears.
#[derive(Debug, Clone)]
pub enum Live {
    /// The events of one commit, in order.
    Events(Arc<[Arc<Told>]>),
    /// Streamed tokens.
    Partial(Arc<Partial>),
}

/// What changed in an organization. Says that something did, not what: whoever cares reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick {
    /// A run began, moved on or ended.
    pub runs: bool,
    /// An approval was asked for, voted on, decided, reopened, handed over or withdrawn.
    pub approvals: bool,
}

impl Tick {
    /// Anything may have changed.
    pub const ALL: Self = Self { runs: true, approvals: true };

    fn of(events: &[StoredEvent]) -> Self {
        let mut tick = Self::default();
        for stored in events {
            match stored.event {
                Event::ApprovalRequested { .. }
                | Event::ApprovalDecided { .. }
                | Event::ApprovalReopened { .. }
                | Event::ApprovalVoted { .. }
                | Event::ApprovalEscalated { .. } => tick.approvals = true,
                Event::RunQueued { .. }
                | Event::RunStarted
                | Event::RunWaiting { .. }
                | Event::RunResumed { .. }
                | Event::RunCancelling { .. }
                | Event::RunSucceeded => tick.runs = true,
                // The end of a run withdraws its approvals.
                Event::RunFailed { .. } | Event::RunCancelled => tick = Self::ALL,
                _ => {}
            }
        }
        tick
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { runs: self.runs || other.runs, approvals: self.approvals || other.approvals }
    }

    const fn is_empty(self) -> bool {
        !self.runs && !self.approvals
    }
}

/// The one place of a process where writers meet readers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    runs: HashMap<RunId, RunTopic>,
    orgs: HashMap<OrgId, OrgTopic>,
    /// The last number that was published of a run, so that this process's own notification brings nothing new.
    published: HashMap<RunId, i64>,
}

struct RunTopic {
    org: OrgId,
    sender: broadcast::Sender<Live>,
    readers: usize,
    /// The number up to which nobody has to be told: it was sent to all, or all read the table after it was there.
    seen: i64,
}

struct OrgTopic {
    sender: broadcast::Sender<Tick>,
    readers: usize,
}

/// A run with readers in this process, and how far they have read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The organization.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The number up to which every reader has been given the events, or finds them in the table.
    pub seen: i64,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below panics between two changes that belong together, so what a poisoned lock holds is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the events of one commit to the readers. Never waits.
    pub fn publish(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>) {
        let Some(last) = events.last().map(|event| event.seq) else { return };
        let tick = Tick::of(&events);
        let mut inner = self.lock();
        if inner.published.len() >= REMEMBERED {
            inner.published.clear();
        }
        let published = inner.published.entry(run).or_default();
        *published = last.max(*published);
        if let Some(topic) = inner.runs.get_mut(&run)
            && topic.org == org
        {
            topic.seen = last.max(topic.seen);
            // Fails when the last reader is just leaving: nobody is left to be told.
            let events = events.iter().map(|event| Arc::new(Told::from(event.clone())));
            drop(topic.sender.send(Live::Events(events.collect())));
        }
        inner.tick(org, tick);
    }

    /// Hands streamed tokens to the readers of a run, if there are any. Never waits.
    pub fn partial(&self, org: OrgId, run: RunId, step: &StepId, attempt: u32, text: Option<&str>) {
        let inner = self.lock();
        if let Some(topic) = inner.runs.get(&run)
            && topic.org == org
        {
            let partial = Partial { step: step.clone(), attempt, text: text.map(str::to_owned) };
            drop(topic.sender.send(Live::Partial(Arc::new(partial))));
        }
    }

    /// Listens to a run. The caller has proven that the run belongs to the organization.
    #[must_use]
    pub fn subscribe_run(&self, org: OrgId, run: RunId) -> Subscription {
        let mut inner = self.lock();
        let topic = inner.runs.entry(run).or_insert_with(|| RunTopic {
            org,
            sender: broadcast::channel(RUN_BUFFER).0,
            readers: 0,
            seen: 0,
        });
        topic.readers += 1;
        Subscription { receiver: topic.sender.subscribe(), hub: self.clone(), run }
    }

    /// Listens to an organization's ticks.
    #[must_use]
    pub fn subscribe_org(&self, org: OrgId) -> Ticks {
        let mut inner = self.lock();
        let topic =
            inner.orgs.entry(org).or_insert_with(|| OrgTopic { sender: broadcast::channel(ORG_BUFFER).0, readers: 0 });
        topic.readers += 1;
        Ticks { receiver: topic.sender.subscribe(), hub: self.clone(), org }
    }

    /// The runs that have readers here.
    #[must_use]
    pub fn watched(&self) -> Vec<Watched> {
        let inner = self.lock();
        inner.runs.iter().map(|(run, topic)| Watched { org: topic.org, run: *run, seen: topic.seen }).collect()
    }

    /// A run that has readers here, if a number up to which it has come is news to them.
    fn behind(&self, org: OrgId, run: RunId, last: i64) -> Option<Watched> {
        let inner = self.lock();
        let topic = inner.runs.get(&run)?;
        (topic.org == org && topic.seen < last).then_some(Watched { org, run, seen: topic.seen })
    }

    /// Whether the events up to this number came from this process.
    fn is_own(&self, run: RunId, last: i64) -> bool {
        self.lock().published.get(&run).is_some_and(|published| *published >= last)
    }

    /// Tells the readers of an organization that something changed elsewhere.
    pub fn tick(&self, org: OrgId, tick: Tick) {
        self.lock().tick(org, tick);
    }

    /// Tells all readers of organizations to look again, as after a lost connection.
    fn tick_all(&self) {
        for topic in self.lock().orgs.values() {
            drop(topic.sender.send(Tick::ALL));
        }
    }
}

impl Inner {
    fn tick(&self, org: OrgId, tick: Tick) {
        if !tick.is_empty()
            && let Some(topic) = self.orgs.get(&org)
        {
            drop(topic.sender.send(tick));
        }
    }
}

impl Readers for Hub {
    fn committed(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>) {
        self.publish(org, run, events);
    }

    fn partial(&self, org: OrgId, run: RunId, step: &StepId, attempt: u32, text: Option<&str>) {
        Self::partial(self, org, run, step, attempt, text);
    }
}

/// The reader fell behind by more than the buffer holds, and must reconnect with the last number it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

/// A reader's place at a run.
pub struct Subscription {
    receiver: broadcast::Receiver<Live>,
    hub: Hub,
    run: RunId,
}

impl Subscription {
    /// The next news. Waits for it; safe to drop while it waits.
    ///
    /// # Errors
    /// When the reader is too slow.
    pub async fn next(&mut self) -> Result<Live, TooSlow> {
        // The hub keeps the sender for as long as this subscription exists, so an error is a lag.
        self.receiver.recv().await.map_err(|_| TooSlow)
    }

    /// Tells how far this reader has read from the table, so that the listener begins there. It says nothing of others
    /// who read the table before; who comes later reads it later, and finds as much.
    pub fn has_read(&self, seq: i64) {
        if let Some(topic) = self.hub.lock().runs.get_mut(&self.run)
            && topic.readers == 1
        {
            topic.seen = seq.max(topic.seen);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if let Some(topic) = inner.runs.get_mut(&self.run) {
            topic.readers -= 1;
            if topic.readers == 0 {
                inner.runs.remove(&self.run);
            }
        }
    }
}

/// A reader's place at an organization.
pub struct Ticks {
    receiver: broadcast::Receiver<Tick>,
    hub: Hub,
    org: OrgId,
}

impl Ticks {
    /// What changed since the last call, all in one. Waits for it; safe to drop while it waits.
    pub async fn next(&mut self) -> Tick {
        let mut tick = match self.receiver.recv().await {
            Ok(tick) => tick,
            Err(broadcast::error::RecvError::Lagged(_)) => Tick::ALL,
            // The hub keeps the sender for as long as this exists.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        };
        loop {
            match self.receiver.try_recv() {
                Ok(more) => tick = tick.and(more),
                Err(broadcast::error::TryRecvError::Lagged(_)) => tick = Tick::ALL,
                Err(_) => return tick,
            }
        }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if let Some(topic) = inner.orgs.get_mut(&self.org) {
            topic.readers -= 1;
            if topic.readers == 0 {
                inner.orgs.remove(&self.org);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(range: std::ops::RangeInclusive<i64>, event: &Event) -> Arc<[StoredEvent]> {
        range.map(|seq| StoredEvent { seq, at: crate::kernel::Timestamp::UNIX_EPOCH, event: event.clone() }).collect()
    }

    fn numbers(live: Live) -> Vec<i64> {
        match live {
            Live::Events(events) => events.iter().map(|event| event.seq).collect(),
            Live::Partial(_) => panic!("expected events"),
        }
    }

    #[tokio::test]
    async fn readers_of_a_run_hear_what_is_committed_and_leave_nothing_behind() {
        let (hub, org, run) = (Hub::default(), OrgId::new(), RunId::new());
        let mut one = hub.subscribe_run(org, run);
        let mut two = hub.subscribe_run(org, run);
        hub.publish(org, run, events(1..=2, &Event::RunStarted));
        hub.publish(org, RunId::new(), events(1..=9, &Event::RunStarted));
        assert_eq!(one.next().await.map(numbers), Ok(vec![1, 2]));
        assert_eq!(two.next().await.map(numbers), Ok(vec![1, 2]));
        assert_eq!(hub.watched(), [Watched { org, run, seen: 2 }]);
        drop(one);
        drop(two);
        assert!(hub.watched().is_empty());
    }

    #[tokio::test]
    async fn what_one_reader_found_in_the_table_is_still_news_to_another() {
        let (hub, org, run) = (Hub::default(), OrgId::new(), RunId::new());
        let first = hub.subscribe_run(org, run);
        first.has_read(3);
        assert_eq!(hub.behind(org, run, 3), None, "the only reader knows it");
        let second = hub.subscribe_run(org, run);
        second.has_read(5);
        assert_eq!(hub.behind(org, run, 5), Some(Watched { org, run, seen: 3 }), "the first waits for 4 and 5");
        hub.publish(org, run, events(4..=5, &Event::RunStarted));
        assert_eq!(hub.behind(org, run, 5), None);
    }

    #[tokio::test]
    async fn another_organization_cannot_reach_a_run_by_its_id() {
        let (hub, org, run) = (Hub::default(), OrgId::new(), RunId::new());
        let mut reader = hub.subscribe_run(org, run);
        hub.publish(OrgId::new(), run, events(1..=1, &Event::RunStarted));
        hub.publish(org, run, events(2..=2, &Event::RunStarted));
        assert_eq!(reader.next().await.map(numbers), Ok(vec![2]));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_to_reconnect_and_slows_nobody() {
        let (hub, org, run) = (Hub::default(), OrgId::new(), RunId::new());
        let mut slow = hub.subscribe_run(org, run);
        for seq in 1..=2 * RUN_BUFFER as i64 {
            hub.publish(org, run, events(seq..=seq, &Event::RunStarted));
        }
        assert!(matches!(slow.next().await, Err(TooSlow)));
    }

    #[tokio::test]
    async fn ticks_that_gathered_are_one_tick() {
        let (hub, org, run) = (Hub::default(), OrgId::new(), RunId::new());
        let mut ticks = hub.subscribe_org(org);
        for seq in 1..100 {
            hub.publish(org, run, events(seq..=seq, &Event::RunStarted));
        }
        hub.publish(org, run, events(100..=100, &Event::RunCancelled));
        assert_eq!(ticks.next().await, Tick::ALL);
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(20), ticks.next()).await;
        assert!(nothing.is_err());
    }
}
