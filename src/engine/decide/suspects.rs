//! Calls that were under way when their process died. One loss is nobody's fault; a call that was there again and again
//! is suspected of being the cause, and in the end given up.

use std::collections::HashSet;

use super::Decider;
use crate::{
    engine::{
        journal::LogLevel,
        machine::{Machine, Step},
        state::{ErrorClass, RunState, StepError, StepId, StepKind, StepState},
    },
    kernel::Timestamp,
};

/// How many processes a call may have been lost with until it is a suspect: it is called again by one run at a time on a
/// node. Not one: a process that is merely restarted must not keep hundreds of calls waiting for each other.
const SUSPECT: u32 = 2;

/// How many processes in a row may be lost with a run before one of them writes anything. No call can be the cause then, as
/// each begins with a write; the run itself may be, when it is read.
const UNREAD: u32 = 12;

/// Whether a call was under way when the run's last owner was lost.
fn was_lost(machine: &Machine, step: &Step) -> bool {
    matches!(step.kind, StepKind::Model | StepKind::Tool | StepKind::Http | StepKind::Memory)
        && step.state == StepState::Running
        && !machine.in_flight.contains(&step.id)
}

/// Whether the first of the owners that were lost since the last write counts against a call: it was under way then. A
/// suspect has to have been out: it may have waited for its turn.
fn counts(machine: &Machine, step: &Step) -> bool {
    match &machine.suspect {
        Some(suspect) => *suspect == step.id,
        None => step.detail.crashes < SUSPECT,
    }
}

/// With how many processes in a row a lost call was under way. Of those that were lost since the last write, that is the
/// first at most: the others had not come to it again.
fn times(machine: &Machine, step: &Step) -> u32 {
    step.detail.crashes + if counts(machine, step) { machine.crashes.min(1) } else { 0 }
}

/// The calls of a run, as it was just loaded, that may take their process down: they are to be made while no other run of
/// this node makes such calls. None of a run that is to end now: it makes no call at all.
#[must_use]
pub fn suspected_calls(machine: &Machine, now: Timestamp) -> HashSet<StepId> {
    if machine.state == RunState::Cancelling || machine.deadline_at.is_some_and(|deadline| deadline <= now) {
        return HashSet::new();
    }
    let may_be = |step: &&Step| {
        let given_up = times(machine, step) >= machine.poison || machine.crashes >= UNREAD;
        let unread = machine.crashes.saturating_sub(1);
        was_lost(machine, step) && !given_up && times(machine, step) + unread >= SUSPECT
    };
    machine.steps.values().filter(may_be).map(|step| step.id.clone()).collect()
}

impl Decider<'_> {
    /// A call of an owner that is gone begins anew, unless it has taken down as many processes as it may, or must not
    /// happen twice.
    pub(super) fn cut_off(&mut self, id: &StepId) {
        let (lost, poison) = (self.m.crashes, self.m.poison);
        let Some(crashes) = self.m.steps.get(id).map(|step| times(self.m, step)) else { return };
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.crashes = crashes;
        let attempt = step.attempt + 1;
        if crashes >= poison || lost >= UNREAD {
            let message = if crashes >= poison {
                format!(
                    "The step was under way when its process died, {crashes} times in a row. It is not tried again, so \
                     that it does no more harm; whatever it calls may have been reached each time."
                )
            } else {
                format!(
                    "{lost} processes in a row died with this run before they could go on with the step. It is not tried \
                     again, so that it does no more harm."
                )
            };
            return self.fail(id, StepError::new(ErrorClass::Poison, "step.poison", message));
        }
        if self.must_not_repeat(id) {
            let message = "The node that worked on this was lost while the call was under way.";
            return self.uncertain(id, StepError::new(ErrorClass::Internal, "step.outcome_unknown", message));
        }
        let line = format!("The node that worked on this step was lost. Attempt {attempt} begins.");
        self.turn.log(LogLevel::Warn, Some(id), line);
        self.start_attempt(id);
    }
}
