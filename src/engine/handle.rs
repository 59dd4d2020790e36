//! The handle on the engine that services hold: after a commit that concerns a run they say so, and whoever works on the
//! run, or could, hears of it at once. It is a hint only: every node also looks by itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use super::{
    counters::Counters,
    journal::StoredEvent,
    state::StepId,
    store::{Begin, First, Fresh, NewRun},
};
use crate::kernel::{NodeId, OrgId, RunId};

/// Who wants to see events as they are committed: the live hub.
pub trait Readers: Send + Sync + 'static {
    /// The events of one commit of a run, in order.
    fn committed(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>);
    /// A piece of the text that a model is writing; shown, not kept. Nothing: the pieces so far count no more.
    fn partial(&self, org: OrgId, run: RunId, step: &StepId, attempt: u32, text: Option<&str>);
}

/// The handle. Cheap to clone; the same for the whole process.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Arc<dyn Readers>,
    counters: Counters,
    /// Runs that this process works on, and how to reach each one's task.
    active: Mutex<HashMap<RunId, Active>>,
    /// The node of this process, while it takes up runs that are started here.
    node: Mutex<Option<LocalNode>>,
    /// Woken when there may be something to claim.
    claimable: Notify,
    /// What is to be told to the other processes.
    news: mpsc::UnboundedSender<News>,
    /// The other end of it, until the notifier takes it.
    outbound: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
}

/// A run at work.
struct Active {
    org: OrgId,
    task: Arc<Notify>,
}

/// The node of this process, for runs that are started in its hands.
struct LocalNode {
    id: NodeId,
    /// With this many runs at work it takes up no more of them directly.
    most: usize,
    runs: mpsc::UnboundedSender<Fresh>,
    first: Arc<DecidesFirst>,
}

/// Says what a run that is about to be started does first, where its node can say it.
type DecidesFirst = dyn Fn(OrgId, &NewRun) -> Option<First> + Send + Sync;

/// That a run has events up to a number.
pub(super) type News = (OrgId, RunId, i64);

/// Up to a number that the teller does not know: whoever hears of it looks.
const UNKNOWN: i64 = i64::MAX;

impl Engine {
    /// Makes the handle of this process.
    #[must_use]
    pub fn new(readers: Arc<dyn Readers>) -> Self {
        let (news, outbound) = mpsc::unbounded_channel();
        let inner = Inner {
            readers,
            counters: Counters::default(),
            active: Mutex::new(HashMap::new()),
            node: Mutex::new(None),
            claimable: Notify::new(),
            news,
            outbound: Mutex::new(Some(outbound)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What this process's engine did so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// How the node of this process begins a run that is about to be started, if it has room for it.
    #[must_use]
    pub fn begin(&self, org: OrgId, run: &NewRun) -> Option<Begin> {
        let (node, most, first) = self.node().as_ref().map(|node| (node.id, node.most, node.first.clone()))?;
        (self.active_count() < most).then(|| Begin { node, first: first(org, run) })
    }

    /// A service has committed a run, perhaps in the hands of this process's node: it goes on at once. Whoever else waits
    /// for runs is told.
    pub fn started(&self, org: OrgId, run: RunId, fresh: Option<Fresh>) {
        let Some(mut fresh) = fresh else { return self.committed(org, run) };
        let events = Arc::from(std::mem::take(&mut fresh.events));
        // One that reaches nobody, because the process is about to end, is given back with all that the node owns.
        if let Some(node) = self.node().as_ref() {
            drop(node.runs.send(fresh));
        }
        self.publish(org, run, events);
    }

    /// Events of a run have been committed: the readers here see them, and the other processes are told.
    pub(super) fn publish(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>) {
        if let Some(last) = events.last().map(|event| event.seq) {
            self.inner.readers.committed(org, run, events);
            self.tell_others(org, run, last);
        }
    }

    /// The node of this process takes up runs that are started here, as long as fewer than `most` are at work.
    pub(super) fn open(
        &self,
        id: NodeId,
        most: usize,
        first: impl Fn(OrgId, &NewRun) -> Option<First> + Send + Sync + 'static,
    ) -> mpsc::UnboundedReceiver<Fresh> {
        let (runs, fresh) = mpsc::unbounded_channel();
        *self.node() = Some(LocalNode { id, most, runs, first: Arc::new(first) });
        fresh
    }

    /// From here on it takes up none.
    pub(super) fn close(&self) {
        *self.node() = None;
    }

    /// A service has committed something that concerns this run: tell this process and the others.
    pub fn committed(&self, org: OrgId, run: RunId) {
        self.heard(run);
        self.tell_others(org, run, UNKNOWN);
    }

    /// Another process has committed something that concerns this run.
    pub fn heard(&self, run: RunId) {
        match self.active().get(&run) {
            Some(active) => active.task.notify_one(),
            None => self.inner.claimable.notify_one(),
        }
    }

    fn tell_others(&self, org: OrgId, run: RunId, last_seq: i64) {
        // Nobody listens any more only while the process ends.
        let _ = self.inner.news.send((org, run, last_seq));
    }

    /// What is to be told to the other processes. Once.
    pub(super) fn take_outbound(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.inner.outbound.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn readers(&self) -> &dyn Readers {
        &*self.inner.readers
    }

    pub(super) async fn claimable(&self) {
        self.inner.claimable.notified().await;
    }

    pub(super) fn wake_claimer(&self) {
        self.inner.claimable.notify_one();
    }

    pub(super) fn enter(&self, org: OrgId, run: RunId) -> Arc<Notify> {
        let task = Arc::new(Notify::new());
        self.active().insert(run, Active { org, task: task.clone() });
        task
    }

    /// The task of a run ends. Where the run has been taken up again meanwhile, the newer task stays.
    pub(super) fn leave(&self, run: RunId, task: &Arc<Notify>) {
        let mut active = self.active();
        if active.get(&run).is_some_and(|there| Arc::ptr_eq(&there.task, task)) {
            active.remove(&run);
        }
    }

    pub(super) fn is_active(&self, run: RunId) -> bool {
        self.active().contains_key(&run)
    }

    pub(super) fn active_count(&self) -> usize {
        self.active().len()
    }

    /// The organization with the most runs at work here, and how many.
    pub(super) fn busiest(&self) -> Option<(OrgId, usize)> {
        let mut counts: HashMap<OrgId, usize> = HashMap::new();
        for active in self.active().values() {
            *counts.entry(active.org).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count)
    }

    fn node(&self) -> MutexGuard<'_, Option<LocalNode>> {
        // One value, put in its place in one go.
        self.inner.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RunId, Active>> {
        // The map is whole after a panic elsewhere: each change is one call.
        self.inner.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
