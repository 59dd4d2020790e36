//! What follows when a step's own attempts are spent: its node's alternatives, one after the other, then a person. Each
//! is a step below the one that failed (`fetch.~alt1`, `fetch.~ask1`, `fetch.~again1`), so that after a crash it follows
//! from the recorded steps where it stands.

use serde_json::{Value, json};

use super::{Decider, budget::OVER, limits::LIMIT, nodes::prompt_of};
use crate::{
    access::Role,
    approvals::{ApprovalKind, Details},
    engine::{
        journal::{Event, LogLevel},
        machine::{Applied, Detail, GateRules, Machine, NewApproval, Ruling, Step},
        plan::{Alternative, Node, NodeKind, OnError, OnExpiry},
        port::BUDGET_SPENT,
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::text,
};

/// What a step below a failed one is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    Alternative(usize),
    Ask(u32),
    Again(u32),
}

impl Effort {
    fn id(self, of: &StepId) -> StepId {
        match self {
            Self::Alternative(number) => of.child(format_args!("~alt{number}")),
            Self::Ask(number) => of.child(format_args!("~ask{number}")),
            Self::Again(number) => of.child(format_args!("~again{number}")),
        }
    }
}

/// Whether a step is one of those that mend the one above it.
pub(super) fn is_effort(id: &StepId) -> bool {
    id.key().starts_with('~')
}

impl Decider<'_> {
    /// Takes a failed step over, if its node says how to mend it; else the error comes back.
    pub(super) fn mend(&mut self, id: &StepId, error: StepError) -> Option<StepError> {
        let plan = self.plan.clone();
        let (Some(step), Some(node)) = (self.m.steps.get(id), Machine::node_of(&plan, id)) else { return Some(error) };
        if !Machine::is_of_node(step) || (!self.has_alternative(id, node, &error) && !self.asks(id, node, &error)) {
            return Some(error);
        }
        self.hand_over(id, error);
        self.mend_advance(id);
        None
    }

    /// The step's own attempts are over, and it has not ended.
    fn hand_over(&mut self, id: &StepId, error: StepError) {
        self.note_cost(id);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Running;
        step.attempt = step.attempt.max(1);
        step.wake_at = None;
        step.detail.mending = true;
        if let Some(task) = &mut step.detail.task {
            task.given_up = true;
        }
        step.error = Some(error.clone());
        let (attempt, head, name) = (step.attempt, step.head(), step.name.clone());
        if step.attempt == 1 && step.input.is_none() {
            // Its templates could not be filled in: nobody has seen it yet.
            self.turn.events.push(Event::StepStarted { step: head, attempt });
        }
        self.turn.log(LogLevel::Warn, Some(id), format!("{name} failed: {}", error.message));
        self.turn.events.push(Event::StepAttemptFailed { step: id.clone(), attempt, error });
        self.touch(id);
    }

    /// An attempt of an effect that must not be repeated was cut off: a person says whether it happened.
    pub(super) fn uncertain(&mut self, id: &StepId, error: StepError) {
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.state = StepState::Uncertain;
        step.wake_at = None;
        step.detail.mending = true;
        step.error = Some(error.clone());
        let event = Event::StepUncertain { step: step.head(), attempt: step.attempt, error: error.clone() };
        let line = format!("{}: {} It is not done a second time unless a person says so.", step.name, error.message);
        self.turn.log(LogLevel::Warn, Some(id), line);
        self.turn.events.push(event);
        self.touch(id);
        let number = self.m.steps.get(id).map_or(1, |step| step.detail.asked + 1);
        self.ask_what_now(id, number, &error);
    }

    fn has_alternative(&self, id: &StepId, node: &Node, error: &StepError) -> bool {
        error.class.allows_an_alternative()
            && !self.lock_is_over(id)
            && (1..=node.alternatives.len()).any(|number| {
                let effort = self.m.steps.get(&Effort::Alternative(number).id(id));
                effort.is_none_or(|step| !step.state.is_end())
            })
    }

    fn asks(&self, id: &StepId, node: &Node, error: &StepError) -> bool {
        // Whatever the node says: it is the organization's money, and neither the workflow's fault nor its choice.
        if error.code == BUDGET_SPENT {
            return true;
        }
        let on_error = match node.on_error {
            // An edge for errors says what follows, unless only a person can help.
            OnError::Default if self.has_error_edge(id) => OnError::Fail,
            on_error => on_error,
        };
        on_error.asks(error.class)
    }

    /// Looks at what was tried so far and takes the next step of it, if nothing of it is under way.
    pub(super) fn mend_advance(&mut self, id: &StepId) {
        let plan = self.plan.clone();
        let (Some(step), Some(node)) = (self.m.steps.get(id), Machine::node_of(&plan, id)) else { return };
        if step.state.is_end() || !step.detail.mending {
            return;
        }
        let (again, asked) = (step.detail.again, step.detail.asked);
        let Some(mut error) = step.error.clone() else { return };
        if again > 0 {
            let child = self.m.steps.get(&Effort::Again(again).id(id));
            match child.map(|child| (child.state, child.output.clone(), child.error.clone())) {
                Some((StepState::Succeeded, output, _)) => return self.succeed(id, output.unwrap_or_default()),
                Some((state, ..)) if !state.is_end() => return,
                Some((.., Some(later))) => error = later,
                _ => {}
            }
        }
        let lock_is_over = self.lock_is_over(id);
        if error.class.allows_an_alternative() {
            for (number, alternative) in (1..).zip(&node.alternatives) {
                let child = Effort::Alternative(number).id(id);
                match self.m.steps.get(&child).map(|step| (step.state, step.output.clone(), step.error.clone())) {
                    None if self.m.is_held() => return,
                    // Without the locks nothing is tried.
                    None if lock_is_over => break,
                    None => return self.try_alternative(id, node, &child, number, alternative),
                    Some((StepState::Succeeded, output, _)) => return self.succeed(id, output.unwrap_or_default()),
                    Some((state, ..)) if !state.is_end() => return,
                    // What the alternative failed of is told, unless a later try has failed since.
                    Some((.., Some(later))) if again == 0 => error = later,
                    Some(_) => {}
                }
            }
        }
        let ask = Effort::Ask(asked + 1);
        match self.m.steps.get(&ask.id(id)) {
            Some(_) => {}
            None if self.asks(id, node, &error) => self.ask_what_now(id, asked + 1, &error),
            None => self.give_up(id, error),
        }
    }

    fn try_alternative(&mut self, id: &StepId, node: &Node, child: &StepId, number: usize, alternative: &Alternative) {
        let Some(step) = self.m.steps.get(id) else { return };
        let (input, kind) = (step.input.clone().unwrap_or_default(), step.kind);
        let name = format!("Alternative {number}");
        let mut detail = Detail { about: Some(alternative.about().to_owned()), ..Detail::default() };
        self.turn.log(LogLevel::Info, Some(id), format!("{name} begins: {}.", alternative.about()));
        match alternative {
            Alternative::Tool(tool) => {
                self.open_step(child.clone(), node.id.as_str(), StepKind::Tool, &name, detail);
                if tool.arguments.is_null() {
                    self.set_input(child, input);
                    self.start_attempt(child);
                } else {
                    self.fill_in(child, tool.arguments.clone(), 0, id.parent().as_ref());
                }
            }
            Alternative::Agent(_) | Alternative::Model(_) => {
                if let Alternative::Agent(agent) = alternative {
                    detail.agent = Some(agent.clone());
                    detail.about = self.plan.agents.get(agent).map(|spec| spec.name.clone());
                } else {
                    detail.model = Some(alternative.about().to_owned());
                }
                self.open_step(child.clone(), node.id.as_str(), kind, &name, detail);
                self.begin_agent(child, prompt_of(&input));
            }
        }
    }

    /// One of the steps that mend another has ended.
    pub(super) fn effort_ended(&mut self, of: &StepId, effort: &StepId) {
        // What a person said is acted on where it is heard.
        if self.m.steps.get(effort).is_some_and(|step| step.kind != StepKind::Approval) {
            self.mend_advance(of);
        }
    }

    fn ask_what_now(&mut self, id: &StepId, number: u32, error: &StepError) {
        let Some(step) = self.m.steps.get(id) else { return };
        let ask = Effort::Ask(number).id(id);
        let (over_budget, over_cost) = (error.code == BUDGET_SPENT, self.is_at_cost_limit(id, error));
        let (node, step_name) = (step.node.clone(), step.name.clone());
        let message = match step.error.as_ref().filter(|own| *own != error) {
            Some(own) => format!("{} What was tried instead failed too: {}", own.message, error.message),
            None => error.message.clone(),
        };
        let payload =
            if matches!(step.kind, StepKind::Loop) { Value::Null } else { step.input.clone().unwrap_or_default() };
        let title = match step.state {
            StepState::Uncertain => format!("Did “{}” happen?", text::shortened(&step_name, 80)),
            _ if over_budget || over_cost => {
                format!("“{}” has no budget left. What now?", text::shortened(&step_name, 80))
            }
            _ => format!("“{}” failed. What now?", text::shortened(&step_name, 80)),
        };
        let impact = match step.state {
            StepState::Uncertain => {
                "The call was begun and no answer came: it may have happened. If it did, go on with its result; if it \
                 did not, try again."
            }
            _ if over_budget => {
                "Try again, and the task goes on beyond the budget, to its own limits; go on with an output that you \
                 give; or let it fail."
            }
            _ if error.code == LIMIT && step.kind == StepKind::Agent && step.detail.again == 0 => {
                "Try again, and the task goes on where it stands, with as much again allowed; go on with an output that \
                 you give; or let it fail."
            }
            _ => "Try again, with the same input or another one; go on with an output that you give; or let it fail.",
        };
        self.open_step(ask.clone(), &node, StepKind::Approval, "What now?", Detail::default());
        self.open_gate(NewApproval {
            id: self.approval_id(&ask),
            step: ask,
            kind: ApprovalKind::Failure,
            title,
            message,
            payload,
            impact: impact.to_owned(),
            // Until the undo window ends nothing has happened.
            reversible: true,
            details: Details::default(),
            // Whoever may set budgets.
            role: (over_budget || over_cost).then_some(Role::Admin),
            requested_by: format!("{step_name}, started by {}", self.m.started_by),
            expires_at: None,
            on_expiry: OnExpiry::Reject,
            rules: GateRules::default(),
        });
    }

    /// A person said what to do about a failed step.
    pub(super) fn what_now(&mut self, ask: &StepId, applied: Applied) {
        let Some(of) = ask.parent() else { return };
        let choice = match applied.ruling {
            Ruling::Approved => "retry",
            Ruling::Skipped => "skip",
            Ruling::Rejected | Ruling::ChangesRequested => "fail",
        };
        if let Some(step) = self.m.steps.get_mut(ask) {
            step.detail.about = Some(format!("{choice}, says {}", applied.by));
        }
        let said =
            json!({ "decision": choice, "by": applied.by, "reason": applied.reason, "payload": applied.payload });
        self.succeed(ask, said);
        let Some(step) = self.m.steps.get_mut(&of).filter(|step| !step.state.is_end()) else { return };
        step.detail.asked += 1;
        let error = step.error.clone();
        match applied.ruling {
            Ruling::Skipped => self.succeed(&of, applied.payload),
            Ruling::Approved => self.begin_again(&of, applied.payload),
            Ruling::Rejected | Ruling::ChangesRequested => {
                let error =
                    error.unwrap_or_else(|| StepError::new(ErrorClass::Internal, "engine.no_error", "It failed."));
                self.give_up(&of, error);
            }
        }
    }

    /// A person wants a failed step tried again. What was recorded stays; what cannot simply go on begins anew below it.
    pub(super) fn begin_again(&mut self, id: &StepId, input: Value) {
        if self.locks_again(id, &input) {
            return;
        }
        let Some(step) = self.m.steps.get_mut(id) else { return };
        step.detail.failures = 0;
        step.detail.crashes = 0;
        let ran_out = step.error.as_ref().is_some_and(|error| error.code == "loop.max");
        let over_budget =
            step.error.as_ref().is_some_and(|error| [OVER, LIMIT, BUDGET_SPENT].contains(&error.code.as_str()));
        self.grant_more(id);
        self.raise_limits(id);
        self.let_beyond_budget(id);
        let Some(step) = self.m.steps.get_mut(id) else { return };
        match (step.kind, step.input.is_some()) {
            (StepKind::Tool | StepKind::Http, true) => {
                let step = self.no_longer_mended(id);
                step.into_iter().for_each(|step| step.input = Some(input.clone()));
                self.start_attempt(id);
            }
            (StepKind::Loop, true) if ran_out => {
                let plan = self.plan.clone();
                if let Some(NodeKind::Loop { max, .. }) = Machine::node_of(&plan, id).map(|node| &node.kind)
                    && let Some(step) = self.no_longer_mended(id)
                {
                    step.detail.count = step.detail.count.map(|count| count + *max as usize);
                }
                self.loop_advance(id);
            }
            // Its conversation goes on where the budget ended it.
            (StepKind::Agent, true) if over_budget && step.detail.again == 0 => {
                self.no_longer_mended(id);
                self.agent_advance(id);
            }
            (kind, true) if kind == StepKind::Agent || kind.is_group() => {
                step.detail.again += 1;
                let (again, node, name) = (step.detail.again, step.node.clone(), step.name.clone());
                let child = Effort::Again(again).id(id);
                self.touch(id);
                self.open_step(child.clone(), &node, kind, &format!("{name}, again"), Detail::default());
                self.set_input(&child, input);
                self.begin(&child);
            }
            _ => {
                if let Some(step) = self.no_longer_mended(id) {
                    // Its templates were not filled in: there was no attempt yet.
                    step.attempt = 0;
                }
                self.begin(id);
            }
        }
    }

    fn no_longer_mended(&mut self, id: &StepId) -> Option<&mut Step> {
        self.touch(id);
        let step = self.m.steps.get_mut(id)?;
        step.state = StepState::Running;
        step.detail.mending = false;
        step.error = None;
        Some(step)
    }
}
