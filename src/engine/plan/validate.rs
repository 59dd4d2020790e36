//! Whether a graph can run, and what is wrong where. Pure: what agents and tools there are is passed in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Approval, Branch, BranchName, Graph, MAX_DEPTH, MAX_NODES, Node, NodeKind, RetryPolicy, ToolSpec,
    template::{self, Piece},
    walk,
};
use crate::{access::Permission, approvals::Amount, kernel::FieldError};

/// The longest text that a node may hold.
pub const MAX_TEXT: usize = 20_000;
/// The longest time that a run may have, and that a wait may last: a year.
pub const MAX_SECONDS: u64 = 366 * 86_400;

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
        out.graph("nodes", format!("Maps nest {depth} deep; {MAX_DEPTH} is the most."));
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
    scope(&Scope { path: "", nodes: &graph.nodes, outer: &BTreeSet::new(), starts }, &mut out);
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
}

/// One level of the graph.
struct Scope<'a> {
    path: &'a str,
    nodes: &'a [Node],
    /// Keys of steps outside that have run before.
    outer: &'a BTreeSet<String>,
    starts: usize,
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
                format!("A step outside of this map has the key “{}” too. Rename one of them.", node.id),
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
        general(node, &path, out);
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
            let place = if level.is_root() { "" } else { " in this map" };
            out.node(path, "after", format!("It is to run after “{}”, which does not exist{place}.", port.node));
            continue;
        };
        if matches!(source.kind, NodeKind::End { .. }) {
            out.node(path, "after", format!("“{}” ends the run, so nothing can run after it.", source.label()));
            continue;
        }
        let branches = source.kind.branches();
        match &port.branch {
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
            out.node(path, "kind", format!("A map's steps need no “{word}”. Delete it."));
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

/// Each branch of a decision leads somewhere; inside of a map a branch may end the item.
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

fn general(node: &Node, path: &str, out: &mut Faults<'_>) {
    if node.name.chars().count() > 80 {
        out.node(path, "name", "The name is too long; 80 characters are the most.");
    }
    if node.timeout_s.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        out.node(path, "timeout_s", "The time limit must be between 1 and 86,400 seconds.");
    }
    if let Some(RetryPolicy { attempts, backoff_ms, factor, max_backoff_ms }) = node.retry {
        if !(1..=10).contains(&attempts) {
            out.node(path, "retry.attempts", "The attempts must be between 1 and 10.");
        }
        if backoff_ms > 3_600_000 {
            out.node(path, "retry.backoff_ms", "The first pause can be one hour at most.");
        }
        if !(1.0..=10.0).contains(&factor) {
            out.node(path, "retry.factor", "The factor must be between 1 and 10.");
        }
        if max_backoff_ms > 86_400_000 {
            out.node(path, "retry.max_backoff_ms", "The longest pause can be one day at most.");
        }
    }
}

/// What the templates of a node may read.
struct Reads<'a> {
    path: &'a str,
    level: &'a Scope<'a>,
    readable: &'a BTreeSet<String>,
    /// On a cycle, where before and after mean nothing.
    unsure: bool,
}

fn kind(node: &Node, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    match &node.kind {
        NodeKind::Start => {}
        NodeKind::Agent { agent, prompt } => {
            if agent.is_empty() {
                out.node(path, "agent", "Choose the agent that does this step.");
            } else if !out.known.agents.contains(agent) {
                out.node(path, "agent", format!("There is no agent “{agent}”. Choose another one or create it."));
            }
            required(prompt, "prompt", "Write what the agent is asked.", reads, out);
        }
        NodeKind::Tool { tool, arguments } => {
            let limit = out.known.tools.get(tool).map(|spec| spec.timeout_s);
            if let Some(limit) = limit.filter(|limit| node.timeout_s.is_some_and(|seconds| seconds > *limit)) {
                let message = format!("The tool “{tool}” is cut off after {limit} seconds; that is the most here.");
                out.node(path, "timeout_s", message);
            }
            tool_call(tool, arguments, reads, out);
        }
        NodeKind::Transform { value } => {
            if value.is_null() {
                out.node(path, "value", "Write the value that this step makes.");
            }
            value_template(value, "value", reads, out);
        }
        NodeKind::Decision { branches, .. } => decision(branches, reads, out),
        NodeKind::Approval(approval) => approve(approval, reads, out),
        NodeKind::Map { items, concurrency, nodes, result } => {
            required(items, "items", "Write an expression for the list to work on.", reads, out);
            if !items.trim().is_empty()
                && template::pieces(items).is_ok()
                && template::whole_expression(items).is_none()
            {
                out.node(path, "items", "The list must be exactly one expression, such as {{ input.urls }}.");
            }
            if !(1..=100).contains(concurrency) {
                out.node(path, "concurrency", "Between 1 and 100 items can be worked on at the same time.");
            }
            if nodes.is_empty() {
                out.node(path, "nodes", "The map has no steps. Add what is done with each item.");
            }
            let inner = Scope { path, nodes, outer: reads.readable, starts: 0 };
            scope(&inner, out);
            let mut readable = reads.readable.clone();
            readable.extend(nodes.iter().map(|node| node.id.as_str().to_owned()));
            let after_all = Reads { path, level: &inner, readable: &readable, unsure: reads.unsure };
            value_template(result, "result", &after_all, out);
        }
        NodeKind::Wait { seconds, until } => wait(seconds, until, reads, out),
        NodeKind::End { output } => value_template(output, "output", reads, out),
    }
}

fn tool_call(tool: &str, arguments: &Value, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    value_template(arguments, "arguments", reads, out);
    if tool.is_empty() {
        out.node(path, "tool", "Choose the tool that this step calls.");
        return;
    }
    let Some(spec) = out.known.tools.get(tool) else {
        out.node(path, "tool", format!("There is no tool “{tool}”. Choose another one."));
        return;
    };
    let empty = serde_json::Map::new();
    let given = match arguments {
        Value::Object(given) => given,
        Value::Null => &empty,
        // One expression for all arguments: known only when it runs.
        Value::String(text) if template::whole_expression(text).is_some() => return,
        _ => {
            out.node(path, "arguments", "The arguments must be fields with their values.");
            return;
        }
    };
    let properties = spec.parameters.get("properties").and_then(Value::as_object);
    let required = spec.parameters.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !given.contains_key(name) {
            out.node(path, format!("arguments.{name}"), format!("The tool “{tool}” needs “{name}”."));
        }
    }
    let closed = spec.parameters.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in given {
        match properties.and_then(|properties| properties.get(name)) {
            None if closed => {
                let names =
                    properties.map(|all| all.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
                let message = format!("The tool “{tool}” has no argument “{name}”. It has: {names}.");
                out.node(path, format!("arguments.{name}"), message);
            }
            // What a template gives is known only when it runs; what is written out is held against the schema now.
            Some(schema) if !has_template(value) => {
                for error in (out.known.check)(schema, value) {
                    out.node(path, format!("arguments.{name}"), format!("“{name}”: {}", error.message));
                }
            }
            _ => {}
        }
    }
}

fn has_template(value: &Value) -> bool {
    let mut found = false;
    template::for_each_text(value, &mut |text| found |= text.contains("{{"));
    found
}

fn decision(branches: &[Branch], reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    if branches.is_empty() {
        out.node(path, "branches", "A decision needs at least one branch with a condition.");
    }
    if branches.len() > 20 {
        out.node(path, "branches", "A decision can have 20 branches at most.");
    }
    let mut seen = BTreeSet::new();
    for (place, branch) in branches.iter().enumerate() {
        let field = format!("branches.{place}.when");
        if !seen.insert(&branch.name) {
            let message = format!("Two branches have the name “{}”. Rename one of them.", branch.name);
            out.node(path, format!("branches.{place}.name"), message);
        }
        let hint = format!("Write the condition of the branch “{}”.", branch.name);
        required(&branch.when, &field, &hint, reads, out);
        if !branch.when.trim().is_empty()
            && template::pieces(&branch.when).is_ok()
            && template::whole_expression(&branch.when).is_none()
        {
            out.node(path, field, "A condition must be exactly one expression, such as {{ input.amount > 500 }}.");
        }
    }
}

fn approve(approval: &Approval, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let Approval { title, message, payload, impact, role, expires_s, .. } = approval;
    let Approval { amount, currency, why, confidence, reversible_until, .. } = approval;
    required(title, "title", "Write what will happen, one sentence.", reads, out);
    text_template(message, "message", reads, out);
    text_template(impact, "impact", reads, out);
    value_template(payload, "payload", reads, out);
    value_template(amount, "amount", reads, out);
    text_template(currency, "currency", reads, out);
    text_template(why, "why", reads, out);
    value_template(confidence, "confidence", reads, out);
    text_template(reversible_until, "reversible_until", reads, out);
    // What is written out is held against its rule now; what a template gives is known only when it runs.
    if !has_template(amount)
        && !currency.contains("{{")
        && let Err(message) = Amount::read(amount, currency)
    {
        out.node(reads.path, "amount", message);
    }
    let is_share = match confidence {
        Value::Null => true,
        Value::Number(number) => number.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)),
        Value::String(text) => template::whole_expression(text).is_some(),
        _ => false,
    };
    if !is_share {
        out.node(reads.path, "confidence", "The confidence must be a number from 0 to 1, or one expression.");
    }
    if !reversible_until.is_empty() {
        if !approval.reversible {
            let message = "This says until when it can be undone, so say too that it can be undone.";
            out.node(reads.path, "reversible_until", message);
        }
        let moment = reversible_until.trim();
        if !moment.contains("{{") && chrono::DateTime::parse_from_rfc3339(moment).is_err() {
            out.node(reads.path, "reversible_until", "Write a moment such as 2026-12-01T09:00:00Z, or an expression.");
        }
    }
    if let Some(role) = role.filter(|role| !role.may(Permission::Decide)) {
        let message = format!("A {} decides nothing, so choose “member” or a higher role, or none.", role.as_str());
        out.node(reads.path, "role", message);
    }
    if expires_s.is_some_and(|seconds| !(60..=MAX_SECONDS).contains(&seconds)) {
        out.node(reads.path, "expires_s", "The deadline must be between 1 minute and 366 days.");
    }
}

fn wait(seconds: &Value, until: &Value, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    match (seconds.is_null(), until.is_null()) {
        (true, true) => out.node(path, "seconds", "Say how many seconds to wait, or until when."),
        (false, false) => out.node(path, "until", "Say either how many seconds to wait or until when, not both."),
        _ => {}
    }
    value_template(seconds, "seconds", reads, out);
    value_template(until, "until", reads, out);
    let in_bounds = match seconds {
        Value::Null => true,
        Value::Number(number) => number.as_f64().is_some_and(|number| (0.0..=MAX_SECONDS as f64).contains(&number)),
        Value::String(text) => template::whole_expression(text).is_some(),
        _ => false,
    };
    if !in_bounds {
        out.node(path, "seconds", "The seconds must be a number from 0 to 31,622,400, or one expression.");
    }
    let is_moment = match until {
        Value::Null => true,
        Value::String(text) => text.contains("{{") || chrono::DateTime::parse_from_rfc3339(text.trim()).is_ok(),
        _ => false,
    };
    if !is_moment {
        out.node(path, "until", "Write a moment such as 2026-12-24T18:00:00Z, or one expression.");
    }
}

fn required(text: &str, field: &str, missing: &str, reads: &Reads<'_>, out: &mut Faults<'_>) {
    if text.trim().is_empty() {
        out.node(reads.path, field, missing);
    }
    text_template(text, field, reads, out);
}

fn value_template(value: &Value, field: &str, reads: &Reads<'_>, out: &mut Faults<'_>) {
    template::for_each_text(value, &mut |text| text_template(text, field, reads, out));
}

fn text_template(text: &str, field: &str, reads: &Reads<'_>, out: &mut Faults<'_>) {
    if text.chars().count() > MAX_TEXT {
        out.node(reads.path, field, "The text is too long; 20,000 characters are the most.");
        return;
    }
    let pieces = match template::pieces(text) {
        Ok(pieces) => pieces,
        Err(message) => return out.node(reads.path, field, message),
    };
    let mut read = BTreeSet::new();
    for piece in pieces {
        if let Piece::Expression(inside) = piece {
            read.extend(template::steps_read(inside));
        }
    }
    for key in read {
        if reads.readable.contains(&key) {
            continue;
        }
        let exists = reads.level.nodes.iter().any(|node| node.id.as_str() == key);
        if !exists {
            let message = format!("It reads “steps.{key}”, and there is no such step that it could read.");
            out.node(reads.path, field, message);
        } else if !reads.unsure {
            let message = format!(
                "It reads “steps.{key}”, which cannot have run before this step. Let this step run after “{key}”."
            );
            out.node(reads.path, field, message);
        }
    }
}

#[cfg(test)]
mod tests;
