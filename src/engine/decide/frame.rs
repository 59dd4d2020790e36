//! Frames: the graph itself, or the nodes inside of a map for one item. A frame's owner is nobody, or the item's step.

use serde_json::Value;

use super::Decider;
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
        if self.m.draining {
            return;
        }
        let plan = self.plan.clone();
        let nodes = match owner {
            None => plan.graph.nodes.as_slice(),
            Some(item) => match Machine::node_of(&plan, item).map(|node| &node.kind) {
                Some(NodeKind::Map { nodes, .. }) => nodes.as_slice(),
                _ => return,
            },
        };
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
                Some(item) => self.end_item(item, nodes),
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
        let edges: Vec<_> = node.after.iter().map(|port| self.edge(owner, nodes, port)).collect();
        let live = edges.contains(&Edge::Live);
        let unsettled = edges.contains(&Edge::Unsettled);
        match node.join {
            Join::Any if live => Readiness::Start,
            Join::All if live && !unsettled => Readiness::Start,
            _ if unsettled => Readiness::Wait,
            Join::Any | Join::All => Readiness::Skip,
        }
    }

    fn edge(&self, owner: Option<&StepId>, nodes: &[Node], port: &Port) -> Edge {
        let Some(source) = nodes.iter().find(|node| node.id == port.node) else { return Edge::Dead };
        let Some(step) = self.m.steps.get(&Self::path(owner, source)) else { return Edge::Unsettled };
        match step.state {
            StepState::Succeeded => match (&port.branch, &step.detail.branch) {
                (Some(wanted), taken) if taken.as_ref() != Some(wanted) => Edge::Dead,
                // The plain edge of an approval means a yes.
                (None, Some(taken)) if step.kind == StepKind::Approval && *taken != BranchName::approved() => {
                    Edge::Dead
                }
                _ => Edge::Live,
            },
            StepState::Failed if source.on_error == OnError::Continue && port.branch.is_none() => Edge::Live,
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
    }

    /// A step has ended: what it belongs to goes on.
    pub(super) fn ended(&mut self, id: &StepId) {
        let Some(step) = self.m.steps.get(id) else { return };
        let (kind, state, error) = (step.kind, step.state, step.error.clone());
        let parent = id.parent();
        match (kind, &parent) {
            (StepKind::Item, Some(map)) => self.item_ended(map, id, state, error),
            (StepKind::Model | StepKind::Tool, Some(above))
                if self.m.steps.get(above).is_some_and(|above| above.kind == StepKind::Agent) =>
            {
                self.agent_child_ended(above, id);
            }
            _ => {
                let plan = self.plan.clone();
                let goes_on = Machine::node_of(&plan, id).is_some_and(|node| node.on_error == OnError::Continue);
                match error.filter(|_| state == StepState::Failed && !goes_on) {
                    Some(error) => self.fail_owner(parent.as_ref(), id, error),
                    None => self.advance(parent.as_ref()),
                }
            }
        }
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
            Effect::Evaluate(step, _) => !id.holds(step),
            Effect::Perform(_, scope, _) => !id.holds(&scope.step),
            Effect::AbortAll | Effect::AbortBelow(_) => true,
        });
        self.turn.effects.push(Effect::AbortBelow(id.clone()));
    }

    /// Each node of the graph has ended, and no failure stood against it.
    fn end_run(&mut self, nodes: &[Node]) {
        let mut outputs: Vec<(&str, Value)> = nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::End { .. }))
            .filter_map(|node| {
                let step = self.m.steps.get(&Self::path(None, node))?;
                (step.state == StepState::Succeeded)
                    .then(|| (node.id.as_str(), step.output.clone().unwrap_or_default()))
            })
            .collect();
        let output = if outputs.len() == 1 {
            outputs.remove(0).1
        } else {
            // Several ends were reached: each one's output by its key. None was: nothing.
            match outputs.is_empty() {
                true => Value::Null,
                false => outputs.into_iter().map(|(key, output)| (key.to_owned(), output)).collect(),
            }
        };
        self.m.output = Some(output);
        self.m.state = RunState::Succeeded;
        self.turn.needs_sync = true;
        self.turn.log(LogLevel::Info, None, "The run succeeded.");
        self.turn.events.push(Event::RunSucceeded);
    }
}
