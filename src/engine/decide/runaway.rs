//! Agents that run in circles: the same calls with the same results, or the same error again and again. The model is told
//! first; when that does not help, the task is stopped with what was seen.

use serde_json::Value;

use super::Decider;
use crate::{
    engine::{
        machine::Step,
        plan::AgentSpec,
        port::{Message, ModelAnswer},
        state::{ErrorClass, StepError, StepId, StepState},
    },
    kernel::text,
};

/// Turns in a row without anything new before the model is told, and before the task is stopped.
const STALE_TOLD: u32 = 2;
const STALE_STOPPED: u32 = 4;
/// Calls in a row with the same error before the model is told, and before the task is stopped.
const FAILED_TOLD: u32 = 3;
const FAILED_STOPPED: u32 = 6;

/// How an agent's task comes along.
pub(super) enum Pace {
    /// Something new came of the last turn.
    Good,
    /// It did not, and the model is told so.
    Slow(String),
    /// It has not for too long.
    Stuck(StepError),
}

impl Decider<'_> {
    /// How the task comes along, before its turn `turn`.
    pub(super) fn pace(&self, agent: &StepId, spec: &AgentSpec, turn: u32) -> Pace {
        let stale = (1..turn).rev().take_while(|past| self.is_stale(agent, *past)).take(STALE_STOPPED as usize).count();
        let (failed, last) = self.same_error(agent, turn);
        let stuck = |what: String| {
            let used = self.used_below(agent);
            let turns = turn - 1;
            let tokens = text::grouped(used.tokens());
            let message = format!(
                "{} was stopped because it makes no progress: {what}. Until then it took {turns} turns, {tokens} tokens \
                 and {}.",
                spec.name, used.cost,
            );
            Pace::Stuck(StepError::new(ErrorClass::Budget, "agent.no_progress", message))
        };
        match (u32::try_from(stale).unwrap_or(u32::MAX), failed) {
            (STALE_STOPPED.., _) => stuck(format!(
                "its last {STALE_STOPPED} turns made only calls that it had made before, with the same results"
            )),
            (_, FAILED_STOPPED..) => {
                stuck(format!("its last {FAILED_STOPPED} tool calls failed in the same way ({last})"))
            }
            (STALE_TOLD.., _) => Pace::Slow(
                "You have made these calls before, and they gave the same results again. Use what you know, try another \
                 way, or say what keeps you from answering."
                    .to_owned(),
            ),
            (_, FAILED_TOLD..) => Pace::Slow(format!(
                "Your last {failed} tool calls failed in the same way: {last} Do not repeat it. Try another way, or say \
                 what keeps you from answering."
            )),
            _ => Pace::Good,
        }
    }

    /// What the model was told about its pace before a turn.
    pub(super) fn notice_before(&self, model: &StepId) -> Option<Message> {
        let notice = self.m.steps.get(model)?.input.as_ref()?.get("notice")?.as_str()?;
        Some(Message::User { text: notice.to_owned() })
    }

    /// Whether all calls of a turn had been made before, with the same outcome.
    fn is_stale(&self, agent: &StepId, turn: u32) -> bool {
        let calls = self.calls_of(agent, turn);
        let earlier: Vec<_> = (1..turn).flat_map(|past| self.calls_of(agent, past)).collect();
        !calls.is_empty() && calls.iter().all(|call| earlier.iter().any(|before| is_same(before, call)))
    }

    /// How many of the last calls failed with one and the same error, and that error.
    fn same_error(&self, agent: &StepId, turn: u32) -> (u32, String) {
        let newest_first = (1..turn).rev().flat_map(|past| self.calls_of(agent, past).into_iter().rev());
        let mut last: Option<&StepError> = None;
        let mut count = 0;
        for call in newest_first {
            let Some(error) = call.error.as_ref().filter(|_| call.state == StepState::Failed) else { break };
            if last.is_some_and(|last| (&last.code, &last.message) != (&error.code, &error.message)) {
                break;
            }
            last = Some(error);
            count += 1;
            if count == FAILED_STOPPED {
                break;
            }
        }
        (count, last.map(|error| error.message.clone()).unwrap_or_default())
    }

    fn calls_of(&self, agent: &StepId, turn: u32) -> Vec<&Step> {
        let Some(ModelAnswer { tool_calls, .. }) = self.answer(&agent.child(format_args!("model{turn}"))) else {
            return Vec::new();
        };
        let id = |(place, request)| self.call_id(agent, turn, place, request);
        tool_calls.iter().enumerate().map(id).filter_map(|id| self.m.steps.get(&id)).collect()
    }
}

fn is_same(one: &Step, other: &Step) -> bool {
    let said = |step: &Step| step.error.as_ref().map(|error| error.message.clone());
    let came = |step: &Step| step.output.as_ref().filter(|output| **output != Value::Null).cloned();
    one.detail.about == other.detail.about
        && one.input == other.input
        && one.state == other.state
        && came(one) == came(other)
        && said(one) == said(other)
}
