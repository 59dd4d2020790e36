//! An agent's own limits for a task: turns, tokens, money and time. What counts is all that is below the agent's step, so
//! who is called by an agent spends its limits too. Money is looked at with the most that the next call may cost.

use super::Decider;
use crate::{
    engine::{
        journal::Usage,
        machine::TaskLimit,
        plan::AgentLimits,
        state::{ErrorClass, StepError, StepId, StepKind},
    },
    kernel::{Money, text},
};

/// The code of the error at a limit.
pub(super) const LIMIT: &str = "agent.limit";

/// A task that a model call counts for, and how it stands.
pub(super) struct TaskAccount {
    id: StepId,
    name: String,
    cost: Money,
    tokens: u64,
    pub used: Usage,
    pub reserved: Usage,
}

/// The limit that a task has reached.
pub(super) struct AtLimit {
    pub task: StepId,
    pub limit: TaskLimit,
    message: String,
}

impl TaskAccount {
    /// Whether it may cost so much.
    pub fn holds(&self, cost: Money) -> bool {
        cost <= self.cost
    }

    /// The limit in the way of a call that may use so much, if there is one. Of a call whose answer nobody has bounded it is
    /// not known how many tokens it may use: it goes out while any are left.
    pub fn reached_by(&self, most: Usage, is_bounded: bool) -> Option<AtLimit> {
        let (name, used, tokens) = (&self.name, self.used, self.tokens);
        let call = if is_bounded { most.tokens() } else { 1 };
        let at = |limit, message| Some(AtLimit { task: self.id.clone(), limit, message });
        if used.tokens().saturating_add(call) > tokens {
            let next = match used.tokens() < tokens {
                true => format!(", and the next model call may use {}", text::grouped(call)),
                false => String::new(),
            };
            let (used, tokens) = (text::grouped(used.tokens()), text::grouped(tokens));
            return at(
                TaskLimit::Tokens,
                format!("{name} has used {used} of {tokens} tokens allowed for a task{next}."),
            );
        }
        if self.holds(used.cost + most.cost) {
            return None;
        }
        let (cost, allowed, most) = (used.cost, self.cost, most.cost);
        let next = match used.cost < allowed {
            true => format!(", and the next model call may cost {most}"),
            false => String::new(),
        };
        at(TaskLimit::Cost, format!("{name} has cost {cost} of {allowed} allowed for a task{next}."))
    }
}

impl Decider<'_> {
    /// The tasks that an agent's calls count for, its own first: those of the agents that it was called by, too.
    pub(super) fn tasks_over(&self, agent: &StepId) -> Vec<TaskAccount> {
        let is_at_work = |id: &StepId| {
            let step = self.m.steps.get(id);
            // What mends a task that was given up has limits of its own.
            step.is_some_and(|step| step.kind == StepKind::Agent && !step.detail.mending)
        };
        let account = |id: StepId| {
            let spec = self.spec_of(&self.plan, &id)?;
            let AgentLimits { max_cost, max_tokens, .. } = spec.limits;
            let times = self.times_of(&id, TaskLimit::Cost);
            Some(TaskAccount {
                name: spec.name.clone(),
                cost: Money(max_cost.micros().saturating_mul(i64::from(times))),
                tokens: max_tokens.saturating_mul(self.times_of(&id, TaskLimit::Tokens).into()),
                used: self.used_below(&id),
                reserved: self.account(&id).1,
                id,
            })
        };
        self.callers(agent).filter(is_at_work).filter_map(account).collect()
    }

    /// How many times a limit of its agent's a task may use.
    fn times_of(&self, task: &StepId, limit: TaskLimit) -> u32 {
        let raised = self.m.steps.get(task).map_or(&[][..], |step| &step.detail.raised);
        u32::try_from(raised.iter().filter(|one| **one == limit).count()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether a task has made as many model calls as it may.
    pub(super) fn turns_reached(&self, agent: &StepId, turn: u32) -> Option<AtLimit> {
        let spec = self.spec_of(&self.plan, agent)?;
        let most = spec.limits.max_turns.saturating_mul(self.times_of(agent, TaskLimit::Turns));
        (turn > most).then(|| AtLimit {
            task: agent.clone(),
            limit: TaskLimit::Turns,
            message: format!("{} has used all of its {most} turns without an answer.", spec.name),
        })
    }

    /// An agent cannot go on: its task, or that of an agent which called it, has reached a limit.
    pub(super) fn stop_at_limit(&mut self, agent: &StepId, reached: AtLimit) {
        if let Some(step) = self.m.steps.get_mut(&reached.task) {
            step.detail.at_limit = Some(reached.limit);
        }
        self.touch(&reached.task);
        let message = format!("{} Raise the agent's limits or make its task smaller.", reached.message);
        self.fail(agent, StepError::new(ErrorClass::Budget, LIMIT, message));
    }

    /// Whether a failed step is stopped by a limit of money.
    pub(super) fn is_at_cost_limit(&self, id: &StepId, error: &StepError) -> bool {
        let is_so =
            |id: StepId| self.m.steps.get(&id).is_some_and(|step| step.detail.at_limit == Some(TaskLimit::Cost));
        error.code == LIMIT && self.callers(id).any(is_so)
    }

    /// A person lets a failed step go on: each limit that was in its way is raised by as much again, for this task.
    pub(super) fn raise_limits(&mut self, id: &StepId) {
        if !self.was_ended_by(id, LIMIT) {
            return;
        }
        for task in self.callers(id) {
            // Unless somebody has raised it since.
            if let Some(step) = self.m.steps.get_mut(&task)
                && let Some(limit) = step.detail.at_limit.take()
            {
                step.detail.raised.push(limit);
                self.touch(&task);
            }
        }
    }

    /// The seconds that the task of a step may take, by its node and by its agent.
    pub(super) fn seconds_of(&self, id: &StepId, of_node: Option<u64>) -> Option<u64> {
        let is_agent = self.m.steps.get(id).is_some_and(|step| step.kind == StepKind::Agent);
        let of_agent = is_agent.then(|| self.spec_of(&self.plan, id)?.limits.task_s).flatten();
        of_node.into_iter().chain(of_agent).min()
    }
}
