//! Conversations with an agent that is being tried: the chat beside its form. Each message is a run of its own; what a
//! conversation shows is read from those runs.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        journal::Usage,
        state::{RunState, StepKind, StepState},
    },
    kernel::{ApprovalId, ConversationId, RunId, Timestamp},
};

/// The longest message, in characters.
pub const MAX_PROMPT: usize = 20_000;
/// How much of a call's input and output comes along, in characters.
pub const SHOWN_CHARS: i32 = 4_000;

/// A line of the list of conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationLine {
    /// Which.
    pub id: ConversationId,
    /// How it began.
    pub title: String,
    /// When something was last said.
    pub updated_at: Timestamp,
}

/// A message to the agent, with what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its place in the conversation, from 1.
    pub seq: i32,
    /// What was said.
    pub prompt: String,
    /// Whether the agent was changed since the message before.
    pub changed: bool,
    /// Whether tools with effects only told what they would do.
    pub simulated: bool,
    /// When it was said.
    pub at: Timestamp,
    /// The answer of the agent as it was in its form.
    pub reply: Reply,
    /// The answer of the deployed version, where both were asked.
    pub deployed: Option<Reply>,
}

/// What an agent answered: a run, as far as the panel shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The run.
    pub run: RunId,
    /// Its state.
    pub state: RunState,
    /// The number of its last event, to follow it from there.
    pub last_seq: i64,
    /// The answer, once it is there: text, or JSON as text.
    pub text: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it used.
    pub usage: Usage,
    /// Milliseconds until the first piece of text.
    pub first_token_ms: Option<u64>,
    /// Milliseconds from the message to the end.
    pub total_ms: Option<i64>,
    /// The model that answered last.
    pub model: Option<String>,
    /// The model calls and tool calls, in order.
    pub calls: Vec<CallLine>,
}

/// A call that the agent made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallLine {
    /// The step.
    pub step: String,
    /// What it is.
    pub kind: StepKind,
    /// What is shown: the tool, the other agent.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// What it was given, as JSON, cut at [`SHOWN_CHARS`].
    pub input: String,
    /// What came of it, as JSON, cut at [`SHOWN_CHARS`]; of a model its text, or what there was of it when it was stopped or
    /// failed.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether it only told what it would do.
    pub simulated: bool,
    /// The approval that it waits for.
    pub approval: Option<ApprovalId>,
    /// Milliseconds from its beginning to its end.
    pub took_ms: Option<i64>,
    /// What it, and all that is below it, used.
    pub usage: Usage,
}

/// A conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Which; nothing for one that has not begun.
    pub id: Option<ConversationId>,
    /// What was said, in order.
    pub turns: Vec<Turn>,
}
