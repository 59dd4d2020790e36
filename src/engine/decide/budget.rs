//! Budgets: what the model calls of a node, and of all that is below it, may use together. The most that a call may use is
//! reserved before it begins; what it used counts once it has ended, and so does what tools cost. Both stand in the steps,
//! so after a crash the sums are the same.

use super::{Decider, limits::AtLimit, mend::is_effort};
use crate::{
    engine::{
        journal::Usage,
        machine::{Machine, Step},
        plan::Budget,
        port::{BUDGET_SPENT, Call, MAX_ANSWER, UNBOUNDED},
        state::{ErrorClass, StepError, StepId, StepKind, StepState},
    },
    kernel::{Money, text},
};

/// The code of the error when a call does not fit any more.
pub(super) const OVER: &str = "node.budget";

/// Whether a model call fits into the limits and budgets that it stands under.
pub(super) enum Room {
    /// It does; so much is to be reserved for it. Nothing where it costs nothing and there is no budget.
    There(Option<Usage>),
    /// Not while so much is reserved for others.
    Later,
    /// Not at all: this step's budget is used up. The call could use so much.
    Never(StepId, Usage),
    /// Not at all: a task has reached one of its agent's limits.
    AtLimit(AtLimit),
}

impl Decider<'_> {
    /// The steps with a budget that an agent's calls count for, the innermost first, with how often it was granted.
    fn budgets_over(&self, agent: &StepId) -> Vec<(StepId, Budget, u32)> {
        let mut found = Vec::new();
        let mut at = Some(agent.clone());
        while let Some(id) = at {
            at = id.parent();
            // What is done again, or instead, is on the account of the step that failed.
            let Some(step) = self.m.steps.get(&id).filter(|step| Machine::is_of_node(step)) else { continue };
            let budget = Machine::node_of(&self.plan, &id).and_then(|node| node.budget);
            found.extend(budget.map(|budget| (id, budget, step.detail.granted + 1)));
        }
        found
    }

    /// Whether the next model call of an agent fits, which is told these messages of others.
    pub(super) fn room_for(&self, agent: &StepId, model: &StepId, told: &[StepId]) -> Room {
        let (budgets, tasks) = (self.budgets_over(agent), self.tasks_over(agent));
        let Some(Call::Model(mut call)) = self.model_call(agent, model) else { return Room::There(None) };
        call.messages.extend(self.told(told));
        let is_bounded = call.max_answer().is_some();
        let mut most_with = |answer| {
            call.max_tokens = Some(answer);
            Usage { tokens_out: call.max_answer().unwrap_or(answer), ..self.m.most.of(&call) }
        };
        let mut most = most_with(if budgets.is_empty() { UNBOUNDED } else { MAX_ANSWER });
        // An answer of whatever length has no room: then it is bounded.
        if !is_bounded && tasks.iter().any(|task| !task.holds(task.used.cost + task.reserved.cost + most.cost)) {
            most = most_with(MAX_ANSWER);
        }
        if let Some(reached) = tasks.iter().find_map(|task| task.reached_by(most, is_bounded)) {
            return Room::AtLimit(reached);
        }
        let mut later = tasks.iter().any(|task| !task.holds(task.used.cost + task.reserved.cost + most.cost));
        let has_budget = !budgets.is_empty();
        for (owner, budget, times) in budgets {
            let (mut used, reserved) = self.account(&owner);
            used += most;
            if !budget.covers(used, times) {
                return Room::Never(owner, most);
            }
            used += reserved;
            later |= !budget.covers(used, times);
        }
        let counts = has_budget || most.cost > Money::ZERO;
        if later { Room::Later } else { Room::There(counts.then_some(most)) }
    }

    /// What was used below a step, and what is reserved there.
    pub(super) fn account(&self, owner: &StepId) -> (Usage, Usage) {
        let (mut used, mut reserved) = (Usage::default(), Usage::default());
        let costs = |kind| matches!(kind, StepKind::Model | StepKind::Tool);
        for step in self.m.steps.values().filter(|step| costs(step.kind) && owner.holds(&step.id)) {
            // What was taken over was paid for by another run.
            if !step.detail.reused {
                used += step.usage;
            }
            if let Some(most) = step.detail.reserved.filter(|_| !step.state.is_end()) {
                reserved += most;
            }
        }
        (used, reserved)
    }

    /// A budget does not hold the agent's next call.
    pub(super) fn over_budget(&mut self, agent: &StepId, owner: &StepId, most: Usage) {
        let budget = Machine::node_of(&self.plan, owner).and_then(|node| node.budget);
        let (used, _) = self.account(owner);
        let Some(step) = self.m.steps.get_mut(owner) else { return };
        step.detail.spent = true;
        let (name, times) = (step.name.clone(), step.detail.granted + 1);
        let (cost, tokens) = budget.map_or((None, None), |budget| (budget.cost, budget.tokens));
        let allowed = cost.map(|cost| Money(cost.micros().saturating_mul(i64::from(times))));
        let message = match allowed.filter(|allowed| used.cost + most.cost > *allowed) {
            Some(allowed) => {
                let (used, most) = (used.cost, most.cost);
                format!("{name} has cost {used} of {allowed} allowed, and the next model call may cost {most}.")
            }
            None => {
                let allowed = tokens.unwrap_or(0).saturating_mul(u64::from(times));
                let [used, allowed, most] = [used.tokens(), allowed, most.tokens()].map(text::grouped);
                format!("{name} has used {used} of {allowed} tokens allowed, and the next model call may use {most}.")
            }
        };
        self.touch(owner);
        self.fail(agent, StepError::new(ErrorClass::Budget, OVER, message));
    }

    /// A person lets a failed step go on: of each budget that was in its way, as much again is granted.
    pub(super) fn grant_more(&mut self, id: &StepId) {
        if !self.was_ended_by(id, OVER) {
            return;
        }
        for (owner, ..) in self.budgets_over(id) {
            // Unless somebody has granted it since.
            if let Some(step) = self.m.steps.get_mut(&owner).filter(|step| step.detail.spent) {
                step.detail.spent = false;
                step.detail.granted += 1;
                self.touch(&owner);
            }
        }
    }

    /// Whether a failed step, or one of those that were to mend it, failed with this error.
    pub(super) fn was_ended_by(&self, id: &StepId, code: &str) -> bool {
        let of_it = |step: &Step| step.id == *id || (is_effort(&step.id) && step.id.parent().as_ref() == Some(id));
        let is_so = |step: &Step| step.error.as_ref().is_some_and(|error| error.code == code);
        self.m.steps.values().any(|step| is_so(step) && of_it(step))
    }

    /// A person lets a failed step go on beyond the organization's budgets, if one of them was in its way.
    pub(super) fn let_beyond_budget(&mut self, id: &StepId) {
        if self.was_ended_by(id, BUDGET_SPENT)
            && let Some(step) = self.m.steps.get_mut(id)
        {
            step.detail.beyond_budget = true;
            self.touch(id);
        }
    }

    /// Whether a person let a step, or whatever it stands in, go on beyond the organization's budgets.
    pub(super) fn is_beyond_budget(&self, step: &StepId) -> bool {
        let mut at = Some(step.clone());
        while let Some(id) = at {
            if self.m.steps.get(&id).is_some_and(|step| step.detail.beyond_budget) {
                return true;
            }
            at = id.parent();
        }
        false
    }

    /// Agents that found too much reserved look again, in the order in which they came to be.
    pub(super) fn look_for_room(&mut self) {
        while !self.m.is_held() && !self.m.state.is_end() {
            let before = std::mem::take(&mut self.m.short);
            let mut agents: Vec<_> = before.iter().filter_map(|id| self.m.steps.get(id)).collect();
            agents.retain(|step: &&Step| step.state == StepState::Running);
            agents.sort_by_key(|step| step.ordinal);
            for agent in agents.into_iter().map(|step| step.id.clone()).collect::<Vec<_>>() {
                self.agent_advance(&agent);
            }
            // When one of them ends, the others may have room.
            if self.m.short == before {
                return;
            }
        }
    }
}
