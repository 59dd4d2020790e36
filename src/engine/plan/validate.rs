//! Whether a graph can run, and what is wrong where. Pure: what agents and tools there are is passed in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    BranchName, Concurrency, Graph, MAX_DEPTH, MAX_NODES, Node, NodeKind, ToolSpec,
    template::{self, Piece},
    walk,
};
use crate::kernel::FieldError;
use kinds::{Reads, general, kind};

mod deciders;
mod kinds;

/// The longest text that a node may hold.
pub const MAX_TEXT: usize = 20_000;
/// The longest time that a run may have, and that a wait may last: a year.
pub const MAX_SECONDS: u64 = 366 * 86_400;

/// The most runs that a limit on them may allow at once.
pub const MAX_AT_ONCE: u32 = 10_000;

/// What is wrong with a graph, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The node's path, such as `check.fetch`; none for the graph itself.
    pub node: Option<String>,
    /// The field of the node, as in YAML: `prompt`, `after`, `arguments.url`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a graph may name, and how values are held against schemas.
pub struct Known<'a> {
    /// Agents, by key.
    pub agents: &'a BTreeSet<String>,
    /// Tools, by name.
    pub tools: &'a BTreeMap<String, ToolSpec>,
    /// Workflows that can be run inside of another one, by [`super::SubWorkflow::key`]: the schemas of their inputs.
    pub workflows: &'a BTreeMap<String, Value>,
    /// What is wrong with a value by a schema.
    pub check: &'a dyn Fn(&Value, &Value) -> Vec<FieldError>,
    /// What is wrong with a schema itself.
    pub check_schema: &'a dyn Fn(&Value) -> Option<String>,
}

/// All that is wrong with a graph; nothing when it can run.
#[must_use]
pub fn validate(graph: &Graph, known: &Known<'_>) -> Vec<Fault> {
    let mut out = Faults { known, list: Vec::new() };
    let (count, depth) = walk::size(&graph.nodes);
    if count > MAX_NODES {
        out.graph("nodes", format!("There are {count} steps; a workflow may have {MAX_NODES}. Split it in two."));
        return out.list;
    }
    if depth > MAX_DEPTH {
        out.graph("nodes", format!("Groups nest {depth} deep; {MAX_DEPTH} is the most."));
        return out.list;
    }
    settings(graph, &mut out);
    if !graph.nodes.iter().any(|node| matches!(node.kind, NodeKind::End { .. })) {
        out.graph("nodes", "The workflow has no end. Add a step of the kind “end”.");
    }
    let starts = graph.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Start)).count();
    if starts == 0 {
        out.graph("nodes", "The workflow has no start. Add a step of the kind “start”.");
    }
    scope(&Scope { path: "", nodes: &graph.nodes, outer: &BTreeSet::new(), starts, locked: false }, &mut out);
    out.list
}

struct Faults<'a> {
    known: &'a Known<'a>,
    list: Vec<Fault>,
}

impl Faults<'_> {
    fn graph(&mut self, field: &str, message: impl Into<String>) {
        self.list.push(Fault { node: None, field: field.to_owned(), message: message.into() });
    }

    fn node(&mut self, path: &str, field: impl Into<String>, message: impl Into<String>) {
        self.list.push(Fault { node: Some(path.to_owned()), field: field.into(), message: message.into() });
    }
}

fn settings(graph: &Graph, out: &mut Faults<'_>) {
    if graph.input.get("type") != Some(&Value::from("object")) {
        out.graph("input", "The input must be described by a JSON Schema with “type”: “object”.");
    } else if let Some(message) = (out.known.check_schema)(&graph.input) {
        out.graph("input", format!("The input's JSON Schema is not valid: {message}"));
    }
    match template::pieces(&graph.title) {
        Err(message) => out.graph("title", message),
        Ok(pieces) => {
            let reads_steps = pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Expression(inside) if !template::steps_read(inside).is_empty()));
            if reads_steps {
                out.graph("title", "A run's title is made when it starts, so it can read the input, but no step.");
            }
        }
    }
    if graph.title.chars().count() > 200 {
        out.graph("title", "The title is too long; 200 characters are the most.");
    }
    if graph.deadline_s.is_some_and(|seconds| !(1..=MAX_SECONDS).contains(&seconds)) {
        out.graph("deadline_s", "The deadline must be between 1 second and 366 days.");
    }
    if graph.retention_days.is_some_and(|days| days > 3_650) {
        out.graph("retention_days", "Ended runs are kept for 3650 days at most, or with 0 for ever.");
    }
    if let Some(concurrency) = &graph.concurrency {
        settings_of_groups(concurrency, out);
    }
}

fn settings_of_groups(concurrency: &Concurrency, out: &mut Faults<'_>) {
    if !(1..=MAX_AT_ONCE).contains(&concurrency.limit) {
        out.graph("concurrency_limit", format!("Between 1 and {MAX_AT_ONCE} runs can be allowed at once."));
    }
    if concurrency.key.chars().count() > 200 {
        out.graph("concurrency_key", "The key is too long; 200 characters are the most.");
    }
    match template::pieces(&concurrency.key) {
        Err(message) => out.graph("concurrency_key", message),
        Ok(pieces) => {
            let is_told = |piece: &Piece<'_>| match piece {
                Piece::Text(_) => true,
                Piece::Expression(inside) => template::is_input_path(inside),
            };
            if !pieces.iter().all(is_told) {
                let message = "The key is made before a run begins, so it reads the input, as in {{ input.customer }}, and \
                               nothing else.";
                out.graph("concurrency_key", message);
            }
        }
    }
}

/// One level of the graph.
struct Scope<'a> {
    path: &'a str,
    nodes: &'a [Node],
    /// Keys of steps outside that have run before.
    outer: &'a BTreeSet<String>,
    starts: usize,
    /// Whether what it stands in holds locks.
    locked: bool,
}

impl Scope<'_> {
    fn is_root(&self) -> bool {
        self.path.is_empty()
    }
}

fn scope(level: &Scope<'_>, out: &mut Faults<'_>) {
    let mut seen = BTreeSet::new();
    for node in level.nodes {
        let path = walk::join(level.path, node.id.as_str());
        if !seen.insert(node.id.as_str()) {
            out.node(&path, "id", format!("Two steps have the key “{}”. Rename one of them.", node.id));
        } else if level.outer.contains(node.id.as_str()) {
            out.node(
                &path,
                "id",
                format!("A step outside of this group has the key “{}” too. Rename one of them.", node.id),
            );
        }
        edges(level, node, &path, out);
    }
    let order = walk::order(level.nodes);
    cycles(level, &order.stuck, out);
    if level.is_root() {
        unreachable(level, &order.stuck, out);
    }
    targets(level, out);
    for (place, node) in level.nodes.iter().enumerate() {
        let path = walk::join(level.path, node.id.as_str());
        let stuck = order.stuck.contains(&place);
        let mut readable = level.outer.clone();
        readable.extend(order.before[place].iter().map(|source| level.nodes[*source].id.as_str().to_owned()));
        let reads = Reads { path: &path, level, readable: &readable, unsure: stuck };
        general(node, &reads, out);
        kind(node, &reads, out);
    }
}

fn edges(level: &Scope<'_>, node: &Node, path: &str, out: &mut Faults<'_>) {
    let mut seen = BTreeSet::new();
    for port in &node.after {
        if !seen.insert(port) {
            out.node(path, "after", format!("“{port}” is named twice in “runs after”. Once is enough."));
            continue;
        }
        if port.node == node.id {
            out.node(path, "after", "The step is to run after itself. Choose another step.");
            continue;
        }
        let Some(source) = level.nodes.iter().find(|other| other.id == port.node) else {
            let place = if level.is_root() { "" } else { " in this group" };
            out.node(path, "after", format!("It is to run after “{}”, which does not exist{place}.", port.node));
            continue;
        };
        if matches!(source.kind, NodeKind::End { .. }) {
            out.node(path, "after", format!("“{}” ends the run, so nothing can run after it.", source.label()));
            continue;
        }
        let branches = source.kind.branches();
        match &port.branch {
            // Whatever a step is, something can run after its failure.
            Some(branch) if *branch == BranchName::error() && !matches!(source.kind, NodeKind::Start) => {}
            Some(branch) if branches.is_empty() => {
                let message =
                    format!("“{}” has only one way out; write “{}” without “.{branch}”.", source.label(), source.id);
                out.node(path, "after", message);
            }
            Some(branch) if !branches.contains(branch) => {
                let message = format!("“{}” has no branch “{branch}”. It has {}.", source.label(), list_of(&branches));
                out.node(path, "after", message);
            }
            None if matches!(source.kind, NodeKind::Decision { .. }) => {
                let message =
                    format!("Say after which branch of “{}” it runs: {}.", source.label(), list_of(&branches));
                out.node(path, "after", message);
            }
            _ => {}
        }
    }
    match (&node.kind, level.is_root()) {
        (NodeKind::Start, true) if level.starts > 1 => {
            out.node(path, "kind", "The workflow has more than one start. Keep one.");
        }
        (NodeKind::Start, true) if !node.after.is_empty() => {
            out.node(path, "after", "The start is first and runs after nothing.");
        }
        (NodeKind::Start | NodeKind::End { .. }, false) => {
            let word = node.kind.word();
            out.node(path, "kind", format!("A group's steps need no “{word}”. Delete it."));
        }
        _ => {}
    }
}

fn list_of(branches: &[BranchName]) -> String {
    branches.iter().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ")
}

/// One fault for each cycle, at one of its nodes, naming all of them.
fn cycles(level: &Scope<'_>, stuck: &[usize], out: &mut Faults<'_>) {
    let place_of: BTreeMap<&str, usize> =
        stuck.iter().rev().map(|place| (level.nodes[*place].id.as_str(), *place)).collect();
    let mut done = BTreeSet::new();
    for start in stuck {
        let mut trail: Vec<usize> = Vec::new();
        let mut at = *start;
        // Each stuck node has a stuck node before it, so walking backwards comes round.
        while !done.contains(&at) && !trail.contains(&at) {
            trail.push(at);
            let next = level.nodes[at].after.iter().find_map(|port| place_of.get(port.node.as_str()));
            let Some(next) = next else { break };
            at = *next;
        }
        if let Some(from) = trail.iter().position(|place| *place == at)
            && trail.len() - from > 1
            && !done.contains(&at)
        {
            let mut names: Vec<String> =
                trail[from..].iter().rev().map(|place| format!("“{}”", level.nodes[*place].label())).collect();
            names.extend(names.first().cloned());
            let message = format!(
                "These steps wait for each other in a circle: {}. Take one of the connections away.",
                names.join(" → ")
            );
            out.node(&walk::join(level.path, level.nodes[at].id.as_str()), "after", message);
        }
        done.extend(trail);
    }
}

fn unreachable(level: &Scope<'_>, stuck: &[usize], out: &mut Faults<'_>) {
    let mut reached: BTreeSet<&str> =
        level.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Start)).map(|node| node.id.as_str()).collect();
    loop {
        let more: Vec<&str> = level
            .nodes
            .iter()
            .filter(|node| !reached.contains(node.id.as_str()))
            .filter(|node| node.after.iter().any(|port| reached.contains(port.node.as_str())))
            .map(|node| node.id.as_str())
            .collect();
        if more.is_empty() {
            break;
        }
        reached.extend(more);
    }
    for (place, node) in level.nodes.iter().enumerate() {
        if !reached.contains(node.id.as_str()) && !stuck.contains(&place) {
            let message = if node.after.is_empty() {
                "Nothing leads to this step. Choose what it runs after."
            } else {
                "No way leads from the start to this step. Check what it runs after."
            };
            out.node(&walk::join(level.path, node.id.as_str()), "after", message);
        }
    }
    let ends_reached =
        level.nodes.iter().any(|node| matches!(node.kind, NodeKind::End { .. }) && reached.contains(node.id.as_str()));
    if level.starts > 0 && !ends_reached && level.nodes.iter().any(|node| matches!(node.kind, NodeKind::End { .. })) {
        out.graph("nodes", "No way leads from the start to an end.");
    }
}

/// Each branch of a decision leads somewhere; inside of a group a branch may end the item or round.
fn targets(level: &Scope<'_>, out: &mut Faults<'_>) {
    if !level.is_root() {
        return;
    }
    for node in level.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Decision { .. })) {
        for branch in node.kind.branches() {
            let taken = level.nodes.iter().any(|other| {
                other.after.iter().any(|port| port.node == node.id && port.branch.as_ref() == Some(&branch))
            });
            if !taken {
                let message = format!("Nothing runs after the branch “{branch}”. Add a step after it.");
                out.node(node.id.as_str(), "branches", message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
