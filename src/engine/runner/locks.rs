//! What a node does about named locks: it asks for them, lets go of them, and passes on what lost processes left.

use std::{sync::Arc, time::Duration};

use super::Runner;
use crate::{
    engine::{
        machine::Input,
        state::StepId,
        store::{self, Claim, LockWish},
    },
    kernel::Error,
};

/// Asks for a step's locks, as long as it takes: until then the run is not let go.
pub(super) async fn lock(runner: Arc<Runner>, claim: Claim, step: StepId, wish: LockWish) -> Input {
    loop {
        match store::ask_for_locks(&runner.pool, claim, &step, &wish).await {
            Ok((told, answer)) => {
                told.into_iter().for_each(|run| runner.engine.committed(claim.org, run));
                return Input::Locked(step, answer);
            }
            Err(error) => {
                tracing::warn!(run = %claim.run, %error, "locks could not be asked for; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// Lets go of a step's locks. Where it fails they count as free all the same, and whoever looks next passes them on.
pub(super) async fn unlock(runner: Arc<Runner>, claim: Claim, step: StepId) {
    match store::unlock(&runner.pool, claim, &step).await {
        Ok(told) => told.into_iter().for_each(|run| runner.engine.committed(claim.org, run)),
        Err(error) => {
            tracing::warn!(run = %claim.run, %error, "locks could not be let go of; they are passed on later")
        }
    }
}

impl Runner {
    /// Hands locks on whose holders are gone, or have had their time.
    pub(super) async fn pass_on_locks(&self) {
        let pass_on = async {
            for (org, names) in store::forsaken_locks(&self.pool).await? {
                for run in store::pass_on(&self.pool, org, &names).await? {
                    self.engine.committed(org, run);
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = pass_on.await {
            tracing::warn!(%error, "looking for locks that nobody holds any more failed");
        }
    }
}
