//! The handle on the engine that services hold: after a commit that concerns a run they say so, and whoever works on the
//! run, or could, hears of it at once. It is a hint only: every node also looks by itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use super::{counters::Counters, journal::StoredEvent, state::StepId};
use crate::kernel::{OrgId, RunId};

/// Who wants to see events as they are committed: the live hub.
pub trait Readers: Send + Sync + 'static {
    /// The events of one commit of a run, in order.
    fn committed(&self, org: OrgId, run: RunId, events: Arc<[StoredEvent]>);
    /// A piece of the text that a model is writing; shown, not kept.
    fn partial(&self, org: OrgId, run: RunId, step: &StepId, attempt: u32, text: &str);
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
    active: Mutex<HashMap<RunId, Arc<Notify>>>,
    /// Woken when there may be something to claim.
    claimable: Notify,
    /// What is to be told to the other processes.
    news: mpsc::UnboundedSender<News>,
    /// The other end of it, until the notifier takes it.
    outbound: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
}

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

    /// A service has committed something that concerns this run: tell this process and the others.
    pub fn committed(&self, org: OrgId, run: RunId) {
        self.heard(run);
        self.tell_others(org, run, UNKNOWN);
    }

    /// Another process has committed something that concerns this run.
    pub fn heard(&self, run: RunId) {
        match self.active().get(&run) {
            Some(task) => task.notify_one(),
            None => self.inner.claimable.notify_one(),
        }
    }

    pub(super) fn tell_others(&self, org: OrgId, run: RunId, last_seq: i64) {
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

    pub(super) fn enter(&self, run: RunId) -> Arc<Notify> {
        let task = Arc::new(Notify::new());
        self.active().insert(run, task.clone());
        task
    }

    /// The task of a run ends. Where the run has been taken up again meanwhile, the newer task stays.
    pub(super) fn leave(&self, run: RunId, task: &Arc<Notify>) {
        let mut active = self.active();
        if active.get(&run).is_some_and(|there| Arc::ptr_eq(there, task)) {
            active.remove(&run);
        }
    }

    pub(super) fn is_active(&self, run: RunId) -> bool {
        self.active().contains_key(&run)
    }

    pub(super) fn active_count(&self) -> usize {
        self.active().len()
    }

    fn active(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Arc<Notify>>> {
        // The map is whole after a panic elsewhere: each change is one call.
        self.inner.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
