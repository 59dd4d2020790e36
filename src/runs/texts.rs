//! Taking in what ended runs say and come to, so that they are found by it and counted. What was not taken in yet is read
//! where it stands: what is found is the same, it only takes longer.

use super::store::texts as store;
use crate::{
    deps::Deps,
    jobs::{Chore, Every},
    kernel::{Kind, OrgId, Result},
};

pub use store::is_indexed;

/// How many runs one transaction takes in, at first.
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
            // What one organization's runs are like holds up no other one.
            if let Err(error) = all_of(deps, org).await {
                tracing::warn!(organization = %org, %error, "what ended runs say was not taken in");
            }
        }
        Ok(())
    }
}

/// Takes in what an organization's runs say, in smaller batches after each that could not be. Of a run that cannot be taken
/// in even alone, only the beginnings of its texts are: it holds up no later one.
async fn all_of(deps: &Deps, org: OrgId) -> Result<()> {
    let mut most = BATCH;
    for _ in 0..BATCHES {
        let more = match batch(deps, org, most, false).await {
            Ok(more) => more,
            // No run is to blame for a database that is away.
            Err(error) if error.kind == Kind::Unavailable => return Err(error),
            Err(_) if most > 1 => {
                most /= 2;
                continue;
            }
            Err(_) => batch(deps, org, most, true).await?,
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// One transaction of the intake. Whether more runs are left.
async fn batch(deps: &Deps, org: OrgId, most: i64, cut: bool) -> Result<bool> {
    let mut tx = deps.db.tenant(org).await?;
    let more = store::take_in(&mut tx, most, cut).await?;
    tx.commit().await?;
    Ok(more)
}
