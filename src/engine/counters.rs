//! What this process's engine did and where its time went, counted as it works. For the benchmark, and for whoever
//! watches a server: reading it costs nothing, and nothing decides by it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// Adds a time.
    pub fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it is by now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// All that is counted. Times are in nanoseconds.
#[derive(Debug, Default)]
pub struct Counters {
    /// Runs that were claimed from the table.
    pub claimed: Count,
    /// Statements that claimed at least one run.
    pub claims: Count,
    /// Runs that were read from the tables.
    pub loaded: Count,
    /// Commits of the journal writer.
    pub commits: Count,
    /// Decisions that were written: one run's part of a commit.
    pub decisions: Count,
    /// Events that were written.
    pub events: Count,
    /// Step rows that were written.
    pub steps: Count,
    /// Deciding.
    pub decide: Count,
    /// The writer: making the statement's columns.
    pub serialise: Count,
    /// The writer: waiting for the database.
    pub database: Count,
    /// The writer: waiting for something to write.
    pub idle: Count,
}
