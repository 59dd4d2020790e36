//! Where the time goes: what the engine and the database counted during a workload.

use agentflow::engine::counters::Counters;
use sqlx::PgPool;

use super::{report::Section, store};
use crate::startup::Trouble;

/// What the database had counted at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Transactions.
    pub transactions: f64,
    /// Bytes of WAL.
    pub wal_bytes: f64,
    /// Syncs of WAL; nothing where PostgreSQL does not say.
    pub wal_syncs: Option<f64>,
}

impl Counted {
    /// What it has counted by now, of sessions that have ended.
    pub async fn now(pool: &PgPool) -> Result<Self, Trouble> {
        store::counted(pool).await
    }

    fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            wal_bytes: self.wal_bytes - before.wal_bytes,
            wal_syncs: self.wal_syncs.zip(before.wal_syncs).map(|(now, before)| now - before),
        }
    }

    /// Adds what a workload of so many steps cost the database.
    pub fn tell(self, before: Self, steps: usize, section: &mut Section) {
        let (spent, steps) = (self.since(before), steps as f64);
        section.line("database: transactions per step", spent.transactions / steps, "");
        section.line("database: WAL per step", spent.wal_bytes / steps, "bytes");
        if let Some(syncs) = spent.wal_syncs {
            section.line("database: WAL syncs per step", syncs / steps, "");
        }
    }
}

/// Adds what the engine counted in a workload of so many steps.
pub fn tell(counters: &Counters, steps: usize, section: &mut Section) {
    let steps = steps as f64;
    let commits = counters.commits.get().max(1) as f64;
    section.line("engine: commits per step", counters.commits.get() as f64 / steps, "");
    section.line("engine: decisions per commit", counters.decisions.get() as f64 / commits, "");
    section.line("engine: events per step", counters.events.get() as f64 / steps, "");
    section.line("engine: step rows written per step", counters.steps.get() as f64 / steps, "");
    let claims = counters.claims.get().max(1) as f64;
    section.line("engine: runs per claim", counters.claimed.get() as f64 / claims, "");
    section.line("engine: runs read from the tables", counters.loaded.get() as f64, "");
    for (name, time) in [
        ("decide", &counters.decide),
        ("serialise", &counters.serialise),
        ("database", &counters.database),
        ("writer idle", &counters.idle),
    ] {
        section.line(format!("time per step: {name}"), time.get() as f64 / 1_000.0 / steps, "µs");
    }
}
