//! An agent as a form: texts as they are typed. The server turns them into a configuration and back.

#[cfg(feature = "ssr")]
pub(crate) mod convert;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is typed into an agent's form. An entry that is not there at all, as when a program sends the form, means what
/// is usual.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentForm {
    /// What it is called.
    pub name: String,
    /// What it is, in a few words.
    pub role: String,
    /// How it works.
    pub instructions: String,
    /// The model.
    pub model: String,
    /// A model that is not in the list.
    pub other_model: String,
    /// The models to fall back on, by their place: `0` to `4`. An empty one is none.
    pub fallbacks: BTreeMap<String, String>,
    /// 0 to 2, or empty.
    pub temperature: String,
    /// Above 0 and at most 1, or empty.
    pub top_p: String,
    /// Tokens of one answer, or empty.
    pub max_output_tokens: String,
    /// `low`, `medium`, `high`, or empty.
    pub reasoning: String,
    /// Whether long results of earlier turns are told in short: `true`, or empty.
    pub compress: String,
    /// `none`, `conversation` or `key`.
    pub memory: String,
    /// For each tool `off`, `policy`, `allowed` or `needs_approval`.
    pub tools: BTreeMap<String, String>,
    /// JSON Schema, or empty.
    pub output_schema: String,
    /// Model calls.
    pub max_turns: String,
    /// Tokens.
    pub max_tokens: String,
    /// Dollars.
    pub max_cost: String,
    /// Seconds.
    pub timeout_s: String,
    /// Seconds, or empty.
    pub task_s: String,
    /// `off`, `warn` or `stop`.
    pub injection: String,
    /// Characters, or empty.
    pub max_input_chars: String,
    /// For each kind of sensitive text `leave`, `redact`, `stop` or `both`.
    pub sensitive: BTreeMap<String, String>,
    /// Hosts, apart by lines, spaces or commas.
    pub allowed_domains: String,
    /// `ask` or `off`.
    pub rule_of_two: String,
    /// Words, apart by spaces, commas or lines.
    pub tags: String,
    /// A sentence.
    pub about: String,
    /// What was changed and why: the version's note. It is no part of what the version holds.
    pub note: String,
}
