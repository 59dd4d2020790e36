//! What the benchmark's runs execute.

use std::collections::BTreeMap;

use agentflow::engine::plan::{Graph, Plan, ToolEffect, ToolSpec};
use serde_json::{Value, json};

use crate::startup::Trouble;

/// `count` steps one after the other.
pub fn chain(count: usize) -> Result<Plan, Trouble> {
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    let mut before = "start".to_owned();
    for place in 1..=count {
        let id = format!("step{place}");
        nodes.push(step(&id, &[&before]));
        before = id;
    }
    nodes.push(json!({ "id": "end", "kind": "end", "output": "done", "after": [before] }));
    plan(nodes)
}

/// `count` steps side by side, then one that waits for all of them.
pub fn fan_out(count: usize) -> Result<Plan, Trouble> {
    let ids: Vec<String> = (1..=count).map(|place| format!("part{place}")).collect();
    let mut nodes = vec![json!({ "id": "start", "kind": "start" })];
    nodes.extend(ids.iter().map(|id| step(id, &["start"])));
    let after: Vec<&str> = ids.iter().map(String::as_str).collect();
    nodes.push(json!({ "id": "end", "kind": "end", "output": "done", "after": after }));
    plan(nodes)
}

/// A wait of a day, then a step.
pub fn sleeper() -> Result<Plan, Trouble> {
    plan(vec![
        json!({ "id": "start", "kind": "start" }),
        json!({ "id": "pause", "kind": "wait", "seconds": 86_400, "after": ["start"] }),
        step("step1", &["pause"]),
        json!({ "id": "end", "kind": "end", "output": "done", "after": ["step1"] }),
    ])
}

fn step(id: &str, after: &[&str]) -> Value {
    json!({ "id": id, "kind": "tool", "tool": "noop", "arguments": { "from": id }, "after": after })
}

fn plan(nodes: Vec<Value>) -> Result<Plan, Trouble> {
    let graph: Graph = serde_json::from_value(json!({ "nodes": nodes }))
        .map_err(|error| Trouble::new(format!("A graph of the benchmark cannot be read: {error}."), ""))?;
    let tool = ToolSpec {
        name: "noop".to_owned(),
        description: String::new(),
        parameters: json!({}),
        effect: ToolEffect::Read,
        timeout_s: 60,
        at_most_once: false,
        repeatable: false,
        ..ToolSpec::default()
    };
    Ok(Plan { graph, agents: BTreeMap::new(), tools: BTreeMap::from([("noop".to_owned(), tool)]), ..Plan::default() })
}
