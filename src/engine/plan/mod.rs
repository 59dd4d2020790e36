//! What a run executes: a graph of nodes, and the plan that it is compiled to when a run starts (the graph with the
//! agent versions and tools that the run keeps to its end). Data only; [`validate`] says whether a graph can run.

mod agent;
mod approval;
pub mod names;
pub mod policy;
pub mod relevance;
pub mod template;
mod tool;
pub mod validate;
pub mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use agent::{AgentLimits, AgentSpec, Guardrails, InputCheck, Memory, ModelOptions, Reasoning, Sensitive};
pub use approval::{Approval, MAX_PEOPLE, MAX_QUORUM, OnExpiry};
pub use names::{
    BranchName, FIND_TOOLS, MESSAGE_ASK, MESSAGE_REPLY, MESSAGE_SEND, MESSAGE_TOOLS, MESSAGES_READ, NodeKey, Port,
};
pub use policy::{Alternative, Budget, Cache, Gate, Join, OnError, RetryPolicy, ToolAlternative};
pub use tool::{Flow, ToolEffect, ToolPermission, ToolSource, ToolSpec};

use super::state::Priority;

/// The most nodes that a graph may have, those inside of groups included.
pub const MAX_NODES: usize = 300;
/// The most items that one map works on.
pub const MAX_ITEMS: usize = 10_000;
/// The most rounds of a loop.
pub const MAX_ROUNDS: u32 = 1_000;
/// The most locks that a node may hold.
pub const MAX_LOCKS: usize = 8;
/// The most characters of the key of an agent's memory.
pub const MAX_MEMORY_KEY: usize = 200;
/// The most characters of a lock's name.
pub const MAX_LOCK_NAME: usize = 200;
/// Seconds that a node may hold its locks where nothing else is said.
pub const LOCK_S: u32 = 300;
/// How deep groups (maps, loops) may nest.
pub const MAX_DEPTH: usize = 4;

/// A workflow's graph: the same form in the database, in YAML and in the editors. The edges are each node's `after`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// JSON Schema of a run's input, an object; the run form is made from it.
    #[serde(default = "any_object")]
    pub input: Value,
    /// A run's title as a template, such as `Ticket {{ input.subject }}`. Empty means the workflow's name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Seconds from its start in which a run must end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// Days that ended runs are kept; 0 for ever. None: as the organization keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Whether its runs go before the organization's others.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// How many of its runs are under way at once. None: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// The nodes, in the order in which they are shown.
    pub nodes: Vec<Node>,
}

/// How many runs of a workflow are under way at once, waiting ones included. The others are queued until they have their
/// turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// The most.
    pub limit: u32,
    /// Template over the input, such as `{{ input.customer }}`: only runs with the same key count together. Empty: all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object" })
}

/// One node of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its key in the graph: what templates (`steps.KEY.output`) and ports name.
    pub id: NodeKey,
    /// What is shown. Empty means the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub kind: NodeKind,
    /// What it runs after: the inbound edges. `triage`, or a decision's branch, `size.large`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Port>,
    /// When it starts, with several inbound edges.
    #[serde(default, skip_serializing_if = "Join::is_all")]
    pub join: Join,
    /// Seconds that one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// When and how often to try again. None means [`RetryPolicy::default`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// What a failure leads to that nothing mended.
    #[serde(default, skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
    /// What is tried, in this order, when its own attempts are spent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
    /// Whether a person must agree before it begins.
    #[serde(default, skip_serializing_if = "Gate::is_never")]
    pub requires_approval: Gate,
    /// Whether its effect must not be repeated: when it is not known whether a call happened, a person says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// How long the answers of its calls are remembered.
    #[serde(default, skip_serializing_if = "Cache::is_off")]
    pub cache: Cache,
    /// What its model calls, and those below it, may use together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Templates: the names of the locks that it holds while it works. One that is filled in as empty is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// Seconds that it may hold them. None means [`LOCK_S`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_s: Option<u32>,
    /// The output that it has in runs of a draft, where it does nothing. A deployed version's plan holds none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub pinned: Value,
}

impl Node {
    /// Calls `visit` with each template of the node that is a text or a value, to change it. Not with those of nodes
    /// inside of it.
    pub fn each_template_mut(&mut self, visit: &mut impl FnMut(&mut Value)) {
        let mut text = |text: &mut String| {
            let mut value = Value::String(std::mem::take(text));
            (*visit)(&mut value);
            if let Value::String(changed) = value {
                *text = changed;
            }
        };
        match &mut self.kind {
            NodeKind::Start => {}
            NodeKind::Agent { prompt, history, memory_key, .. } => {
                text(prompt);
                text(memory_key);
                visit(history);
            }
            NodeKind::Decision { branches, .. } => branches.iter_mut().for_each(|branch| text(&mut branch.when)),
            NodeKind::WaitEvent { event } => text(event),
            NodeKind::Map { items, result, .. } => {
                text(items);
                visit(result);
            }
            NodeKind::Loop { until, result, .. } => {
                text(until);
                visit(result);
            }
            NodeKind::Approval(approval) => {
                for field in [
                    &mut approval.title,
                    &mut approval.message,
                    &mut approval.impact,
                    &mut approval.currency,
                    &mut approval.why,
                    &mut approval.reversible_until,
                ] {
                    text(field);
                }
                approval.people.iter_mut().for_each(&mut text);
                [&mut approval.payload, &mut approval.amount, &mut approval.confidence]
                    .into_iter()
                    .for_each(&mut *visit);
            }
            NodeKind::Http(http) => {
                text(&mut http.url);
                [&mut http.query, &mut http.headers, &mut http.body].into_iter().for_each(&mut *visit);
            }
            NodeKind::Tool { arguments: value, .. }
            | NodeKind::Transform { value }
            | NodeKind::Workflow { input: value, .. }
            | NodeKind::End { output: value } => visit(value),
            NodeKind::Wait { seconds, until } => [seconds, until].into_iter().for_each(&mut *visit),
        }
        for name in &mut self.locks {
            let mut value = Value::String(std::mem::take(name));
            visit(&mut value);
            if let Value::String(changed) = value {
                *name = changed;
            }
        }
        if let Gate::When(condition) = &mut self.requires_approval {
            let mut value = Value::String(std::mem::take(condition));
            visit(&mut value);
            if let Value::String(changed) = value {
                *condition = changed;
            }
        }
        for alternative in &mut self.alternatives {
            if let Alternative::Tool(tool) = alternative {
                visit(&mut tool.arguments);
            }
        }
    }

    /// What is shown.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }
}

/// What a node does. Texts marked *template* may hold `{{ expression }}`; a template that is one expression keeps its type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeKind {
    /// Where a run begins. Its output is the run's input.
    Start,
    /// An agent works on a prompt with its tools, turn by turn. Output: its text, or the object of its output schema.
    Agent {
        /// The agent's key.
        agent: String,
        /// Template: what the agent is asked.
        prompt: String,
        /// Template: what was said before, a list of `{ "role": "user" | "assistant", "text" }`.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        history: Value,
        /// Template: what an agent that remembers by key remembers this task under, such as `{{ input.customer }}`. One
        /// that is filled in as empty is none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        memory_key: String,
    },
    /// One call of a tool. Output: what the tool returns.
    Tool {
        /// The tool's name.
        tool: String,
        /// Template, anywhere inside: the tool's arguments.
        #[serde(default)]
        arguments: Value,
    },
    /// One HTTP request. Output: `{ "status", "ok", "headers", "body", … }`, as of the tool `http_request`.
    Http(Box<Http>),
    /// A value made of others. Output: the value.
    Transform {
        /// Template, anywhere inside.
        value: Value,
    },
    /// The first branch whose condition holds is taken. Output: `{ "branch": name }`.
    Decision {
        /// The branches, in the order in which they are tried.
        branches: Vec<Branch>,
        /// The branch to take when none holds.
        #[serde(default = "BranchName::otherwise")]
        otherwise: BranchName,
    },
    /// A person decides. Branches: `approved` (also the plain edge), `rejected`, and `changes`, which can be asked for
    /// when a step runs after it.
    /// Output: `{ "decision", "payload", "by", "reason" }`.
    Approval(Box<Approval>),
    /// A sub-graph for each item. Output: the list of results, in the items' order.
    Map {
        /// Template: the list.
        items: String,
        /// The most items at work at the same time.
        #[serde(default = "default_concurrency")]
        concurrency: u32,
        /// What is done with each: sees `item` and `index`. Nodes without `after` begin.
        nodes: Vec<Node>,
        /// Template: an item's result. Null means the output of the last node that ran.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
        /// How many items may fail before the map does. The result of an item that failed is null.
        #[serde(default, skip_serializing_if = "is_zero")]
        max_failures: u32,
    },
    /// A sub-graph again and again, until a condition holds. Output: the last round's result.
    Loop {
        /// Template of one expression: whether the round that has just ended was the last. Sees the round's steps,
        /// `result`, `previous` (the result of the round before) and `index`.
        until: String,
        /// The most rounds.
        #[serde(default = "default_rounds")]
        max: u32,
        /// What is done in each round: sees `index` and `previous`. Nodes without `after` begin.
        nodes: Vec<Node>,
        /// Template: a round's result. Null means the output of the last node that ran.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
    },
    /// Another workflow, in the same tree. Output: its output.
    Workflow {
        /// The workflow's id.
        workflow: String,
        /// Its version. None: the one that is deployed when the run starts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<i32>,
        /// Template, anywhere inside: its input.
        #[serde(default)]
        input: Value,
    },
    /// A pause that holds nothing.
    Wait {
        /// Template: how many seconds.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        seconds: Value,
        /// Template: until when, RFC 3339.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        until: Value,
    },
    /// A pause until the outside sends an event. Output: the event's data.
    WaitEvent {
        /// Template: the key that the event must have.
        event: String,
    },
    /// Where a run ends. The output of the end that was reached is the run's.
    End {
        /// Template, anywhere inside.
        #[serde(default)]
        output: Value,
    },
}

const fn default_concurrency() -> u32 {
    5
}

const fn default_rounds() -> u32 {
    10
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl NodeKind {
    /// The word for it in graphs, steps and the API.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Agent { .. } => "agent",
            Self::Tool { .. } => "tool",
            Self::Http(_) => "http",
            Self::Transform { .. } => "transform",
            Self::Decision { .. } => "decision",
            Self::Approval(_) => "approval",
            Self::Map { .. } => "map",
            Self::Loop { .. } => "loop",
            Self::Workflow { .. } => "workflow",
            Self::Wait { .. } => "wait",
            Self::WaitEvent { .. } => "wait_event",
            Self::End { .. } => "end",
        }
    }

    /// The nodes inside of it, where it is a group.
    #[must_use]
    pub fn inner(&self) -> Option<&Vec<Node>> {
        match self {
            Self::Map { nodes, .. } | Self::Loop { nodes, .. } => Some(nodes),
            _ => None,
        }
    }

    /// The same, to change them.
    pub fn inner_mut(&mut self) -> Option<&mut Vec<Node>> {
        match self {
            Self::Map { nodes, .. } | Self::Loop { nodes, .. } => Some(nodes),
            _ => None,
        }
    }

    /// The branches that an edge may name, besides `error`; empty where there is only the plain edge.
    #[must_use]
    pub fn branches(&self) -> Vec<BranchName> {
        match self {
            Self::Decision { branches, otherwise } => {
                let mut names: Vec<_> = branches.iter().map(|branch| branch.name.clone()).collect();
                if !names.contains(otherwise) {
                    names.push(otherwise.clone());
                }
                names
            }
            Self::Approval(_) => vec![BranchName::approved(), BranchName::rejected(), BranchName::changes()],
            _ => Vec::new(),
        }
    }
}

/// What an HTTP node sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    #[serde(default = "get")]
    pub method: String,
    /// Template: the address.
    pub url: String,
    /// Template, anywhere inside: parameters to add to the address, by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub query: Value,
    /// Template, anywhere inside: headers, by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub headers: Value,
    /// Template, anywhere inside: what is sent. A text as it is, anything else as JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
    /// Whether an answer with a status of 400 or more is a result and not a failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_errors: bool,
}

fn get() -> String {
    "GET".to_owned()
}

/// The tool that performs HTTP nodes.
pub const HTTP_TOOL: &str = "http_request";
/// The tool that asks a person.
pub const ASK_HUMAN: &str = "ask_human";

/// One branch of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// What edges call it.
    pub name: BranchName,
    /// Template of one expression: whether it is taken.
    pub when: String,
}

/// What a run executes and keeps to its end: the graph, and all that the graph names. Stored once by content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The graph.
    pub graph: Graph,
    /// The agents that it names, by key.
    pub agents: BTreeMap<String, AgentSpec>,
    /// The tools that it and its agents name, by name.
    pub tools: BTreeMap<String, ToolSpec>,
    /// The workflows that it names, and those that they name, by [`SubWorkflow::key`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workflows: BTreeMap<String, SubWorkflow>,
    /// Whether tools that change or send something only tell what they would do: a trial.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulate: bool,
    /// Whether an agent is tried by itself, with no workflow around it that would give what its instructions name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trial: bool,
}

impl Plan {
    /// Whether an expression in it may read the shared context, which other runs write, too.
    #[must_use]
    pub fn reads_context(&self) -> bool {
        serde_json::to_value(self).map_or(true, |plan| template::reads(&plan, "context"))
    }
}

/// A workflow inside of another one's run, as the run keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubWorkflow {
    /// Its name.
    pub name: String,
    /// Which version it is.
    pub version: i32,
    /// The graph.
    pub graph: Graph,
}

impl SubWorkflow {
    /// What a plan calls the workflow that a node names.
    #[must_use]
    pub fn key(workflow: &str, version: Option<i32>) -> String {
        version.map_or_else(|| workflow.to_owned(), |version| format!("{workflow}@{version}"))
    }
}
