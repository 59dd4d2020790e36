//! What a run does next. Pure: no clock, no ids, no input or output; what comes in is an [`Input`] and the moment, what
//! comes out is a [`Turn`], one atomic write followed by effects. The machine in memory is changed along with it; when
//! the write does not go through, the owner loads the machine anew.
//!
//! - [`frame`](self): which nodes of a list can start, and what their ends mean for the list.
//! - `nodes`: how each kind of node starts, and what its filled-in templates lead to.
//! - `groups`: what repeats or nests a graph: maps, loops, workflows.
//! - `calls`: attempts of model and tool calls: begin, succeed, fail, try again.
//! - `mend`: what follows when the attempts are spent: alternatives, then a person.
//! - `agent`: an agent's turns.
//! - `budget`: what model calls below a node may use together.
//! - `limits`: what an agent's task may use.
//! - `instructions`: an agent's instructions, filled in.
//! - `memory`: what an agent remembers of its earlier tasks.
//! - `compress`: long results, told in short.
//! - `gates`: approvals and questions.
//! - `messages`: what agents of a run say to each other.
//! - `locks`: named locks, held while a step works.
//! - `scope`: what a template's expressions see.
//! - `suspects`: calls whose process died under them.

mod agent;
mod budget;
mod calls;
mod compress;
mod delegate;
mod discovery;
mod frame;
mod gates;
mod groups;
mod instructions;
mod limits;
mod locks;
mod memory;
mod mend;
mod messages;
mod nodes;
mod runaway;
mod scope;
mod suspects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use suspects::suspected_calls;

use serde_json::{Value, json};

use super::{
    journal::{Event, LogLevel, Usage},
    machine::{Detail, Effect, Input, Machine, Step, Turn},
    plan::Plan,
    state::{ErrorClass, RunState, StepError, StepId, StepKind, StepState},
};
use crate::kernel::Timestamp;

/// Takes one input in and says what is to be written and done.
#[must_use]
pub fn decide(machine: &mut Machine, input: Input, now: Timestamp) -> Turn {
    let plan = machine.plan.clone();
    let mut decider = Decider { m: machine, plan, now, turn: Turn::default() };
    if !decider.m.state.is_end() {
        decider.take(input);
        decider.look_for_room();
        decider.settle_run_state();
    }
    // Nothing begins any more once somebody has stopped the run, not even what only holds other steps.
    decider.turn.needs_sync |= decider.turn.events.iter().any(|event| matches!(event, Event::StepStarted { .. }));
    decider.turn
}

struct Decider<'m> {
    m: &'m mut Machine,
    plan: Arc<Plan>,
    now: Timestamp,
    turn: Turn,
}

impl Decider<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Loaded => self.loaded(),
            Input::Evaluated(step, result) => self.evaluated(&step, result),
            Input::Performed(step, attempt, result, lines) => self.performed(&step, attempt, result, lines),
            Input::Locked(step, answer) => self.locks_answered(&step, answer),
            Input::Held(asked) => self.locks_stand(asked),
            Input::Cancel(by) => self.cancel(&by),
            Input::Pause(by) => self.pause(&by),
            Input::Resume(by) => self.resume(&by),
            Input::Received(events) => {
                for (step, data) in events {
                    self.received(&step, data);
                }
            }
            Input::Decided(decisions) => {
                for decision in decisions {
                    self.decided(decision);
                }
            }
            Input::Escalated(escalations) => {
                for escalation in escalations {
                    self.escalated(&escalation);
                }
            }
            Input::Tick => self.tick(),
            Input::Broken => self.fail_run(StepError::new(
                ErrorClass::Internal,
                "engine.write_failed",
                "The run's data could not be written. This is a fault of ours; please report it.",
            )),
        }
    }

    /// The run was claimed: begin it, or go on where the journal ends.
    fn loaded(&mut self) {
        self.m.seen = Machine::brought_in(&self.plan, self.m.steps.values());
        if self.m.state == RunState::Cancelling {
            self.cancel("");
            return;
        }
        if self.m.state == RunState::Paused {
            return;
        }
        if !self.m.started {
            self.m.started = true;
            self.m.state = RunState::Running;
            self.turn.events.push(Event::RunStarted);
            self.announce_reused();
        } else if self.m.recovered {
            self.m.recovered = false;
            self.turn.events.push(Event::RunResumed { recovered: true });
            self.m.state = RunState::Running;
            self.m.waiting_on = None;
        }
        self.go_on_everywhere();
    }

    /// Looks at every open step, and at the graph, for what can begin or go on.
    fn go_on_everywhere(&mut self) {
        let mut open: Vec<_> = self
            .m
            .steps
            .values()
            .filter(|step| !step.state.is_end())
            .map(|step| (step.ordinal, step.id.clone()))
            .collect();
        open.sort();
        for (_, id) in open {
            self.go_on(&id);
            if self.m.state.is_end() {
                return;
            }
        }
        self.advance(None);
    }

    /// The same for what is below a step.
    fn go_on_below(&mut self, id: &StepId) {
        let mut open: Vec<_> =
            self.m.steps.values().filter(|step| !step.state.is_end() && id.holds(&step.id)).collect();
        open.sort_by_key(|step| step.ordinal);
        for id in open.into_iter().map(|step| step.id.clone()).collect::<Vec<_>>() {
            self.go_on(&id);
        }
    }

    /// An open step of a run that was loaded or let go on: what was under way elsewhere is tried again.
    fn go_on(&mut self, id: &StepId) {
        if self.m.is_held() || self.m.in_flight.contains(id) || self.m.evaluating.contains_key(id) {
            return;
        }
        let Some(step) = self.m.steps.get(id).filter(|step| step.state == StepState::Running) else { return };
        if self.stands_in_unlocked(id) {
            return;
        }
        if self.is_to_lock(id) {
            return self.lock_taken_over(id);
        }
        if step.detail.mending {
            return self.mend_advance(id);
        }
        match step.kind {
            StepKind::Model | StepKind::Tool | StepKind::Http | StepKind::Memory if step.input.is_some() => {
                self.cut_off(id);
            }
            StepKind::Agent if step.input.is_some() => self.agent_advance(id),
            StepKind::Map if step.input.is_some() => self.map_advance(id),
            StepKind::Loop => self.loop_advance(id),
            StepKind::Workflow if step.input.is_some() => self.advance(Some(id)),
            StepKind::Item | StepKind::Round => self.advance(Some(id)),
            // Its templates are to be filled in once more.
            _ => self.begin(id),
        }
    }

    /// The first events of a retry: what was taken over, so that the journal alone tells the whole run.
    fn announce_reused(&mut self) {
        let reopened: Vec<_> = self.m.steps.values().filter(|step| step.state == StepState::Running).collect();
        for id in reopened.into_iter().map(|step| step.id.clone()).collect::<Vec<_>>() {
            self.set_deadline(&id);
        }
        let mut reused: Vec<_> = self.m.steps.values().collect();
        reused.sort_by_key(|step| step.ordinal);
        for step in reused {
            let head = step.head();
            self.turn.events.push(match step.state {
                StepState::Succeeded => Event::StepSucceeded {
                    step: head,
                    attempt: step.attempt,
                    usage: step.usage,
                    reused: step.detail.reused,
                    cached: step.detail.cached,
                },
                StepState::Skipped => Event::StepSkipped { step: head },
                _ => Event::StepStarted { step: head, attempt: step.attempt },
            });
        }
    }

    fn tick(&mut self) {
        if self.m.deadline_at.is_some_and(|deadline| deadline <= self.now) {
            self.fail_run(StepError::new(
                ErrorClass::Timeout,
                "run.deadline",
                "The run did not end before its deadline. What was recorded until then is kept; retry it to go on.",
            ));
            return;
        }
        let mut due: Vec<_> = self
            .m
            .steps
            .values()
            .filter(|step| !step.state.is_end() && step.wake_at.is_some_and(|at| at <= self.now))
            .map(|step| (step.ordinal, step.id.clone(), step.kind, step.state))
            .collect();
        due.sort_by_key(|(ordinal, ..)| *ordinal);
        if self.m.is_held() {
            return;
        }
        for (_, id, kind, state) in due {
            // What came before may have stopped it.
            if self.m.state.is_end() || self.m.steps.get(&id).is_none_or(|step| step.state != state) {
                continue;
            }
            match (kind, state) {
                (_, StepState::Retrying) => self.start_attempt(&id),
                (StepKind::Wait, StepState::Waiting) => self.succeed(&id, Value::Null),
                (StepKind::WaitEvent, StepState::Waiting) => self.late_event(&id),
                (_, StepState::Waiting) if self.is_put_off(&id) => self.start_attempt(&id),
                (StepKind::Tool, StepState::Waiting) if self.m.steps.get(&id).is_some_and(Step::waits_for_answer) => {
                    self.late_answer(&id);
                }
                (_, StepState::Running) => self.late_group(&id),
                // A deadline of an approval is decided in the database, where a person may be faster.
                _ => {}
            }
        }
    }

    fn cancel(&mut self, by: &str) {
        self.tear_down();
        self.m.state = RunState::Cancelled;
        self.turn.needs_sync = true;
        let words = if by.is_empty() { "Stopped.".to_owned() } else { format!("Stopped by {by}.") };
        self.turn.log(LogLevel::Warn, None, words);
        self.turn.events.push(Event::RunCancelled);
    }

    /// Somebody holds the run: calls under way come to their end, and nothing new begins.
    fn pause(&mut self, by: &str) {
        if matches!(self.m.state, RunState::Paused | RunState::Cancelling) {
            return;
        }
        self.m.state = RunState::Paused;
        self.m.waiting_on = None;
        self.turn.log(LogLevel::Info, None, format!("Paused by {by}."));
        self.turn.events.push(Event::RunPaused { by: by.to_owned() });
    }

    fn resume(&mut self, by: &str) {
        if self.m.state != RunState::Paused {
            return;
        }
        self.m.state = RunState::Running;
        self.turn.log(LogLevel::Info, None, format!("{by} let the run go on."));
        self.turn.events.push(Event::RunResumed { recovered: false });
        if !self.m.started {
            self.m.started = true;
            self.turn.events.push(Event::RunStarted);
            self.announce_reused();
        }
        self.go_on_everywhere();
        self.ask_for_all_locks();
        self.tick();
    }

    fn fail_run(&mut self, error: StepError) {
        if self.m.state.is_end() {
            return;
        }
        self.tear_down();
        self.m.state = RunState::Failed;
        self.turn.needs_sync = true;
        self.turn.log(LogLevel::Error, error.caused_by.as_ref(), format!("The run failed: {}", error.message));
        self.m.error = Some(error.clone());
        self.turn.events.push(Event::RunFailed { error });
    }

    /// Stops all that has not ended: the run is about to.
    fn tear_down(&mut self) {
        self.stop_steps(|_| true);
        self.turn.effects.retain(|effect| matches!(effect, Effect::Unlock(_)));
        self.turn.effects.push(Effect::AbortAll);
        self.m.waiting_on = None;
    }

    fn stop_steps(&mut self, which: impl Fn(&StepId) -> bool) {
        let mut open: Vec<_> = self
            .m
            .steps
            .values()
            .filter(|step| !step.state.is_end() && which(&step.id))
            .map(|step| (step.ordinal, step.id.clone(), step.state))
            .collect();
        open.sort_by_key(|(ordinal, ..)| *ordinal);
        for (ordinal, id, state) in open {
            self.m.in_flight.remove(&id);
            self.withdraw_ask(&id);
            self.unlock(&id);
            if state == StepState::Queued {
                // Nobody has seen it yet.
                self.m.steps.remove(&id);
                continue;
            }
            self.keep_what_was_written(&id);
            let mut usage = Usage::default();
            if let Some(step) = self.m.steps.get_mut(&id) {
                // Of attempts that broke off before.
                usage = step.usage;
                self.turn.usage += usage;
                self.m.usage += usage;
                step.state = StepState::Cancelled;
                step.wake_at = None;
                if step.detail.approval.is_some() {
                    self.turn.approvals.retain(|approval| approval.step != id);
                    self.turn.withdrawn.push(id.clone());
                }
            }
            self.turn.touched.insert((ordinal, id.clone()));
            self.turn.events.push(Event::StepCancelled { step: id, usage });
        }
    }

    /// What a model had written when its call was stopped or failed stays with its step, to be read: it is no answer, and
    /// nothing takes it for one.
    fn keep_what_was_written(&mut self, id: &StepId) {
        let Some(step) = self.m.steps.get_mut(id).filter(|step| step.kind == StepKind::Model) else { return };
        if let Some(text) = self.m.heard.of(id) {
            step.output = Some(json!({ "text": text, "unfinished": true }));
        }
    }

    /// Whether the run works or waits follows from its steps; the journal tells when that changes.
    fn settle_run_state(&mut self) {
        if self.m.state.is_end() || self.m.is_held() {
            return;
        }
        if self.m.is_busy() {
            if self.m.state == RunState::Waiting {
                self.m.state = RunState::Running;
                self.m.waiting_on = None;
                self.turn.events.push(Event::RunResumed { recovered: false });
            }
            return;
        }
        match self.m.waits_on() {
            Some((on, until)) => {
                if self.m.state != RunState::Waiting || self.m.waiting_on != Some(on) {
                    self.m.state = RunState::Waiting;
                    self.m.waiting_on = Some(on);
                    self.turn.events.push(Event::RunWaiting { on, until });
                }
            }
            None => self.fail_run(StepError::new(
                ErrorClass::Internal,
                "engine.stuck",
                "The run cannot go on: no step is at work and none waits. This is a fault of ours; please report it.",
            )),
        }
    }

    fn open_step(&mut self, id: StepId, node: &str, kind: StepKind, name: &str, detail: Detail) -> &mut Step {
        let ordinal = self.m.next_ordinal;
        self.m.next_ordinal += 1;
        let step = Step {
            id: id.clone(),
            node: node.to_owned(),
            kind,
            name: name.to_owned(),
            ordinal,
            state: StepState::Queued,
            attempt: 0,
            input: None,
            output: None,
            error: None,
            detail,
            usage: Usage::default(),
            queued_at: self.now,
            wake_at: None,
        };
        self.m.steps.entry(id).insert_entry(step).into_mut()
    }

    fn touch(&mut self, id: &StepId) {
        if let Some(step) = self.m.steps.get(id) {
            self.turn.touched.insert((step.ordinal, id.clone()));
        }
    }

    /// A step has its result. What follows from it is decided at once.
    fn succeed(&mut self, id: &StepId, output: Value) {
        self.note_cost(id);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Succeeded;
        step.detail.mending = false;
        step.output = Some(output);
        step.error = None;
        step.wake_at = None;
        step.attempt = step.attempt.max(1);
        let (usage, cached) = (step.usage, step.detail.cached);
        let event = Event::StepSucceeded { step: step.head(), attempt: step.attempt, usage, reused: false, cached };
        self.turn.usage += usage;
        self.m.usage += usage;
        let brought = Machine::brought_in(&self.plan, self.m.steps.get(id));
        self.m.seen.untrusted |= brought.untrusted;
        self.m.seen.private |= brought.private;
        self.turn.events.push(event);
        self.touch(id);
        self.unlock(id);
        self.ended(id);
    }

    /// A step failed and its attempts are spent: it is mended where its node says how, or else given up.
    fn fail(&mut self, id: &StepId, error: StepError) {
        if let Some(error) = self.mend(id, error) {
            self.give_up(id, error);
        }
    }

    /// A step is given up. What follows from it is decided at once.
    fn give_up(&mut self, id: &StepId, error: StepError) {
        self.note_cost(id);
        self.keep_what_was_written(id);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Failed;
        step.error = Some(error.clone());
        step.wake_at = None;
        step.attempt = step.attempt.max(1);
        let event =
            Event::StepFailed { step: step.head(), attempt: step.attempt, error: error.clone(), usage: step.usage };
        step.detail.mending = false;
        let (usage, line) = (step.usage, format!("{} failed: {}", step.name, error.message));
        self.turn.usage += usage;
        self.m.usage += usage;
        self.turn.log(LogLevel::Error, Some(id), line);
        self.turn.events.push(event);
        self.touch(id);
        self.unlock(id);
        self.ended(id);
    }
}
