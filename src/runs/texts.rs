//! Taking in what ended runs say and come to, so that they are found by it and counted. What was not taken in yet is read
//! where it stands: what is found is the same, it only takes longer.

use super::store::texts as store;
use crate::{
    deps::Deps,
    jobs::{Chore, Every},
    kernel::Result,
};

pub use store::is_indexed;

/// How many runs one transaction takes in.
const BATCH: i64 = 100;
/// How many batches of an organization are taken in before the next one has its turn.
const BATCHES: usize = 50;

/// Takes in the texts and figures of runs that ended. Each organization's own transaction reads them: the keeper sees no values.
#[derive(Debug)]
pub struct TakeIn;

impl Chore for TakeIn {
    const NAME: &'static str = "run-texts";
    const EVERY: Every = Every::Minute;

    async fn run(&self, deps: &Deps) -> Result<()> {
        for org in store::behind(deps.db.keeper()).await? {
            for _ in 0..BATCHES {
                let mut tx = deps.db.tenant(org).await?;
                let more = store::take_in(&mut tx, BATCH).await?;
                tx.commit().await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}
