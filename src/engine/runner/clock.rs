//! The database's clock, as this process knows it between two heartbeats. The machine's own wall clock decides nothing.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::kernel::Timestamp;

pub(super) struct DbClock {
    known: RwLock<Known>,
    /// The longest that the database is usually not heard of.
    silence: Duration,
}

struct Known {
    /// What the database said, when it was asked, and when it had answered.
    now: Timestamp,
    asked: Instant,
    heard: Instant,
    /// When it was heard of again after a longer silence.
    again: Option<Instant>,
    /// How many leases of this node have run out.
    lease: u64,
}

impl DbClock {
    pub(super) fn new(now: Timestamp, asked: Instant, silence: Duration) -> Self {
        Self { known: RwLock::new(Known { now, asked, heard: Instant::now(), again: None, lease: 0 }), silence }
    }

    /// What the database has just said. It is older than this moment by the way of the answer, so this clock is late by
    /// that and never early: nothing begins before its time.
    pub(super) fn set(&self, now: Timestamp, asked: Instant) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.heard.elapsed() > self.silence {
            known.again = Some(Instant::now());
        }
        (known.now, known.asked, known.heard) = (now, asked, Instant::now());
    }

    /// The number of this node's lease: it grows whenever one has run out.
    pub(super) fn lease(&self) -> u64 {
        self.known.read().unwrap_or_else(PoisonError::into_inner).lease
    }

    /// The node's lease has run out; the next one has another number.
    pub(super) fn lease_ran_out(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).lease += 1;
    }

    /// The number of the lease, where it holds for certain. Each question to the database prolongs it by so much, from a
    /// moment on that is later than the question.
    pub(super) fn holds(&self, time: Duration) -> Option<u64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.asked.elapsed() < time).then_some(known.lease)
    }

    /// Whether the database has been heard of for that long without a longer silence, or since the beginning.
    pub(super) fn in_touch_for(&self, time: Duration) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.heard.elapsed() <= self.silence && known.again.is_none_or(|again| again.elapsed() >= time)
    }

    pub(super) fn now(&self) -> Timestamp {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.now + TimeDelta::from_std(known.heard.elapsed()).unwrap_or_default()
    }

    /// How long until a moment, zero when it has passed.
    pub(super) fn until(&self, at: Timestamp) -> Duration {
        (at - self.now()).to_std().unwrap_or_default()
    }
}
