//! The database's clock, as this process knows it between two heartbeats. The machine's own wall clock decides nothing.

use std::sync::{PoisonError, RwLock};

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::kernel::Timestamp;

pub(super) struct DbClock {
    known: RwLock<(Timestamp, Instant)>,
}

impl DbClock {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { known: RwLock::new((now, Instant::now())) }
    }

    /// What the database has just said. It is older than this moment by the way of the answer, so this clock is late by
    /// that and never early: nothing begins before its time.
    pub(super) fn set(&self, now: Timestamp) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (now, Instant::now());
    }

    pub(super) fn now(&self) -> Timestamp {
        let (then, asked) = *self.known.read().unwrap_or_else(PoisonError::into_inner);
        then + TimeDelta::from_std(asked.elapsed()).unwrap_or_default()
    }

    /// How long until a moment, zero when it has passed.
    pub(super) fn until(&self, at: Timestamp) -> std::time::Duration {
        (at - self.now()).to_std().unwrap_or_default()
    }
}
