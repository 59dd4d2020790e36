//! What a run executes: a graph of nodes, and the plan that it is compiled to when a run starts (the graph with the
//! agent versions and tools that the run keeps to its end). Data only; [`validate`] says whether a graph can run.

pub mod names;
pub mod template;
pub mod validate;
pub mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use names::{BranchName, NodeKey, Port};

use crate::{access::Role, kernel::Money};

/// The most nodes that a graph may have, those inside of maps included.
pub const MAX_NODES: usize = 300;
/// The most items that one map works on.
pub const MAX_ITEMS: usize = 10_000;
/// How deep maps may nest.
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
    /// The nodes, in the order in which they are shown.
    pub nodes: Vec<Node>,
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
    /// What a failure does to the run.
    #[serde(default, skip_serializing_if = "OnError::is_fail")]
    pub on_error: OnError,
}

impl Node {
    /// What is shown.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }
}

/// When a node with several inbound edges starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When each inbound edge is settled and at least one is live (a branch that was not chosen does not count).
    #[default]
    All,
    /// When the first inbound edge is live.
    Any,
}

impl Join {
    fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// What a failure that no retry mended does to the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The run goes on; the step's output is null.
    Continue,
}

impl OnError {
    fn is_fail(&self) -> bool {
        matches!(self, Self::Fail)
    }
}

/// When and how often a failed attempt is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts in all, the first included: 1 to 10.
    pub attempts: u32,
    /// The pause before the second attempt, in milliseconds.
    pub backoff_ms: u64,
    /// What the pause is multiplied by each time.
    pub factor: f64,
    /// The longest pause, in milliseconds.
    pub max_backoff_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, backoff_ms: 1_000, factor: 2.0, max_backoff_ms: 60_000 }
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
    },
    /// One call of a tool. Output: what the tool returns.
    Tool {
        /// The tool's name.
        tool: String,
        /// Template, anywhere inside: the tool's arguments.
        #[serde(default)]
        arguments: Value,
    },
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

impl NodeKind {
    /// The word for it in graphs, steps and the API.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Agent { .. } => "agent",
            Self::Tool { .. } => "tool",
            Self::Transform { .. } => "transform",
            Self::Decision { .. } => "decision",
            Self::Approval(_) => "approval",
            Self::Map { .. } => "map",
            Self::Wait { .. } => "wait",
            Self::End { .. } => "end",
        }
    }

    /// The branches that an edge may name; empty where there is only the plain edge.
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

/// One branch of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// What edges call it.
    pub name: BranchName,
    /// Template of one expression: whether it is taken.
    pub when: String,
}

/// What an approval node asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Template: what will happen, one sentence.
    pub title: String,
    /// Template: what the decider should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Template, anywhere inside: exactly what is approved. It can be edited on approval.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Template: who and what is touched, and what it costs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub impact: String,
    /// Template: the money that is moved, a number. Above the organization's limit it is typed to approve what cannot be
    /// undone.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub amount: Value,
    /// Template: the amount's currency, as in ISO 4217. Empty means USD.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub currency: String,
    /// Template: why it is proposed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Template: how sure the one who proposes it is, a number from 0 to 1.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub confidence: Value,
    /// Whether what follows can be undone.
    #[serde(default)]
    pub reversible: bool,
    /// Template: until when it can be undone, RFC 3339. Empty means at any time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reversible_until: String,
    /// The least role that may decide. None: whoever may decide approvals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Seconds until the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// What happens then.
    #[serde(default)]
    pub on_expiry: OnExpiry,
}

/// What happens to an approval at its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It counts as rejected.
    #[default]
    Reject,
    /// It counts as approved.
    Approve,
}

impl OnExpiry {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Approve => "approve",
        }
    }
}

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolEffect {
    /// Changes nothing.
    Read,
    /// Changes something, or sends something out.
    Write,
    /// Takes something away that cannot be brought back.
    Destructive,
}

/// What an agent may do with a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolPermission {
    /// By the organization's policy: what reads is allowed, what writes needs approval.
    #[default]
    Policy,
    /// Always allowed.
    Allowed,
    /// Each call needs an approval.
    NeedsApproval,
}

/// A tool as a run keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// What it does to the world.
    pub effect: ToolEffect,
    /// Seconds that one call may take.
    pub timeout_s: u64,
}

/// An agent version as a run keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// The agent's name.
    pub name: String,
    /// Which version it is.
    pub version: i32,
    /// The system prompt: role and instructions.
    pub instructions: String,
    /// The model, `provider/name`.
    pub model: String,
    /// How freely the model chooses words, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The tools it may call, and how.
    pub tools: BTreeMap<String, ToolPermission>,
    /// JSON Schema of its answer; null for plain text.
    #[serde(default)]
    pub output_schema: Value,
    /// What stops it.
    pub limits: AgentLimits,
}

/// What stops an agent on one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentLimits {
    /// Model calls, 1 to 50.
    pub max_turns: u32,
    /// Tokens, in and out.
    pub max_tokens: u64,
    /// Money.
    pub max_cost: Money,
    /// Seconds that one model call may take.
    pub timeout_s: u64,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self { max_turns: 8, max_tokens: 100_000, max_cost: Money(1_000_000), timeout_s: 120 }
    }
}

/// What a run executes and keeps to its end: the graph, and all that the graph names. Stored once by content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The graph.
    pub graph: Graph,
    /// The agents that it names, by key.
    pub agents: BTreeMap<String, AgentSpec>,
    /// The tools that it and its agents name, by name.
    pub tools: BTreeMap<String, ToolSpec>,
}
