//! Frames: the graph itself, or the nodes inside of a group: for one item of a map, one round of a loop, or a workflow
//! inside of the run. A frame's owner is nobody, or that step.

use serde_json::Value;

use super::{Decider, mend::is_effort};
use crate::engine::{
    journal::{Event, LogLevel},
    machine::{Detail, Effect, Machine},
    plan::{BranchName, Join, Node, NodeKind, OnError, Port},
    state::{RunState, StepError, StepId, StepKind, StepState},
};

/// What an inbound edge says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Unsettled,
    Live,
    Dead,
}

/// What its inbound edges say of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Wait,
    Start,
    Skip,
}

impl Decider<'_> {
    /// The path of a node's step in a frame.
    pub(super) fn path(owner: Option<&StepId>, node: &Node) -> StepId {
        owner.map_or_else(|| StepId::root(node.id.as_str()), |owner| owner.child(&node.id))
    }

    /// Starts whatever of a frame can start, skips what cannot any more, and ends the frame when all of it has ended.
    pub(super) fn advance(&mut self, owner: Option<&StepId>) {
        if self.m.is_held() {
            return;
        }
        let plan = self.plan.clone();
        let Some(nodes) = self.m.frame(&plan, owner) else { return };
        let mut moved = true;
        while moved {
            moved = false;
            for node in nodes {
                let id = Self::path(owner, node);
                if self.m.state.is_end() || self.owner_ended(owner) {
                    return;
                }
                if self.m.steps.contains_key(&id) {
                    continue;
                }
                match self.readiness(owner, nodes, node) {
                    Readiness::Wait => continue,
                    Readiness::Start => self.start_node(owner, node),
                    Readiness::Skip => self.skip(&id, node),
                }
                moved = true;
            }
        }
        let all_ended =
            nodes.iter().all(|node| self.m.steps.get(&Self::path(owner, node)).is_some_and(|step| step.state.is_end()));
        if all_ended {
            match owner {
                None => self.end_run(nodes),
                Some(owner) => self.end_frame(owner, nodes),
            }
        }
    }

    fn owner_ended(&self, owner: Option<&StepId>) -> bool {
        owner.is_some_and(|owner| self.m.steps.get(owner).is_none_or(|step| step.state.is_end()))
    }

    fn readiness(&self, owner: Option<&StepId>, nodes: &[Node], node: &Node) -> Readiness {
        if node.after.is_empty() {
            return Readiness::Start;
        }
        // Ends come about in the order of the beginnings: what is open is found soonest from the back.
        let open = |port: &Port| self.edge(owner, nodes, port) == Edge::Unsettled;
        if node.join == Join::All && node.after.iter().rev().any(open) {
            return Readiness::Wait;
        }
        let edges: Vec<_> = node.after.iter().map(|port| self.edge(owner, nodes, port)).collect();
        let count = |wanted: Edge| edges.iter().filter(|edge| **edge == wanted).count();
        let (live, unsettled) = (count(Edge::Live), count(Edge::Unsettled));
        let needed = match node.join {
            Join::All | Join::Any => 1,
            Join::Count(count) => count as usize,
        };
        match (live >= needed, live + unsettled >= needed) {
            (true, _) => Readiness::Start,
            (false, true) => Readiness::Wait,
            (false, false) => Readiness::Skip,
        }
    }

    fn edge(&self, owner: Option<&StepId>, nodes: &[Node], port: &Port) -> Edge {
        let source = || nodes.iter().find(|node| node.id == port.node);
        let id = owner.map_or_else(|| StepId::root(port.node.as_str()), |owner| owner.child(&port.node));
        let Some(step) = self.m.steps.get(&id) else {
            return if source().is_some() { Edge::Unsettled } else { Edge::Dead };
        };
        match step.state {
            StepState::Succeeded => match (&port.branch, &step.detail.branch) {
                (Some(wanted), taken) if taken.as_ref() != Some(wanted) => Edge::Dead,
                // The plain edge of an approval means a yes.
                (None, Some(taken)) if step.kind == StepKind::Approval && *taken != BranchName::approved() => {
                    Edge::Dead
                }
                _ => Edge::Live,
            },
            StepState::Failed => match (&port.branch, source()) {
                (None, Some(source)) if source.on_error == OnError::Continue => Edge::Live,
                (Some(branch), Some(source)) if is_error_branch(source, branch) => Edge::Live,
                _ => Edge::Dead,
            },
            state if state.is_end() => Edge::Dead,
            _ => Edge::Unsettled,
        }
    }

    fn skip(&mut self, id: &StepId, node: &Node) {
        let kind = Self::kind_of(node);
        let step = self.open_step(id.clone(), node.id.as_str(), kind, node.label(), Detail::default());
        step.state = StepState::Skipped;
        let head = step.head();
        self.turn.events.push(Event::StepSkipped { step: head });
        self.touch(id);
        if kind == StepKind::Agent {
            self.agent_gone(node.id.as_str());
        }
    }

    /// A step has ended: what it belongs to goes on.
    pub(super) fn ended(&mut self, id: &StepId) {
        let Some(step) = self.m.steps.get(id) else { return };
        let (kind, state, error) = (step.kind, step.state, step.error.clone());
        let (parent, node) = (id.parent(), step.node.clone());
        if kind == StepKind::Agent {
            self.agent_gone(&node);
            // Whoever waited for its answer may have ended the run by that.
            if self.m.state.is_end() {
                return;
            }
        }
        match (kind, &parent) {
            (_, Some(of)) if is_effort(id) => self.effort_ended(of, id),
            (StepKind::Item, Some(map)) => self.item_ended(map, id, state, error),
            (StepKind::Round, Some(group)) => self.round_ended(group, id, state, error),
            // Another agent or a workflow, too: it was called as a tool.
            (
                StepKind::Model | StepKind::Tool | StepKind::Memory | StepKind::Agent | StepKind::Workflow,
                Some(above),
            ) if self.m.steps.get(above).is_some_and(|above| above.kind == StepKind::Agent) => {
                self.agent_child_ended(above, id);
            }
            _ => {
                let plan = self.plan.clone();
                let goes_on = || {
                    Machine::node_of(&plan, id).is_some_and(|node| node.on_error == OnError::Continue)
                        || self.has_error_edge(id)
                };
                match error.filter(|_| state == StepState::Failed && !goes_on()) {
                    Some(error) => self.fail_owner(parent.as_ref(), id, error),
                    None => self.advance(parent.as_ref()),
                }
            }
        }
    }

    /// Whether some node runs after the failure of a step's node.
    pub(super) fn has_error_edge(&self, id: &StepId) -> bool {
        let Some(nodes) = self.m.frame(&self.plan, id.parent().as_ref()) else { return false };
        let Some(source) = nodes.iter().find(|node| node.id.as_str() == id.key()) else { return false };
        let mut ports = nodes.iter().flat_map(|node| &node.after).filter(|port| port.node == source.id);
        ports.any(|port| port.branch.as_ref().is_some_and(|branch| is_error_branch(source, branch)))
    }

    /// A step of the frame failed and nothing mends it: so does the frame.
    fn fail_owner(&mut self, owner: Option<&StepId>, cause: &StepId, mut error: StepError) {
        error.caused_by.get_or_insert_with(|| cause.clone());
        match owner {
            None => self.fail_run(error),
            Some(item) => {
                self.stop_below(item);
                self.fail(item, error);
            }
        }
    }

    /// Stops what is under way below a step that is about to end.
    pub(super) fn stop_below(&mut self, id: &StepId) {
        self.stop_steps(|step| id.holds(step));
        self.turn.effects.retain(|effect| match effect {
            Effect::Evaluate(step, _) | Effect::Expect(step, _) | Effect::Lock(step, ..) => !id.holds(step),
            Effect::Perform(_, scope, _) => !id.holds(&scope.step),
            Effect::Unlock(_) | Effect::AbortAll | Effect::AbortBelow(_) => true,
        });
        self.turn.effects.push(Effect::AbortBelow(id.clone()));
    }

    /// Each node of the graph has ended, and no failure stood against it.
    fn end_run(&mut self, nodes: &[Node]) {
        self.m.output = Some(self.output_of(None, nodes));
        self.m.state = RunState::Succeeded;
        self.turn.needs_sync = true;
        self.turn.log(LogLevel::Info, None, "The run succeeded.");
        self.turn.events.push(Event::RunSucceeded);
    }

    /// What a graph gives: the output of the end that was reached.
    pub(super) fn output_of(&self, owner: Option<&StepId>, nodes: &[Node]) -> Value {
        let mut outputs: Vec<(&str, Value)> = nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::End { .. }))
            .filter_map(|node| {
                let step = self.m.steps.get(&Self::path(owner, node))?;
                (step.state == StepState::Succeeded)
                    .then(|| (node.id.as_str(), step.output.clone().unwrap_or_default()))
            })
            .collect();
        match outputs.len() {
            0 => Value::Null,
            1 => outputs.remove(0).1,
            // Several ends were reached: each one's output by its key.
            _ => outputs.into_iter().map(|(key, output)| (key.to_owned(), output)).collect(),
        }
    }
}

/// Whether a branch is the one for failures: each node has it, unless it has one of its own by that name.
fn is_error_branch(source: &Node, branch: &BranchName) -> bool {
    *branch == BranchName::error() && !source.kind.branches().contains(branch)
}
