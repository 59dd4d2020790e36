//! Named locks. A step whose node names some holds all of them from before its work begins until it ends, over all of its
//! attempts and whatever mends it, or until their time is over; then it is cut off.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Decider, mend::is_effort};
use crate::{
    engine::{
        journal::{Event, LogLevel, StepHead},
        machine::{Effect, Lock, LockAnswer, LockGrant, Machine, Step},
        plan::{LOCK_S, MAX_LOCK_NAME, Node},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::RunId,
};

/// The places, among those of templates, of a step that has asked for its locks, and of one that is taken over and has
/// only the names of its locks filled in.
const ASKED: usize = usize::MAX;
pub(super) const NAMES: usize = usize::MAX - 1;

impl Decider<'_> {
    /// The names of a step's locks are known. Empty ones are none.
    pub(super) fn name_locks(&mut self, id: &StepId, names: Option<&Value>) -> Result<(), StepError> {
        let names = names.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let words = |name: &Value| match name {
            Value::Null => String::new(),
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        // In one order, and each once.
        let names: BTreeSet<String> = names.iter().map(words).filter(|name| !name.is_empty()).collect();
        if let Some(long) = names.iter().find(|name| name.chars().count() > MAX_LOCK_NAME) {
            let start = crate::kernel::text::shortened(long, 40);
            let message =
                format!("The name of a lock has {MAX_LOCK_NAME} characters at most. This one begins: {start}");
            return Err(StepError::new(ErrorClass::BadInput, "lock.name", message));
        }
        if let Some(step) = self.m.steps.get_mut(id) {
            step.detail.locks = Some(names.into_iter().collect());
        }
        Ok(())
    }

    /// Whether a step has to take its locks before it does its work.
    pub(super) fn needs_locks(&self, id: &StepId) -> bool {
        let detail = self.m.steps.get(id).map(|step| &step.detail);
        detail.is_some_and(|detail| detail.lock.is_none() && detail.locks.as_ref().is_some_and(|all| !all.is_empty()))
    }

    /// Asks for a step's locks. What it is to work on is kept meanwhile.
    pub(super) fn ask_for_locks(&mut self, id: &StepId, value: Value) {
        let above = std::iter::successors(id.parent(), StepId::parent);
        if above.into_iter().any(|above| self.m.steps.get(&above).is_some_and(|step| step.detail.lock.is_some())) {
            self.m.steps.entry(id.clone()).and_modify(|step| step.detail.locks = None);
            let message = "The step stands in one that holds locks, and would wait for locks of its own: two runs could \
                           wait for each other. Name all of them at the outer step.";
            return self.fail(id, StepError::new(ErrorClass::BadInput, "lock.nested", message));
        }
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.input = Some(match (step.kind, value) {
            (StepKind::Agent, Value::Object(asked)) if step.detail.mending => Value::Object(asked),
            (StepKind::Agent, prompt) => json!({ "prompt": prompt }),
            (_, value) => value,
        });
        self.ask_again(id);
    }

    /// Asks for locks, whether it has been done or not.
    fn ask_again(&mut self, id: &StepId) {
        let names = self.m.steps.get(id).and_then(|step| step.detail.locks.clone()).unwrap_or_default();
        let limit = Machine::node_of(&self.plan, id).and_then(|node| node.lock_s).unwrap_or(LOCK_S);
        self.m.evaluating.insert(id.clone(), ASKED);
        self.turn.effects.push(Effect::Lock(id.clone(), names, limit.clamp(1, 86_400)));
    }

    /// How the steps stand that have asked for locks. One that waits and stands in no queue was granted its locks and not
    /// there in time: it asks anew.
    pub(super) fn locks_stand(&mut self, asked: Vec<(StepId, Option<LockGrant>)>) {
        let is_lost = |step: &&Step| {
            step.waits_for_lock()
                && !self.m.evaluating.contains_key(&step.id)
                && !asked.iter().any(|(id, _)| *id == step.id)
        };
        let mut lost: Vec<_> =
            self.m.steps.values().filter(is_lost).map(|step| (step.ordinal, step.id.clone())).collect();
        lost.sort();
        for (step, grant) in asked {
            if let Some(grant) = grant {
                self.lock_came(&step, grant);
            }
        }
        for (_, id) in lost {
            if !self.m.is_held() && !self.m.state.is_end() {
                self.ask_again(&id);
            }
        }
    }

    /// A run that was held goes on: what waited for its locks may have been passed by, and is told anew how it stands.
    pub(super) fn ask_for_all_locks(&mut self) {
        let mut waiting: Vec<_> = self.m.steps.values().filter(|step| step.waits_for_lock()).collect();
        waiting.sort_by_key(|step| step.ordinal);
        for id in waiting.into_iter().map(|step| step.id.clone()).collect::<Vec<_>>() {
            self.ask_again(&id);
        }
    }

    /// A step that asked for its locks was answered.
    pub(super) fn locks_answered(&mut self, id: &StepId, answer: LockAnswer) {
        if self.m.evaluating.get(id) != Some(&ASKED) {
            return;
        }
        self.m.evaluating.remove(id);
        if self.m.is_held() {
            // It asks again when it goes on.
            if self.m.steps.get(id).is_some_and(|step| step.state == StepState::Queued) {
                self.m.steps.remove(id);
            }
            return;
        }
        match answer {
            LockAnswer::Granted(grant) => self.locked(id, grant),
            LockAnswer::Queued { name, holder } => self.wait_for_lock(id, &name, holder),
        }
    }

    /// A step's locks were granted while it waited, or while it asked.
    pub(super) fn lock_came(&mut self, id: &StepId, grant: LockGrant) {
        let asked = self.m.evaluating.get(id) == Some(&ASKED);
        let waits = self.m.steps.get(id).is_some_and(Step::waits_for_lock);
        if self.m.is_held() || !(asked || waits) {
            return;
        }
        if asked {
            self.m.evaluating.remove(id);
        }
        self.locked(id, grant);
    }

    fn wait_for_lock(&mut self, id: &StepId, name: &str, holder: Option<RunId>) {
        let Some(step) = self.m.steps.get_mut(id).filter(|step| !step.state.is_end()) else { return };
        if step.waits_for_lock() {
            return;
        }
        step.state = StepState::Waiting;
        step.wake_at = None;
        step.detail.lock = Some(Lock::Waiting);
        let (by, line) = match holder {
            Some(run) => (format!(", held by {run}"), format!("Waits for the lock “{name}”, held by the run {run}.")),
            None => (String::new(), format!("Waits for the lock “{name}”; others are before it.")),
        };
        let head = StepHead { about: Some(format!("lock “{name}”{by}")), ..step.head() };
        let (attempt, lock) = (step.attempt, Some(name.to_owned()));
        self.turn.events.push(Event::StepWaiting { step: head, attempt, until: None, approval: None, lock });
        self.turn.log(LogLevel::Info, Some(id), line);
        self.touch(id);
    }

    /// A step holds its locks: it does its work.
    fn locked(&mut self, id: &StepId, grant: LockGrant) {
        let now = self.now;
        let Some(step) = self.m.steps.get_mut(id).filter(|step| !step.state.is_end()) else { return };
        if is_over(grant, now) {
            // It came while the run was held, and its time has passed.
            return self.ask_again(id);
        }
        let waited = step.waits_for_lock();
        step.detail.lock = Some(Lock::Held(grant));
        let (input, begun) = (step.input.clone().unwrap_or_default(), step.attempt > 0);
        let mending = step.detail.mending;
        if waited {
            let names = step.detail.locks.clone().unwrap_or_default().join("”, “");
            self.turn.log(LogLevel::Info, Some(id), format!("Holds the lock “{names}” now."));
        }
        self.touch(id);
        if mending {
            return self.begin_again(id, input);
        }
        let input = match self.m.steps.get(id).map(|step| step.kind) {
            Some(StepKind::Agent) => super::nodes::prompt_of(&input),
            _ => input,
        };
        self.do_work(id, input);
        if begun {
            self.go_on_below(id);
        }
    }

    /// A group that was taken over from another run needs its locks before anything in it goes on.
    pub(super) fn is_to_lock(&self, id: &StepId) -> bool {
        let Some(step) = self.m.steps.get(id).filter(|step| Machine::is_of_node(step)) else { return false };
        match &step.detail.locks {
            Some(_) => self.needs_locks(id),
            None => {
                let named = Machine::node_of(&self.plan, id).is_some_and(|node| !node.locks.is_empty());
                named && step.input.is_some() && !step.detail.mending
            }
        }
    }

    /// Whether something that a step stands in does not have its locks yet.
    pub(super) fn stands_in_unlocked(&self, id: &StepId) -> bool {
        let above = std::iter::successors(id.parent(), StepId::parent);
        above
            .into_iter()
            .any(|above| self.is_to_lock(&above) || self.m.steps.get(&above).is_some_and(Step::waits_for_lock))
    }

    pub(super) fn lock_taken_over(&mut self, id: &StepId) {
        let plan = self.plan.clone();
        match Machine::node_of(&plan, id) {
            Some(node) if self.m.steps.get(id).is_some_and(|step| step.detail.locks.is_none()) => {
                let template = json!({ "locks": node.locks });
                self.fill_in(id, template, NAMES, id.parent().as_ref());
            }
            _ => self.ask_again(id),
        }
    }

    /// The names of the locks of a step that was taken over are known.
    pub(super) fn taken_over_named(&mut self, id: &StepId, value: &Value) {
        if let Err(error) = self.name_locks(id, value.get("locks")) {
            self.stop_below(id);
            return self.fail(id, error);
        }
        let input = self.m.steps.get(id).and_then(|step| step.input.clone()).unwrap_or_default();
        if self.needs_locks(id) {
            return self.ask_for_locks(id, input);
        }
        self.do_work(id, input);
        self.go_on_below(id);
    }

    /// Before a step that a person lets begin again does so, it takes its locks anew where their time is over. Returns
    /// whether it has to.
    pub(super) fn locks_again(&mut self, id: &StepId, input: &Value) -> bool {
        let now = self.now;
        let Some(step) = self.m.steps.get_mut(id) else { return false };
        match step.detail.lock {
            Some(Lock::Held(grant)) if is_over(grant, now) => {}
            _ => return false,
        }
        step.state = StepState::Running;
        step.detail.lock = None;
        step.detail.mending = true;
        let kept = if step.kind == StepKind::Loop { step.input.clone() } else { Some(input.clone()) };
        self.touch(id);
        self.ask_for_locks(id, kept.unwrap_or_default());
        true
    }

    /// The locks that a step works under: its own, or those of what it stands in.
    pub(super) fn lock_of(&self, id: &StepId) -> Option<LockGrant> {
        let mut here = std::iter::successors(Some(id.clone()), StepId::parent);
        here.find_map(|id| match self.m.steps.get(&id)?.detail.lock {
            Some(Lock::Held(grant)) => Some(grant),
            _ => None,
        })
    }

    /// Those that it holds itself, or that it helps another step to make use of.
    pub(super) fn own_lock(&self, id: &StepId) -> Option<LockGrant> {
        let holder = if is_effort(id) { id.parent()? } else { id.clone() };
        match self.m.steps.get(&holder)?.detail.lock {
            Some(Lock::Held(grant)) => Some(grant),
            _ => None,
        }
    }

    /// Whether the time of the locks that a step works under is over.
    pub(super) fn lock_is_over(&self, id: &StepId) -> bool {
        self.lock_of(id).is_some_and(|grant| is_over(grant, self.now))
    }

    /// A step has ended: somebody else may have its locks.
    pub(super) fn unlock(&mut self, id: &StepId) {
        if self.m.steps.get(id).is_some_and(|step| step.detail.lock.is_some()) {
            self.turn.effects.push(Effect::Unlock(id.clone()));
        }
    }

    /// A step that has asked for its locks, and has no answer yet, is stopped.
    pub(super) fn withdraw_ask(&mut self, id: &StepId) {
        if self.m.evaluating.remove(id) == Some(ASKED) {
            self.turn.effects.push(Effect::Unlock(id.clone()));
        }
    }
}

fn is_over(grant: LockGrant, now: crate::kernel::Timestamp) -> bool {
    grant.until <= now + LockGrant::TOO_LATE
}

/// What a step fails of when the time of its locks is over.
pub(super) fn expired() -> StepError {
    let message = "The time for which the step may hold its locks is over. Give it more, or make its work shorter.";
    StepError::new(ErrorClass::Timeout, "lock.expired", message)
}

/// A node's templates together with what must be known before it begins.
pub(super) fn with_locks(node: &Node, mut template: Value) -> Value {
    if !node.locks.is_empty()
        && let Value::Object(fields) = &mut template
    {
        fields.insert("locks".to_owned(), json!(node.locks));
    }
    template
}
