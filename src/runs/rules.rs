//! What the graph says of a step, for whoever looks at it.

use super::StepRules;
use crate::engine::{
    machine::{Machine, nodes_below},
    plan::{Alternative, Node, NodeKind, Plan, SubWorkflow},
    state::StepId,
};

impl StepRules {
    /// The rules of a step.
    #[must_use]
    pub fn of(plan: &Plan, step: &StepId) -> Self {
        let Some(node) = Machine::node_of(plan, step).filter(|node| node.id.as_str() == step.key()) else {
            return Self::default();
        };
        let nodes = match step.parent() {
            None => Some(plan.graph.nodes.as_slice()),
            Some(parent) => nodes_below(plan, &parent),
        };
        let label = |key: &str| nodes.unwrap_or_default().iter().find(|node| node.id.as_str() == key).map(Node::label);
        let after = node.after.iter().map(|port| {
            let name = label(port.node.as_str()).unwrap_or(port.node.as_str());
            port.branch.as_ref().map_or_else(|| name.to_owned(), |branch| format!("{name}: {branch}"))
        });
        let calls = matches!(node.kind, NodeKind::Tool { .. } | NodeKind::Http(_) | NodeKind::Agent { .. });
        let workflow = match &node.kind {
            NodeKind::Workflow { workflow, version, .. } => plan
                .workflows
                .get(&SubWorkflow::key(workflow, *version))
                .and_then(|sub| Some((workflow.parse().ok()?, sub.name.clone(), sub.version))),
            _ => None,
        };
        Self {
            after: after.collect(),
            join: node.join,
            attempts: calls.then(|| node.retry.clone().unwrap_or_default().attempts),
            alternatives: node.alternatives.iter().map(|alternative| about(plan, alternative)).collect(),
            on_error: node.on_error,
            at_most_once: node.at_most_once,
            locks: node.locks.clone(),
            workflow,
        }
    }
}

fn about(plan: &Plan, alternative: &Alternative) -> String {
    match alternative {
        Alternative::Agent(key) => plan.agents.get(key).map_or(key.as_str(), |agent| agent.name.as_str()).to_owned(),
        other => other.about().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::plan::{Join, OnError};

    #[test]
    fn a_step_knows_what_it_waits_for_and_what_is_tried() {
        let sub = json!({ "nodes": [
            { "id": "start", "kind": "start" },
            { "id": "look", "name": "Look it up", "kind": "transform", "value": 1, "after": ["start"] },
            { "id": "end", "kind": "end", "join": "any", "after": ["look", "start"] },
        ]});
        let id = "wf_01m8brct36ehjb77n8nx47xe8n";
        let graph = json!({ "nodes": [
            { "id": "start", "kind": "start" },
            { "id": "size", "name": "How large", "kind": "decision", "branches": [], "after": ["start"] },
            { "id": "fetch", "name": "Fetch", "kind": "http", "url": "https://a.example", "after": ["size.otherwise"],
              "retry": { "attempts": 4 }, "on_error": "ask", "alternatives": [{ "tool": { "name": "calculator" } }], "locks": ["shop {{ input.shop }}"] },
            { "id": "each", "kind": "map", "items": "{{ [] }}", "after": ["start"], "nodes": [
                { "id": "one", "name": "One", "kind": "transform", "value": 1 },
                { "id": "two", "kind": "transform", "value": 2, "after": ["one"] },
            ]},
            { "id": "sub", "kind": "workflow", "workflow": id, "join": 2, "after": ["fetch", "each", "fetch.error"] },
        ]});
        let sub = SubWorkflow { name: "Sub".to_owned(), version: 3, graph: serde_json::from_value(sub).unwrap() };
        let plan = Plan {
            graph: serde_json::from_value(graph).unwrap(),
            workflows: BTreeMap::from([(SubWorkflow::key(id, None), sub)]),
            ..Plan::default()
        };
        let of = |step: &str| StepRules::of(&plan, &StepId::from_text(step));
        let fetch = of("fetch");
        assert_eq!(
            (fetch.after, fetch.join, fetch.attempts),
            (vec!["How large: otherwise".into()], Join::All, Some(4))
        );
        assert_eq!((fetch.alternatives, fetch.on_error), (vec!["calculator".to_owned()], OnError::Ask));
        assert_eq!(fetch.locks, ["shop {{ input.shop }}"]);
        assert_eq!(of("each.3.two").after, ["One"]);
        assert_eq!(of("sub").after, ["Fetch", "each", "Fetch: error"]);
        assert_eq!(
            (of("sub").join, of("sub").workflow),
            (Join::Count(2), Some((id.parse().unwrap(), "Sub".into(), 3)))
        );
        assert_eq!((of("sub.end").after, of("sub.end").join), (vec!["Look it up".into(), "start".into()], Join::Any));
        for none in ["each.3", "fetch.~alt1", "fetch.model1", "gone"] {
            assert_eq!(of(none), StepRules::default(), "{none}");
        }
    }
}
