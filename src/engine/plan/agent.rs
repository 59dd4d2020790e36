//! An agent version as a run keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ToolPermission;
use crate::kernel::Money;

/// An agent version as a run keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentSpec {
    /// The agent's name.
    pub name: String,
    /// Which version it is.
    pub version: i32,
    /// The system prompt: role and instructions.
    pub instructions: String,
    /// The model, `provider/name`, or a task class, `class/routine`.
    pub model: String,
    /// The models to ask, in this order, when that one cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// How freely the model chooses words, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How else the model is asked.
    #[serde(default, skip_serializing_if = "ModelOptions::is_default")]
    pub options: ModelOptions,
    /// The tools it may call, and how.
    pub tools: BTreeMap<String, ToolPermission>,
    /// JSON Schema of its answer; null for plain text.
    #[serde(default)]
    pub output_schema: Value,
    /// What stops it.
    pub limits: AgentLimits,
    /// What it must not take in, say, or combine.
    #[serde(default, skip_serializing_if = "Guardrails::is_default")]
    pub guardrails: Guardrails,
    /// What it remembers of its earlier tasks.
    #[serde(default, skip_serializing_if = "Memory::is_none")]
    pub memory: Memory,
}

/// What an agent remembers of its earlier tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Nothing.
    #[default]
    None,
    /// Those of the same run.
    Conversation,
    /// Those of all runs that were given to it under the same key.
    Key,
}

impl Memory {
    /// Whether it remembers nothing.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// How a model is asked. Nothing set: as its provider does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelOptions {
    /// Of how much of the likeliest words the model chooses, above 0 and up to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// The most tokens of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// How much a model that can reason does so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// Whether long results of earlier turns are told in short.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
}

impl ModelOptions {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How much a model reasons before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// As little as it can.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
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
    /// Seconds that the whole task may take, from when it can begin; nothing for as long as its step has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_s: Option<u64>,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self { max_turns: 8, max_tokens: 100_000, max_cost: Money(1_000_000), timeout_s: 120, task_s: None }
    }
}

/// What an agent must not take in, say, or combine. Checked by us, whatever its model says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// What is done about outside text that speaks to the model as if it gave orders.
    pub injection: InputCheck,
    /// The most characters of a task; nothing for as many as the model takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_chars: Option<u32>,
    /// What is blotted out of all that the agent says and of what its tools return.
    pub redact: BTreeSet<Sensitive>,
    /// What fails the task when the agent's answer holds it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub stop: BTreeSet<Sensitive>,
    /// The hosts that its tools may call, such as `example.com` (its subdomains too). Empty: all public ones.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub allowed_domains: BTreeSet<String>,
    /// Whether a person is asked before a task that has read strangers' text and private data sends something out.
    pub rule_of_two: bool,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self {
            injection: InputCheck::Warn,
            max_input_chars: None,
            redact: BTreeSet::from([Sensitive::Credential]),
            stop: BTreeSet::new(),
            allowed_domains: BTreeSet::new(),
            rule_of_two: true,
        }
    }
}

impl Guardrails {
    /// Whether they are the usual ones.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done about a finding in what an agent reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputCheck {
    /// Nothing.
    Off,
    /// The run's log says so.
    #[default]
    Warn,
    /// The task fails.
    Stop,
}

/// A kind of text that is not everybody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitive {
    /// A key, a password, a token.
    Credential,
    /// The number of a payment card.
    Card,
    /// An international bank account number.
    Iban,
    /// A social security number of the United States.
    Ssn,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
}

impl Sensitive {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Credential, Self::Card, Self::Iban, Self::Ssn, Self::Email, Self::Phone];
}
