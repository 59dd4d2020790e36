//! What is wrong with single nodes: what holds for all of them, and for each kind.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    super::{
        ASK_HUMAN, Alternative, Approval, Branch, Budget, Gate, HTTP_TOOL, Http, Join, MAX_LOCK_NAME, MAX_LOCKS,
        MAX_ROUNDS, Node, NodeKind, RetryPolicy, SubWorkflow, ToolEffect, ToolSource,
        template::{self, Piece},
    },
    Faults, MAX_SECONDS, MAX_TEXT, Scope,
    deciders::deciders,
    scope,
};
use crate::{access::Permission, approvals::Amount, kernel::Money};

/// The longest that results are remembered: 30 days.
const MAX_CACHE: u64 = 30 * 86_400;
/// The most alternatives that a node may have.
const MAX_ALTERNATIVES: usize = 5;

/// What the templates of a node may read.
pub(super) struct Reads<'a> {
    pub(super) path: &'a str,
    pub(super) level: &'a Scope<'a>,
    pub(super) readable: &'a BTreeSet<String>,
    /// On a cycle, where before and after mean nothing.
    pub(super) unsure: bool,
}

pub(super) fn kind(node: &Node, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    match &node.kind {
        NodeKind::Start => {}
        NodeKind::Agent { agent, prompt, history, memory_key } => {
            if agent.is_empty() {
                out.node(path, "agent", "Choose the agent that does this step.");
            } else if !out.known.agents.contains(agent) {
                out.node(path, "agent", format!("There is no agent “{agent}”. Choose another one or create it."));
            }
            required(prompt, "prompt", "Write what the agent is asked.", reads, out);
            value_template(history, "history", reads, out);
            text_template(memory_key, "memory_key", reads, out);
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
        NodeKind::Http(http) => http_request(node, http, reads, out),
        NodeKind::Map { items, concurrency, nodes, result, max_failures: _ } => {
            expression(items, "items", "Write an expression for the list to work on.", "{{ input.urls }}", reads, out);
            if !(1..=100).contains(concurrency) {
                out.node(path, "concurrency", "Between 1 and 100 items can be worked on at the same time.");
            }
            group(node, nodes, result, reads, out);
        }
        NodeKind::Loop { until, max, nodes, result } => {
            if !(1..=MAX_ROUNDS).contains(max) {
                out.node(path, "max", format!("The rounds must be between 1 and {MAX_ROUNDS}."));
            }
            group(node, nodes, result, reads, out);
            let mut readable = reads.readable.clone();
            readable.extend(nodes.iter().map(|node| node.id.as_str().to_owned()));
            let inner = Scope { path, nodes, outer: reads.readable, starts: 0, locked: false };
            let after_all = Reads { path, level: &inner, readable: &readable, unsure: reads.unsure };
            let hint = "Say when the loop is done.";
            expression(until, "until", hint, "{{ result.score > 0.9 }}", &after_all, out);
        }
        NodeKind::Workflow { workflow, version, input } => {
            value_template(input, "input", reads, out);
            match out.known.workflows.get(&SubWorkflow::key(workflow, *version)) {
                _ if workflow.is_empty() => out.node(path, "workflow", "Choose the workflow that this step runs."),
                None => out.node(
                    path,
                    "workflow",
                    "There is no such workflow with a version that can run. Choose another one, or deploy it.",
                ),
                Some(schema) if !has_template(input) => {
                    let given = if input.is_null() { Value::Object(serde_json::Map::new()) } else { input.clone() };
                    for error in (out.known.check)(schema, &given) {
                        out.node(path, format!("input.{}", error.field), error.message);
                    }
                }
                Some(_) => {}
            }
        }
        NodeKind::WaitEvent { event } => {
            required(event, "event", "Write the key of the event, such as payment.{{ input.order }}.", reads, out);
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
    if matches!(spec.source, ToolSource::Agent { .. } | ToolSource::Workflow { .. }) {
        let message = "Agents and workflows are tools for agents alone. In a workflow they have steps of their own.";
        return out.node(path, "tool", message);
    }
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
    deciders(approval, reads, out);
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

pub(super) fn text_template(text: &str, field: &str, reads: &Reads<'_>, out: &mut Faults<'_>) {
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

/// What is inside of a group, and what its parts give.
fn group(node: &Node, nodes: &[Node], result: &Value, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    if nodes.is_empty() {
        out.node(path, "nodes", "There are no steps inside. Add what is done.");
    }
    let locked = reads.level.locked || !node.locks.is_empty();
    let inner = Scope { path, nodes, outer: reads.readable, starts: 0, locked };
    scope(&inner, out);
    let mut readable = reads.readable.clone();
    readable.extend(nodes.iter().map(|node| node.id.as_str().to_owned()));
    let after_all = Reads { path, level: &inner, readable: &readable, unsure: reads.unsure };
    value_template(result, "result", &after_all, out);
}

/// A template that must be exactly one expression.
fn expression(text: &str, field: &str, missing: &str, example: &str, reads: &Reads<'_>, out: &mut Faults<'_>) {
    required(text, field, missing, reads, out);
    let is_one = template::whole_expression(text).is_some();
    if !text.trim().is_empty() && template::pieces(text).is_ok() && !is_one {
        out.node(reads.path, field, format!("This must be exactly one expression, such as {example}."));
    }
}

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

fn http_request(node: &Node, http: &Http, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    if !METHODS.contains(&http.method.as_str()) {
        out.node(path, "method", format!("The method must be one of {}.", METHODS.join(", ")));
    }
    required(&http.url, "url", "Write the address to call.", reads, out);
    let url = http.url.trim();
    if !url.is_empty() && !url.starts_with("{{") && !url.starts_with("http://") && !url.starts_with("https://") {
        out.node(path, "url", "The address must begin with https:// or http://.");
    }
    for (field, value) in [("query", &http.query), ("headers", &http.headers)] {
        value_template(value, field, reads, out);
        let one = matches!(value, Value::String(text) if template::whole_expression(text).is_some());
        if !(one || value.is_null() || value.is_object()) {
            out.node(path, field, "This must be fields with their values.");
        }
    }
    value_template(&http.body, "body", reads, out);
    let limit = out.known.tools.get(HTTP_TOOL).map(|spec| spec.timeout_s);
    if let Some(limit) = limit.filter(|limit| node.timeout_s.is_some_and(|seconds| seconds > *limit)) {
        out.node(path, "timeout_s", format!("A request is cut off after {limit} seconds; that is the most here."));
    }
}

/// What holds for a node of any kind.
pub(super) fn general(node: &Node, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    if node.name.chars().count() > 80 {
        out.node(path, "name", "The name is too long; 80 characters are the most.");
    }
    let most = if matches!(node.kind, NodeKind::WaitEvent { .. }) { MAX_SECONDS } else { 86_400 };
    if node.timeout_s.is_some_and(|seconds| !(1..=most).contains(&seconds)) {
        out.node(path, "timeout_s", format!("The time limit must be between 1 and {most} seconds."));
    }
    if let Join::Count(count) = node.join
        && count as usize > node.after.len()
    {
        let message = format!("It waits for {count} steps and runs after {} only.", node.after.len());
        out.node(path, "join", message);
    }
    if !node.pinned.is_null()
        && matches!(node.kind, NodeKind::Start | NodeKind::Decision { .. } | NodeKind::Approval(_))
    {
        out.node(path, "pinned", "The output of a start, a decision or an approval cannot be pinned.");
    }
    if let Some(retry) = &node.retry {
        retries(retry, path, out);
    }
    if let Gate::When(condition) = &node.requires_approval {
        expression(condition, "requires_approval", "", "{{ input.amount > 500 }}", reads, out);
    }
    let calls = matches!(node.kind, NodeKind::Tool { .. } | NodeKind::Http(_));
    let works = calls || matches!(node.kind, NodeKind::Agent { .. } | NodeKind::Workflow { .. });
    if !works && node.requires_approval != Gate::Never {
        let message = "Only a tool, a request, an agent and a workflow can be held back. Put an approval before it.";
        out.node(path, "requires_approval", message);
    }
    if matches!(&node.kind, NodeKind::Tool { tool, .. } if tool == ASK_HUMAN) && node.requires_approval != Gate::Never {
        let message = format!(
            "The tool “{ASK_HUMAN}” asks a person itself, and a step asks once. Leave this out, or put an approval \
             before the step."
        );
        out.node(path, "requires_approval", message);
    }
    if node.at_most_once && !calls {
        out.node(path, "at_most_once", "Only a tool and a request can be marked as not to be repeated.");
    }
    if let Some(budget) = node.budget {
        limits(node, budget, path, out);
    }
    if let Some(seconds) = node.cache.seconds() {
        cache(node, seconds, path, out);
    }
    if !node.locks.is_empty() || node.lock_s.is_some() {
        locks(node, works || node.kind.inner().is_some(), reads, out);
    }
    for (place, alternative) in node.alternatives.iter().enumerate() {
        alternatives(node, alternative, place, reads, out);
    }
}

fn limits(node: &Node, budget: Budget, path: &str, out: &mut Faults<'_>) {
    if !matches!(
        node.kind,
        NodeKind::Agent { .. } | NodeKind::Map { .. } | NodeKind::Loop { .. } | NodeKind::Workflow { .. }
    ) {
        out.node(path, "budget", "Only an agent, a map, a loop and a workflow can have a budget.");
    }
    if budget.cost.is_none() && budget.tokens.is_none() {
        out.node(path, "budget", "Say how much it is: “cost” in dollars, or “tokens”.");
    }
    if budget.cost.is_some_and(|cost| cost <= Money::ZERO || cost > Money(1_000_000_000)) {
        out.node(path, "budget.cost", "The budget must be above $0 and at most $1,000.");
    }
    if budget.tokens == Some(0) {
        out.node(path, "budget.tokens", "The budget must be at least one token.");
    }
}

/// Only what changes nothing can be given again.
fn cache(node: &Node, seconds: u64, path: &str, out: &mut Faults<'_>) {
    if !(1..=MAX_CACHE).contains(&seconds) {
        out.node(path, "cache", "Results can be remembered for 1 second to 30 days.");
    }
    match &node.kind {
        NodeKind::Agent { .. } => {}
        NodeKind::Http(http) if matches!(http.method.as_str(), "GET" | "HEAD") => {}
        NodeKind::Http(_) => {
            let message = "Only a request with the method GET or HEAD can be remembered: others change something.";
            out.node(path, "cache", message);
        }
        NodeKind::Tool { tool, .. } => match out.known.tools.get(tool) {
            Some(spec) if spec.effect != ToolEffect::Read => {
                let message = format!("The tool “{tool}” changes something, so its results cannot be remembered.");
                out.node(path, "cache", message);
            }
            Some(spec) if !spec.repeatable => {
                let message = format!("The tool “{tool}” may answer otherwise each time, so it cannot be remembered.");
                out.node(path, "cache", message);
            }
            _ => {}
        },
        _ => out.node(path, "cache", "Only the results of an agent, a tool and a request can be remembered."),
    }
}

fn locks(node: &Node, works: bool, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let path = reads.path;
    if !works {
        let message = "Only a tool, a request, an agent, a group of steps and a workflow can hold locks.";
        return out.node(path, "locks", message);
    }
    if reads.level.locked {
        let message = "What this step stands in holds locks already. Name all of them there, so that no two runs wait \
                       for each other.";
        out.node(path, "locks", message);
    }
    if node.locks.len() > MAX_LOCKS {
        out.node(path, "locks", format!("A step can hold {MAX_LOCKS} locks at most."));
    }
    for name in &node.locks {
        required(name, "locks", "Write the name of the lock, such as invoice {{ input.number }}.", reads, out);
        if !name.contains("{{") && name.trim().chars().count() > MAX_LOCK_NAME {
            out.node(path, "locks", format!("The name of a lock has {MAX_LOCK_NAME} characters at most."));
        }
    }
    if node.lock_s.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        out.node(path, "lock_s", "Locks can be held for 1 to 86,400 seconds.");
    }
    if node.locks.is_empty() {
        out.node(path, "locks", "Name the locks that can be held for so long.");
    }
}

fn retries(retry: &RetryPolicy, path: &str, out: &mut Faults<'_>) {
    if !(1..=10).contains(&retry.attempts) {
        out.node(path, "retry.attempts", "The attempts must be between 1 and 10.");
    }
    if retry.backoff_ms > 3_600_000 {
        out.node(path, "retry.backoff_ms", "The first pause can be one hour at most.");
    }
    if !(1.0..=10.0).contains(&retry.factor) {
        out.node(path, "retry.factor", "The factor must be between 1 and 10.");
    }
    if retry.max_backoff_ms > 86_400_000 {
        out.node(path, "retry.max_backoff_ms", "The longest pause can be one day at most.");
    }
}

fn alternatives(node: &Node, alternative: &Alternative, place: usize, reads: &Reads<'_>, out: &mut Faults<'_>) {
    let (path, field) = (reads.path, format!("alternatives.{place}"));
    if place >= MAX_ALTERNATIVES {
        return out.node(path, field, format!("There can be {MAX_ALTERNATIVES} alternatives at most."));
    }
    let of_agent = matches!(node.kind, NodeKind::Agent { .. });
    let of_call = matches!(node.kind, NodeKind::Tool { .. } | NodeKind::Http(_));
    match alternative {
        Alternative::Agent(agent) if of_agent && !out.known.agents.contains(agent) => {
            out.node(path, field, format!("There is no agent “{agent}”. Choose another one or create it."));
        }
        Alternative::Model(model) if of_agent && !model.contains('/') => {
            out.node(path, field, format!("“{model}” is not a model. Models are named provider/name."));
        }
        Alternative::Agent(_) | Alternative::Model(_) if of_agent => {}
        Alternative::Tool(tool) if of_call => {
            if tool.arguments.is_null() {
                if !out.known.tools.contains_key(&tool.name) {
                    out.node(path, field, format!("There is no tool “{}”. Choose another one.", tool.name));
                }
            } else {
                tool_call(&tool.name, &tool.arguments, reads, out);
            }
        }
        _ => out.node(path, field, "An agent's alternative is an agent or a model; a tool's or request's is a tool."),
    }
}
