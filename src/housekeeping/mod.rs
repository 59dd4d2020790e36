//! Housekeeping: what has ended and nobody asks for any more is removed, a batch at a time, in short transactions.

mod store;

use crate::{
    accounts::sessions::Sessions,
    deps::Deps,
    jobs::{Chore, Every},
    kernel::Result,
};

/// The days that ended runs are kept where nothing else was said.
pub const USUAL_DAYS: i32 = 30;

/// The most rows that one statement removes.
const BATCH: i64 = 1_000;
/// The most runs that one transaction looks at.
const RUNS: i64 = 500;

/// Removes what is past its time: sessions, answers for repeated requests, events, waits, context, messages.
pub struct Sweep {
    /// The sessions, which know their own limits.
    pub sessions: Sessions,
}

impl Chore for Sweep {
    const NAME: &'static str = "sweep";
    const EVERY: Every = Every::Hour(7);

    async fn run(&self, deps: &Deps) -> Result<()> {
        self.sessions.sweep().await?;
        for (what, statement) in store::PAST {
            let mut gone = 0;
            loop {
                let removed = store::remove(deps.db.keeper(), statement, BATCH).await?;
                gone += removed;
                if removed < BATCH.unsigned_abs() {
                    break;
                }
            }
            if gone > 0 {
                tracing::info!(gone, "{what} were removed");
            }
        }
        Ok(())
    }
}

/// Removes runs that ended longer ago than their workflow, else their organization, else the server keeps them, with all
/// that belongs to them. The oldest go first; one that a living run refers to stays.
#[derive(Debug)]
pub struct Retention {
    /// The days where neither the workflow nor the organization says; 0 is for ever.
    pub days: i32,
}

impl Chore for Retention {
    const NAME: &'static str = "retention";
    const EVERY: Every = Every::Hour(22);

    async fn run(&self, deps: &Deps) -> Result<()> {
        let keeper = deps.db.keeper();
        for (org, days) in store::organizations(keeper).await? {
            let own = store::workflows_with_days(keeper, org).await?;
            let usual = store::Kept::AllBut(own.iter().map(|(workflow, _)| *workflow).collect());
            let special = own.iter().map(|(workflow, days)| (store::Kept::Of(*workflow), *days));
            let mut gone = 0;
            for (which, days) in special.chain([(usual, days.unwrap_or(self.days))]) {
                if days > 0 {
                    let mut place = store::Place::default();
                    while let Some(page) = store::remove_runs(keeper, org, &which, days, place, RUNS).await? {
                        gone += page.removed;
                        place = page.last;
                    }
                }
            }
            if gone > 0 {
                tracing::info!(organization = %org, gone, "ended runs past their time were removed");
            }
        }
        Ok(())
    }
}

/// Removes large values and plans that nothing refers to any more.
#[derive(Debug)]
pub struct Artifacts;

impl Chore for Artifacts {
    const NAME: &'static str = "artifacts";
    const EVERY: Every = Every::Day(3);

    async fn run(&self, deps: &Deps) -> Result<()> {
        let keeper = deps.db.keeper();
        for (org, _) in store::organizations(keeper).await? {
            let gone = store::remove_artifacts(keeper, org).await?;
            if gone > 0 {
                tracing::info!(organization = %org, gone, "values that nothing refers to were removed");
            }
        }
        Ok(())
    }
}
