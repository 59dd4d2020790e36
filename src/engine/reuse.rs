//! Which recorded steps a run that is run again takes over. Pure: the steps as they were recorded, and the graph.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    plan::{Node, Plan, walk},
    state::{StepId, StepKind, StepState},
};

/// A recorded step, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which.
    pub id: StepId,
    /// What it is.
    pub kind: StepKind,
    /// Its state.
    pub state: StepState,
    /// The key of its node.
    pub node: String,
}

/// What is taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reuse {
    /// Steps that are taken over as they are.
    pub kept: BTreeSet<StepId>,
    /// Groups that hold such steps and are worked on again.
    pub reopened: BTreeSet<StepId>,
}

const fn is_frame(kind: StepKind) -> bool {
    matches!(kind, StepKind::Map | StepKind::Item | StepKind::Loop | StepKind::Round | StepKind::Workflow)
}

/// What is taken over when the steps that did not succeed are done again. Of a group the parts that succeeded are kept; of
/// an agent that failed nothing is, since its conversation begins anew.
#[must_use]
pub fn from_failed(steps: &[Recorded]) -> Reuse {
    keep(steps, &BTreeSet::new())
}

/// What is taken over when a step, and all that depends on it, is done again. Inside of an agent it is the whole agent.
#[must_use]
pub fn from_step(plan: &Plan, steps: &[Recorded], from: &StepId) -> Reuse {
    let by_id: BTreeMap<&StepId, &Recorded> = steps.iter().map(|step| (&step.id, step)).collect();
    let mut dropped = BTreeSet::new();
    let mut at = Some(outermost_part(&by_id, from));
    while let Some(id) = at {
        let parent = id.parent();
        let Some(step) = by_id.get(&id) else { break };
        match step.kind {
            // Later rounds build on this one; other items do not.
            StepKind::Round => {
                let place = |id: &StepId| id.key().parse::<usize>().unwrap_or(0);
                let siblings =
                    steps.iter().filter(|other| other.id.parent() == parent && other.kind == StepKind::Round);
                dropped.extend(siblings.filter(|other| place(&other.id) > place(&id)).map(|other| other.id.clone()));
            }
            StepKind::Item => {}
            _ => {
                let nodes = frame_of(plan, &by_id, parent.as_ref());
                for key in depends_on(nodes, &step.node) {
                    dropped.insert(parent.as_ref().map_or_else(|| StepId::root(&key), |parent| parent.child(&key)));
                }
            }
        }
        at = parent;
    }
    dropped.insert(outermost_part(&by_id, from));
    keep(steps, &dropped)
}

/// The step itself, or the agent (or failed step) that it is a part of.
fn outermost_part(by_id: &BTreeMap<&StepId, &Recorded>, id: &StepId) -> StepId {
    let mut found = id.clone();
    let mut above = id.parent();
    while let Some(parent) = above {
        if by_id.get(&parent).is_some_and(|step| !is_frame(step.kind)) || found.key().starts_with('~') {
            found = parent.clone();
        }
        above = parent.parent();
    }
    found
}

/// The nodes that the steps below an owner are of.
fn frame_of<'p>(plan: &'p Plan, by_id: &BTreeMap<&StepId, &Recorded>, owner: Option<&StepId>) -> &'p [Node] {
    let Some(owner) = owner else { return &plan.graph.nodes };
    let is_frame = by_id.get(owner).is_some_and(|step| is_frame(step.kind));
    super::machine::nodes_below(plan, owner).filter(|_| is_frame).unwrap_or_default()
}

/// The keys of the nodes that run after one, directly or not.
fn depends_on(nodes: &[Node], key: &str) -> Vec<String> {
    let order = walk::order(nodes);
    let Some(own) = nodes.iter().position(|node| node.id.as_str() == key) else { return Vec::new() };
    let later = nodes.iter().zip(&order.before).filter(|(_, before)| before.contains(&own));
    later.map(|(node, _)| node.id.to_string()).collect()
}

fn keep(steps: &[Recorded], dropped: &BTreeSet<StepId>) -> Reuse {
    let around_dropped = all_above(dropped.iter());
    // What is done again, or goes on: of what is inside of it, only a group's parts stay, and nothing that mended one.
    let open: BTreeMap<&StepId, StepKind> = steps
        .iter()
        .filter(|step| step.state != StepState::Succeeded || around_dropped.contains(&step.id))
        .map(|step| (&step.id, step.kind))
        .collect();
    let stays = |id: &StepId| {
        let mut part = id.clone();
        while let Some(above) = part.parent() {
            let goes_on = open.get(&above).is_none_or(|kind| is_frame(*kind) && !part.key().starts_with('~'));
            if dropped.contains(&part) || dropped.contains(&above) || !goes_on {
                return false;
            }
            part = above;
        }
        !dropped.contains(&part)
    };
    let ended = |step: &&Recorded| matches!(step.state, StepState::Succeeded | StepState::Skipped);
    let kept: BTreeSet<StepId> = steps
        .iter()
        .filter(ended)
        .filter(|step| stays(&step.id) && !around_dropped.contains(&step.id))
        .map(|step| step.id.clone())
        .collect();
    let around_kept = all_above(kept.iter());
    let reopened = steps
        .iter()
        .filter(|step| is_frame(step.kind) && !kept.contains(&step.id) && around_kept.contains(&step.id))
        .map(|step| step.id.clone())
        .collect();
    Reuse { kept, reopened }
}

/// The steps that some of these are inside of.
fn all_above<'a>(ids: impl Iterator<Item = &'a StepId>) -> BTreeSet<StepId> {
    ids.flat_map(|id| std::iter::successors(id.parent(), StepId::parent)).collect()
}

/// What of a reuse still holds on another version: steps whose node, and all that it depends on, are as they were. Groups
/// count as a whole.
#[must_use]
pub fn unchanged(old: &Plan, new: &Plan, reuse: &Reuse) -> Reuse {
    let order = walk::order(&old.graph.nodes);
    let same = |node: &Node| new.graph.nodes.iter().any(|other| other == node);
    let mut stays = BTreeSet::new();
    for place in &order.places {
        let node = &old.graph.nodes[*place];
        let before = &order.before[*place];
        if same(node) && before.iter().all(|source| stays.contains(old.graph.nodes[*source].id.as_str())) {
            stays.insert(node.id.as_str());
        }
    }
    let root = |id: &StepId| id.as_str().split('.').next().is_some_and(|key| stays.contains(key));
    let both = |ids: &BTreeSet<StepId>| ids.iter().filter(|id| root(id)).cloned().collect();
    Reuse { kept: both(&reuse.kept), reopened: both(&reuse.reopened) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan() -> Plan {
        let graph = json!({ "nodes": [
            { "id": "start", "kind": "start" },
            { "id": "a", "kind": "tool", "tool": "x", "after": ["start"] },
            { "id": "b", "kind": "tool", "tool": "x", "after": ["start"] },
            { "id": "each", "kind": "map", "items": "{{ [] }}", "after": ["a"], "nodes": [
                { "id": "one", "kind": "tool", "tool": "x" },
                { "id": "two", "kind": "agent", "agent": "y", "prompt": "z", "after": ["one"] },
            ]},
            { "id": "end", "kind": "end", "after": ["each", "b"] },
        ]});
        let graph = serde_json::from_value(graph).expect("a graph");
        Plan { graph, ..Plan::default() }
    }

    fn recorded(lines: &[(&str, StepKind, StepState)]) -> Vec<Recorded> {
        let node = |id: &str| id.split('.').rfind(|key| key.chars().all(char::is_alphabetic)).unwrap_or("").to_owned();
        lines
            .iter()
            .map(|(id, kind, state)| Recorded {
                id: StepId::from_text(*id),
                kind: *kind,
                state: *state,
                node: if *kind == StepKind::Item { "each".to_owned() } else { node(id) },
            })
            .collect()
    }

    fn texts(ids: &BTreeSet<StepId>) -> Vec<&str> {
        ids.iter().map(StepId::as_str).collect()
    }

    fn a_run(second: StepState) -> Vec<Recorded> {
        use StepKind::{Agent, End, Item, Map, Model, Start, Tool};
        let up = if second == StepState::Succeeded { StepState::Succeeded } else { StepState::Failed };
        let done = StepState::Succeeded;
        recorded(&[
            ("start", Start, done),
            ("a", Tool, done),
            ("b", Tool, done),
            ("each", Map, up),
            ("each.0", Item, done),
            ("each.0.one", Tool, done),
            ("each.0.two", Agent, done),
            ("each.0.two.model1", Model, done),
            ("each.1", Item, up),
            ("each.1.one", Tool, done),
            ("each.1.two", Agent, second),
            ("each.1.two.model1", Model, done),
            ("end", End, if up == done { done } else { StepState::Cancelled }),
        ])
    }

    #[test]
    fn a_retry_keeps_what_succeeded_and_opens_the_groups_around_it() {
        let reuse = from_failed(&a_run(StepState::Failed));
        let kept = ["a", "b", "each.0", "each.0.one", "each.0.two", "each.0.two.model1", "each.1.one", "start"];
        assert_eq!(texts(&reuse.kept), kept);
        assert_eq!(texts(&reuse.reopened), ["each", "each.1"]);
    }

    #[test]
    fn a_fork_does_again_what_depends_on_the_step_and_nothing_else() {
        let run = a_run(StepState::Succeeded);
        let reuse = from_step(&plan(), &run, &StepId::from_text("each.1.two.model1"));
        let kept = ["a", "b", "each.0", "each.0.one", "each.0.two", "each.0.two.model1", "each.1.one", "start"];
        assert_eq!(texts(&reuse.kept), kept, "a part of an agent means the agent");
        assert_eq!(texts(&reuse.reopened), ["each", "each.1"]);
        assert_eq!(texts(&from_step(&plan(), &run, &StepId::from_text("a")).kept), ["b", "start"]);
        let reuse = from_step(&plan(), &run, &StepId::from_text("b"));
        assert!(texts(&reuse.kept).contains(&"each") && !texts(&reuse.kept).contains(&"end"));
        assert_eq!(texts(&reuse.reopened), [""; 0]);
    }
}
