//! What a step has under way outside of its run: templates that are filled in, events that are asked for, calls. Each
//! brings back one input for the next decision.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use futures::FutureExt;

use super::{Runner, actor::Lane};
use crate::{
    engine::{
        journal::LogLevel,
        machine::{Heard, Input},
        port::{Answer, Call, CallScope, Evaluation, Progress},
        state::{ErrorClass, StepError, StepId},
        store::{self, Claim},
    },
    kernel::text,
};

/// Fills in templates.
pub(super) async fn evaluate(runner: Arc<Runner>, step: StepId, evaluation: Evaluation) -> Input {
    let work = AssertUnwindSafe(runner.effects.evaluate(evaluation)).catch_unwind();
    let mut result = work.await.unwrap_or_else(|_| Err(panicked())).map_err(storable);
    if let Ok(value) = &mut result {
        text::clean(value);
    }
    Input::Evaluated(step, result)
}

/// Notes that a step waits for an event, as long as it takes: until then the run is not let go.
pub(super) async fn expect(runner: Arc<Runner>, claim: Claim, step: StepId, key: String) -> Input {
    loop {
        match store::expect_event(&runner.pool, claim, &step, &key).await {
            Ok((told, came)) => {
                told.into_iter().for_each(|run| runner.engine.committed(claim.org, run));
                let came = came.map_or(serde_json::Value::Null, |data| serde_json::json!({ "received": data }));
                return Input::Evaluated(step, Ok(came));
            }
            Err(error) => {
                tracing::warn!(run = %claim.run, %error, "an event could not be waited for; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// What comes from outside may hold what the database does not store: that must not keep the rest from being written.
fn storable(mut error: StepError) -> StepError {
    error.message = text::without_nul(error.message);
    error
}

fn make_storable(answer: &mut Answer) {
    match answer {
        Answer::Model(answer) => {
            answer.text = text::without_nul(std::mem::take(&mut answer.text));
            answer.marks().for_each(|mark| *mark = text::without_nul(std::mem::take(mark)));
            answer.tool_calls.iter_mut().for_each(|call| text::clean(&mut call.arguments));
        }
        Answer::Tool { output } => text::clean(output),
        Answer::AskHuman { question } => *question = text::without_nul(std::mem::take(question)),
        Answer::Cached(answer) | Answer::Paid { answer, .. } => make_storable(answer),
        Answer::Later { why, .. } => *why = text::without_nul(std::mem::take(why)),
    }
}

/// A run in this node's hands, and the number of the lease under which that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) claim: Claim,
    pub(super) lease: u64,
}

/// Performs a call once it is its turn.
pub(super) async fn perform(
    runner: Arc<Runner>,
    owner: Owner,
    lane: Option<Arc<Lane>>,
    call: Call,
    mut scope: CallScope,
    time: TimeDelta,
    heard: Heard,
) -> Input {
    // A call that waits for its turn uses up none of its own time, but its run's. The semaphores are never closed.
    let turn = async {
        let only = match &lane {
            Some(lane) => lane.one.acquire().await.ok(),
            None => None,
        };
        let place = runner.effects.place(&call, &scope).await;
        let slot = {
            // One of an organization at a time stands in the line for a slot: so the line goes round.
            let door = runner.doors.of(scope.org);
            let _first = door.lock().await;
            runner.calls.acquire().await
        };
        let goes = goes_out(&runner, owner, lane.is_some().then_some(&scope.step)).await;
        (only, place, slot, goes)
    };
    let turn = tokio::time::timeout(runner.clock.until(scope.until), turn).await;
    scope.until = scope.until.min(runner.clock.now() + time);
    scope.time = runner.clock.until(scope.until);
    let (step, attempt) = (scope.step.clone(), scope.attempt);
    let lines = Mutex::new(Vec::new());
    let progress = |progress: Progress| match progress {
        Progress::Partial(text) => {
            heard.hear(&scope.step, Some(&text));
            runner.engine.readers().partial(scope.org, scope.run, &scope.step, attempt, Some(&text));
        }
        Progress::Restart => {
            heard.hear(&scope.step, None);
            runner.engine.readers().partial(scope.org, scope.run, &scope.step, attempt, None);
        }
        Progress::Log(level, line) => lines.lock().unwrap_or_else(PoisonError::into_inner).push((level, line)),
    };
    heard.hear(&scope.step, None);
    let mut place = None;
    let result = match turn {
        Err(_) => Err(late("The call's turn did not come before its agent or run had to end.")),
        Ok((.., false)) => Err(gone()),
        Ok((_only, given, _slot, true)) => {
            place = given;
            let work = AssertUnwindSafe(runner.effects.perform(call, &scope, &progress)).catch_unwind();
            match tokio::time::timeout(runner.clock.until(scope.until), work).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(StepError { effect_unknown: true, ..panicked() }),
                Err(_) => {
                    let error = late("The call did not answer within the time that its step allows.");
                    Err(StepError { effect_unknown: true, ..error })
                }
            }
        }
    };
    place.into_iter().for_each(|place| place.came_back(&result));
    let mut result = result.map_err(storable);
    result.iter_mut().for_each(make_storable);
    let lines: Vec<(LogLevel, String)> = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lines = lines.into_iter().map(|(level, line)| (level, text::without_nul(line))).collect();
    Input::Performed(step, attempt, result, lines)
}

/// Waits until it is certain that a run is this node's, and notes a call that is suspected of taking processes down.
/// `false`: the run has gone to another owner, so the call is not to be made.
async fn goes_out(runner: &Runner, owner: Owner, suspect: Option<&StepId>) -> bool {
    loop {
        // A lease that ran out while this process slept is had anew by the next heartbeat.
        if let Some(lease) = runner.clock.holds(runner.settings.lease) {
            let asked = match suspect {
                Some(step) => store::note_suspect(&runner.pool, runner.node, owner.claim, step).await,
                None if lease == owner.lease => return true,
                None => store::is_owner(&runner.pool, runner.node, owner.claim).await,
            };
            match asked {
                Ok(false) => return false,
                Ok(true) if runner.clock.holds(runner.settings.lease) == Some(lease) => return true,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!(run = %owner.claim.run, %error, "whose the run is cannot be asked; trying again");
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Nobody reads this: what belongs to another cannot be written.
fn gone() -> StepError {
    StepError::new(ErrorClass::Internal, "engine.not_owner", "The run went on elsewhere before the call was made.")
}

fn late(message: &str) -> StepError {
    StepError::new(ErrorClass::Timeout, "step.timeout", message)
}

fn panicked() -> StepError {
    StepError::new(ErrorClass::Internal, "engine.panic", "The step hit a fault of ours. Please report it.")
}
