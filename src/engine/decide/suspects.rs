//! Calls that were under way when their process died. One loss is nobody's fault; a call that was there again and again
//! is suspected of being the cause, and in the end given up.

use super::Decider;
use crate::engine::{
    journal::LogLevel,
    machine::{Machine, Step},
    state::{ErrorClass, StepError, StepId, StepKind, StepState},
};

/// How many processes a call may have been lost with until its run is worked on alone. Not one: a process that is merely
/// restarted must not keep hundreds of calls waiting for each other.
const SUSPECT: u32 = 2;

/// Whether a call was under way when the run's last owner was lost.
fn was_lost(machine: &Machine, step: &Step) -> bool {
    matches!(step.kind, StepKind::Model | StepKind::Tool | StepKind::Http)
        && step.state == StepState::Running
        && !machine.in_flight.contains(&step.id)
}

/// Whether the run, as it was just loaded, holds a call that may take its process down: it is to be worked on while
/// nothing else is.
#[must_use]
pub fn is_suspect(machine: &Machine) -> bool {
    let lost = machine.steps.values().filter(|step| was_lost(machine, step));
    lost.map(|step| step.detail.crashes + machine.crashes).any(|crashes| (SUSPECT..machine.poison).contains(&crashes))
}

impl Decider<'_> {
    /// A call of an owner that is gone begins anew, unless it has taken down as many processes as it may, or must not
    /// happen twice.
    pub(super) fn cut_off(&mut self, id: &StepId) {
        let (lost, poison) = (self.m.crashes, self.m.poison);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.crashes += lost;
        let (crashes, attempt) = (step.detail.crashes, step.attempt + 1);
        if crashes >= poison {
            let message = format!(
                "The step was under way when its process died, {crashes} times in a row. It is not tried again, so that \
                 it does no more harm; whatever it calls may have been reached each time."
            );
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
