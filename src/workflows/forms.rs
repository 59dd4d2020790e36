//! A step as a form: texts as they are typed. The server turns a step into its form and a form into a step.

#[cfg(feature = "ssr")]
mod convert;
#[cfg(feature = "ssr")]
pub mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is typed into a step's form. Which fields count depends on `kind`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepForm {
    /// What is shown.
    pub name: String,
    /// The key in templates.
    pub key: String,
    /// What it does.
    pub kind: String,
    /// What it runs after: ports.
    pub after: BTreeMap<String, String>,
    /// `all`, `any`, or how many.
    pub join: String,
    /// Seconds that one attempt may take.
    pub timeout_s: String,
    /// Attempts in all.
    pub attempts: String,
    /// Seconds before the second attempt.
    pub pause_s: String,
    /// `default`, `fail`, `continue` or `ask`.
    pub on_error: String,
    /// What is tried when the attempts are spent: `agent writer`, `model openai/gpt-5`, `tool backup`, one in each line.
    pub alternatives: String,
    /// `never`, `always`, or a condition in braces.
    pub requires_approval: String,
    /// `true` when its effect must not be repeated.
    pub at_most_once: String,
    /// What model calls may cost together, in dollars.
    pub budget: String,
    /// For how many hours results are remembered.
    pub cache_h: String,
    /// The names of the locks that it holds, one in each line.
    pub locks: String,
    /// Seconds that it may hold them.
    pub lock_s: String,
    /// The output in runs of a draft.
    pub pinned: String,
    /// The agent's key.
    pub agent: String,
    /// What the agent is asked.
    pub prompt: String,
    /// What was said before, as a list.
    pub history: String,
    /// What the agent remembers the task under.
    pub memory_key: String,
    /// The tool's name.
    pub tool: String,
    /// The tool's arguments, by name.
    pub arguments: BTreeMap<String, String>,
    /// All arguments as one value, for a tool whose arguments have no names.
    pub arguments_value: String,
    /// What a transform makes.
    pub value: String,
    /// A decision's branches: names.
    pub branch: BTreeMap<String, String>,
    /// A decision's branches: conditions.
    pub when: BTreeMap<String, String>,
    /// The branch for everything else.
    pub otherwise: String,
    /// What will happen.
    pub title: String,
    /// What the decider should know.
    pub message: String,
    /// What is approved.
    pub payload: String,
    /// Who and what is touched.
    pub impact: String,
    /// The money that is moved.
    pub amount: String,
    /// Its currency.
    pub currency: String,
    /// Why it is proposed.
    pub why: String,
    /// How sure the one who proposes it is.
    pub confidence: String,
    /// `true` when what follows can be undone.
    pub reversible: String,
    /// Until when it can be undone.
    pub reversible_until: String,
    /// The least role that may decide.
    pub role: String,
    /// Hours until the deadline.
    pub expires_h: String,
    /// People who may decide: an address or a template in each line.
    pub people: String,
    /// How many must say yes.
    pub quorum: String,
    /// `true` when whoever started the run may not decide.
    pub not_own: String,
    /// `reject`, `approve`, `escalate` (to admins and owners), `escalate_owner` or `escalate_member`.
    pub on_expiry: String,
    /// The list that a map works on.
    pub items: String,
    /// Items at the same time.
    pub concurrency: String,
    /// How many items may fail.
    pub max_failures: String,
    /// The result of an item or a round.
    pub result: String,
    /// Whether a round was the last.
    pub until_done: String,
    /// The most rounds.
    pub max: String,
    /// The workflow's id.
    pub workflow: String,
    /// Its version.
    pub version: String,
    /// The workflow's input.
    pub input: String,
    /// The key of an event.
    pub event: String,
    /// How an HTTP request is made.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Parameters to add to the address.
    pub query: String,
    /// Headers.
    pub headers: String,
    /// What is sent.
    pub body: String,
    /// `true` when an answer with a status of 400 or more is a result.
    pub accept_errors: String,
    /// How many seconds to wait.
    pub seconds: String,
    /// Until when to wait.
    pub until: String,
    /// What an end gives.
    pub output: String,
}

/// The kinds of steps that can be added, in the order in which they are offered.
pub const KINDS: [(&str, &str, &str); 13] = [
    ("agent", "Agent", "An agent works on a prompt with its tools."),
    ("tool", "Tool", "One call of a tool: an HTTP request, an e-mail, a calculation."),
    ("http", "HTTP request", "One call of a web address: method, headers and body."),
    ("approval", "Approval", "The run waits until a person says yes or no."),
    ("decision", "Decision", "The first branch whose condition holds is taken."),
    ("map", "For each", "The same steps for each item of a list, several at a time."),
    ("loop", "Loop", "The same steps again, until a condition holds."),
    ("workflow", "Workflow", "Another workflow runs as a part of this one."),
    ("transform", "Transform", "A value made of others by an expression."),
    ("wait", "Wait", "A pause, or until a moment."),
    ("wait_event", "Wait for event", "A pause until the outside sends an event."),
    ("end", "End", "The run ends here, with an output."),
    ("start", "Start", "Where a run begins."),
];
