//! Workflows as files. A file has the graph, with a name and description, and the agents that the graph needs. Whoever
//! sends one is told what is wrong by step, field and line. Size, depth and aliases are bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{NewWorkflow, blank};
use crate::{
    agents::AgentConfig,
    engine::{
        plan::{Concurrency, Graph, MAX_DEPTH, MAX_NODES, Node},
        state::Priority,
    },
    kernel::{Error, FieldError, Kind, Result},
};

/// The most bytes that a file may have.
pub const MAX_FILE_BYTES: usize = 512 << 10;

#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_days: Option<u32>,
    #[serde(skip_serializing_if = "Priority::is_normal")]
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: &'a Option<Concurrency>,
    input: &'a Value,
    nodes: &'a [Node],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    agents: &'a BTreeMap<String, AgentConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    deadline_s: Option<u64>,
    #[serde(default)]
    retention_days: Option<u32>,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    concurrency: Option<Concurrency>,
    #[serde(default)]
    input: Option<Value>,
    nodes: Vec<Spanned<Value>>,
    #[serde(default)]
    agents: BTreeMap<String, Spanned<Value>>,
}

/// The file of a workflow.
///
/// # Errors
/// `internal`, when a value cannot be written.
pub fn export(workflow: &NewWorkflow) -> Result<String> {
    let Graph { input, title, deadline_s, retention_days, priority, concurrency, nodes } = &workflow.graph;
    let written = Written {
        name: &workflow.name,
        description: &workflow.description,
        title,
        deadline_s: *deadline_s,
        retention_days: *retention_days,
        priority: *priority,
        concurrency,
        input,
        nodes,
        agents: &workflow.agents,
    };
    serde_saphyr::to_string(&written).map_err(Error::internal)
}

/// The workflow of a file. Whether its graph can run is another question, answered when it is saved.
///
/// # Errors
/// `too_large`; `invalid`, with step, field and line of each fault that can be told.
pub fn import(file: &str) -> Result<NewWorkflow> {
    if file.len() > MAX_FILE_BYTES {
        let message = format!("The file has {} KB; {} KB are the most.", file.len() / 1024, MAX_FILE_BYTES / 1024);
        return Err(Error::new(Kind::TooLarge, "yaml.too_large", message));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 40,
            flow_nesting_limit: 40,
            max_nodes: 50_000,
            max_events: 100_000,
            max_aliases: 100,
            max_anchors: 100,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 50,
        },
    };
    let read: Read = serde_saphyr::from_str_with_options(file, options).map_err(|error| unreadable(&error))?;
    let mut faults = Vec::new();
    if read.nodes.len() > MAX_NODES {
        return Err(Error::invalid(
            "nodes",
            format!("There are {} steps; {MAX_NODES} are the most.", read.nodes.len()),
        ));
    }
    let nodes = read
        .nodes
        .into_iter()
        .enumerate()
        .filter_map(|(place, node)| {
            let at = At { path: format!("{}", place + 1), line: node.referenced.line(), depth: 0 };
            to_node(node.value, &at, &mut faults)
        })
        .collect();
    let agents = read
        .agents
        .into_iter()
        .filter_map(|(key, agent)| {
            let line = agent.referenced.line();
            match serde_json::from_value::<AgentConfig>(agent.value) {
                Ok(config) => {
                    faults.extend(config.faults().into_iter().map(|fault| FieldError {
                        field: format!("agents.{key}.{}", fault.field),
                        message: format!("Line {line}, agent “{key}”: {}", fault.message),
                    }));
                    Some((key, config))
                }
                Err(error) => {
                    let message = format!("Line {line}, agent “{key}”: {}", in_words(&error));
                    faults.push(FieldError { field: format!("agents.{key}"), message });
                    None
                }
            }
        })
        .collect();
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    let graph = Graph {
        input: read.input.unwrap_or_else(|| blank().input),
        title: read.title,
        deadline_s: read.deadline_s,
        retention_days: read.retention_days,
        priority: read.priority,
        concurrency: read.concurrency,
        nodes,
    };
    Ok(NewWorkflow { name: read.name, description: read.description, graph, agents, deploy: true })
}

/// Where in the file a node stands.
struct At {
    /// The path of keys; a place where a key is missing.
    path: String,
    line: u64,
    depth: usize,
}

impl At {
    fn fault(&self, field: &str, message: impl std::fmt::Display) -> FieldError {
        let field = if field.is_empty() { String::new() } else { format!(".{field}") };
        FieldError {
            field: format!("nodes.{}{field}", self.path),
            message: format!("Line {}, step “{}”: {message}", self.line, self.path),
        }
    }
}

/// One node. Groups are taken apart first, so that a fault names the step inside and not only the group.
fn to_node(value: Value, at: &At, faults: &mut Vec<FieldError>) -> Option<Node> {
    let Value::Object(mut fields) = value else {
        faults.push(at.fault("", "A step is written as fields with values: id, kind, and what the kind needs."));
        return None;
    };
    let scope = at.path.rsplit_once('.').map(|(scope, _)| scope);
    let key = fields.get("id").and_then(Value::as_str);
    let path = match (scope, key) {
        (_, None) => at.path.clone(),
        (None, Some(key)) => key.to_owned(),
        (Some(scope), Some(key)) => format!("{scope}.{key}"),
    };
    let at = At { path, ..*at };
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(own) = fields_of(&kind) else {
        let message = if kind.is_empty() {
            "“kind” is missing. Kinds are: ".to_owned() + KINDS
        } else {
            format!("“{kind}” is not a kind of step. Kinds are: {KINDS}")
        };
        faults.push(at.fault("kind", message));
        return None;
    };
    let unknown: Vec<&String> =
        fields.keys().filter(|name| !COMMON.contains(&name.as_str()) && !own.contains(&name.as_str())).collect();
    for name in &unknown {
        let message = format!("A step of the kind “{kind}” has no “{name}”. It has: {}.", own.join(", "));
        faults.push(at.fault(name, message));
    }
    let is_group = own.contains(&"nodes");
    let inner = if is_group { inner_nodes(&mut fields, &at, faults) } else { Some(Vec::new()) };
    match serde_json::from_value::<Node>(Value::Object(fields)) {
        Ok(mut node) => {
            if let Some(nodes) = node.kind.inner_mut() {
                *nodes = inner?;
            }
            Some(node)
        }
        Err(error) => {
            faults.push(at.fault("", in_words(&error)));
            None
        }
    }
}

fn inner_nodes(fields: &mut Map<String, Value>, at: &At, faults: &mut Vec<FieldError>) -> Option<Vec<Node>> {
    if at.depth > MAX_DEPTH {
        faults.push(at.fault("nodes", format!("Groups nest too deep; {MAX_DEPTH} levels are the most.")));
        return None;
    }
    let Some(Value::Array(nodes)) = fields.insert("nodes".to_owned(), Value::Array(Vec::new())) else {
        faults.push(at.fault("nodes", "It needs a list of steps under “nodes”."));
        return None;
    };
    let count = nodes.len();
    let inner: Vec<Node> = nodes
        .into_iter()
        .enumerate()
        .filter_map(|(place, node)| {
            let at = At { path: format!("{}.{}", at.path, place + 1), line: at.line, depth: at.depth + 1 };
            to_node(node, &at, faults)
        })
        .collect();
    (inner.len() == count).then_some(inner)
}

const KINDS: &str =
    "start, agent, tool, http, transform, decision, approval, map, loop, workflow, wait, wait_event, end.";
const COMMON: [&str; 16] = [
    "id",
    "name",
    "kind",
    "after",
    "join",
    "timeout_s",
    "retry",
    "on_error",
    "alternatives",
    "requires_approval",
    "at_most_once",
    "cache",
    "budget",
    "locks",
    "lock_s",
    "pinned",
];

/// The fields of a kind, besides those of every step.
fn fields_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "start" => &[],
        "agent" => &["agent", "prompt", "history", "memory_key"],
        "tool" => &["tool", "arguments"],
        "transform" => &["value"],
        "decision" => &["branches", "otherwise"],
        "approval" => &[
            "title",
            "message",
            "payload",
            "impact",
            "amount",
            "currency",
            "why",
            "confidence",
            "reversible",
            "reversible_until",
            "role",
            "expires_s",
            "on_expiry",
            "people",
            "quorum",
            "not_own",
            "escalate_to",
        ],
        "http" => &["method", "url", "query", "headers", "body", "accept_errors"],
        "map" => &["items", "concurrency", "nodes", "result", "max_failures"],
        "loop" => &["until", "max", "nodes", "result"],
        "workflow" => &["workflow", "version", "input"],
        "wait" => &["seconds", "until"],
        "wait_event" => &["event"],
        "end" => &["output"],
        _ => return None,
    })
}

/// What a reader of JSON says, with quotes as on screen and a full stop.
fn in_words(error: &serde_json::Error) -> String {
    let mut quotes = ["“", "”"].into_iter().cycle();
    let mut out = String::new();
    for letter in error.to_string().chars() {
        match letter {
            '`' => out.push_str(quotes.next().unwrap_or_default()),
            other => out.push(other),
        }
    }
    let mut letters = out.chars();
    let out = letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    if out.ends_with('.') { out } else { out + "." }
}

fn unreadable(error: &serde_saphyr::Error) -> Error {
    let words = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let words = words.split(" at line ").next().unwrap_or_default().trim_end_matches('.').to_owned();
    let message = match error.location() {
        Some(place) if place.line() > 0 => format!("Line {}: {words}.", place.line()),
        _ => format!("{words}."),
    };
    Error::invalid("yaml", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::engine::plan::NodeKind;

    const FILE: &str = r#"
name: Triage
description: Reads a message
title: "Ticket {{ input.subject }}"
priority: high
concurrency: { limit: 1, key: "{{ input.subject }}" }
input:
  type: object
  properties:
    subject: { type: string }
nodes:
  - id: start
    kind: start
  - id: read
    kind: agent
    agent: reader
    prompt: |
      Read this:
      {{ input.subject }}
    after: [start]
  - id: each
    kind: map
    items: "{{ steps.read.output.parts }}"
    after: [read]
    nodes:
      - id: fetch
        kind: tool
        tool: http_request
        arguments: { url: "{{ item }}" }
        on_error: continue
  - id: end
    kind: end
    after: [each]
    output: "{{ steps.each.output }}"
agents:
  reader:
    name: Reader
    role: reads
    instructions: Read.
    model: sandbox/sandbox
"#;

    fn messages(file: &str) -> Vec<String> {
        let error = import(file).expect_err("it is wrong");
        error.fields.into_iter().map(|field| format!("{} | {}", field.field, field.message)).collect()
    }

    #[test]
    fn a_file_comes_back_as_it_went() {
        let first = import(FILE).expect("a good file");
        assert_eq!(first.graph.nodes.len(), 4);
        assert_eq!(first.agents["reader"].name, "Reader");
        let file = export(&first).expect("written");
        assert_eq!(import(&file).expect("read again"), first, "{file}");
        assert!(file.contains("id: start"), "{file}");
    }

    #[test]
    fn all_settings_of_an_agent_travel_with_it() {
        let settings = r#"
    fallbacks: [class/routine, openai/gpt-5]
    temperature: 0.2
    options: { top_p: 0.9, max_output_tokens: 2000, reasoning: high }
    tools: { calculator: allowed, email_send: needs_approval }
    limits: { max_turns: 3 }
    guardrails: { injection: stop, max_input_chars: 4000, redact: [card], stop: [ssn], allowed_domains: [a.example], rule_of_two: false }
    capabilities: { tags: [billing, refunds], about: Answers customers. }
"#;
        let first = import(&format!("{FILE}{}", settings.trim_start_matches('\n'))).expect("a good file");
        let reader = &first.agents["reader"];
        assert_eq!((reader.fallbacks.len(), reader.capabilities.tags.len(), reader.limits.max_turns), (2, 2, 3));
        assert!(reader.options.reasoning.is_some() && !reader.guardrails.rule_of_two);
        let file = export(&first).expect("written");
        assert_eq!(import(&file).expect("read again"), first, "{file}");
        let wrong = FILE.replace("model: sandbox/sandbox", "model: sandbox/sandbox\n    fallbacks: [sandbox/sandbox]");
        assert!(
            messages(&wrong).join("").starts_with("agents.reader.fallbacks.0 | Line 37, agent “reader”: This model")
        );
    }

    #[test]
    fn faults_name_line_step_and_field() {
        let wrong = FILE.replace("prompt: |", "promt: |").replace("tool: http_request", "tol: http_request");
        assert_eq!(
            messages(&wrong),
            [
                "nodes.read.promt | Line 14, step “read”: A step of the kind “agent” has no “promt”. It has: agent, prompt, history, memory_key.",
                "nodes.read | Line 14, step “read”: Missing field “prompt”.",
                "nodes.each.fetch.tol | Line 21, step “each.fetch”: A step of the kind “tool” has no “tol”. It has: tool, arguments.",
                "nodes.each.fetch | Line 21, step “each.fetch”: Missing field “tool”.",
            ]
        );
        let wrong = FILE.replace("kind: agent", "kind: robot").replace("model: sandbox/sandbox", "model: sandbox");
        let said = messages(&wrong).join("\n");
        assert!(said.contains("nodes.read.kind | Line 14, step “read”: “robot” is not a kind of step."), "{said}");
        assert!(said.contains("agents.reader.model | Line 37, agent “reader”: Choose a model"), "{said}");
        assert!(messages("name: [").join("").starts_with("yaml | Line 1"), "{:?}", messages("name: ["));
        assert!(messages("name: A\nnods: []").join("").contains("Line 2"), "{:?}", messages("name: A\nnods: []"));
    }

    #[test]
    fn what_is_huge_deep_or_folded_is_refused() {
        let huge = format!("name: {}\nnodes: []", "x".repeat(MAX_FILE_BYTES));
        assert_eq!(import(&huge).expect_err("too large").kind, Kind::TooLarge);
        let deep = format!("name: A\nnodes: []\ninput: {}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(import(&deep).expect_err("too deep").kind, Kind::Invalid);
        let deep = format!(
            "name: A\nnodes: []\ninput:\n{}",
            (0..200).map(|at| format!("{}a:\n", " ".repeat(at + 1))).collect::<String>()
        );
        assert_eq!(import(&deep).expect_err("too deep").kind, Kind::Invalid);
        let mut laughs = "name: A\nnodes: []\ninput:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for at in 1..9 {
            let refs = vec![format!("*a{}", at - 1); 9].join(", ");
            laughs += &format!("  a{at}: &a{at} [{refs}]\n");
        }
        assert_eq!(import(&laughs).expect_err("a billion laughs").kind, Kind::Invalid);
        let nested = (0..8).fold(
            json!({"id": "x", "kind": "start"}),
            |inner, _| json!({ "id": "m", "kind": "map", "items": "{{ [] }}", "nodes": [inner] }),
        );
        let file = serde_json::to_string(&json!({ "name": "A", "nodes": [nested] })).expect("JSON");
        assert!(messages(&file).join("").contains("nest too deep"));
        assert!(import("name: A\nnodes: []\n---\nname: B").is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "\\PC{0,20}",
            "[ \n\t:#'\"{}\\[\\]&*!|>%@`,?-]{0,12}",
            Just("null".to_owned()),
            Just("yes".to_owned()),
            Just("012".to_owned()),
            Just("1e3".to_owned()),
            Just("{{ a }}".to_owned()),
            Just("line\nline\n\n".to_owned()),
            Just("~".to_owned()),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9_f64..1e9).prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9_ :.-]{1,8}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn whatever_is_exported_comes_back(input in value(), output in value(), name in "\\PC{1,30}", prompt in "[\\PC\n]{0,60}") {
            let mut first = import(FILE).expect("a good file");
            first.name = name;
            first.graph.input = json!({ "type": "object", "default": input });
            if let NodeKind::Agent { prompt: text, .. } = &mut first.graph.nodes[1].kind { *text = prompt; }
            if let NodeKind::End { output: value } = &mut first.graph.nodes[3].kind { *value = output; }
            let file = export(&first).expect("written");
            prop_assert_eq!(import(&file).map_err(|error| format!("{error:?}\n{file}")), Ok(first), "{}", file);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\PC\n]{0,200}") {
            let _ = import(&text);
        }
    }
}
