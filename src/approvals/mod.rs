//! Approvals: what waits for a person, and what people decided. The engine opens them and takes the decisions in; this
//! feature lists them, decides, and takes a decision back while it can still be undone.

pub mod amount;
#[cfg(feature = "ssr")]
pub mod bulk;
#[cfg(feature = "ssr")]
mod edit;
#[cfg(feature = "ssr")]
mod fields;
#[cfg(feature = "ssr")]
pub mod hands;
#[cfg(feature = "ssr")]
pub mod links;
#[cfg(feature = "ssr")]
pub mod lists;
mod rows;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
pub mod store;
#[cfg(feature = "ssr")]
mod votes;
#[cfg(feature = "ssr")]
mod words;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use amount::Amount;
pub use rows::{ApprovalFilter, ApprovalRow, Candidates, EditField, EditInput, Inbox, Risk, RowDecision, Shown};

use crate::{
    access::Role,
    engine::state::StepId,
    kernel::{ApiKeyId, ApprovalId, Money, RunId, Timestamp, UserId},
};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// An approval node: go on or not.
    Approval,
    /// A tool call that an agent chose and that policy holds back.
    Tool,
    /// An agent's question: the answer is text.
    Question,
    /// A failed step: again, go on without it, or let it fail.
    Failure,
}

impl ApprovalKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approval, Self::Tool, Self::Question, Self::Failure];

    /// The word in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Tool => "tool",
            Self::Question => "question",
            Self::Failure => "failure",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// It waits for a person.
    Pending,
    /// A person said yes (or answered the question).
    Approved,
    /// A person said no.
    Rejected,
    /// A person said: not like this.
    ChangesRequested,
    /// The deadline came first.
    Expired,
    /// Its run was stopped or failed.
    Withdrawn,
}

impl ApprovalState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::ChangesRequested, Self::Expired, Self::Withdrawn];

    /// The word in the API. The database has the same, but for [`Self::ChangesRequested`]: a no that asks for changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::ChangesRequested => "changes_requested",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What an approval says besides, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The money that the decision moves.
    pub amount: Option<Amount>,
    /// Why it is proposed, in the words of whoever proposes it.
    pub why: String,
    /// How sure they are of it, from 0 to 1.
    pub confidence: Option<f64>,
    /// Until when what follows can be undone. None, where it can: at any time.
    pub reversible_until: Option<Timestamp>,
    /// Whether somebody works on it again when a person asks for changes.
    pub takes_changes: bool,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Who decided; nobody at a deadline, and none for a program.
    pub by: Option<UserId>,
    /// Which API key decided, if a program did.
    pub by_key: Option<ApiKeyId>,
    /// The name to show.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
    /// From when on it acts: the end of the undo window.
    pub effective_at: Timestamp,
    /// Whether the one who asks can still take it back.
    pub can_undo: bool,
    /// The reason for a no, or the answer to a question.
    pub reason: Option<String>,
    /// What was approved instead of the proposal; of a failed step, the output to go on with.
    pub edited_payload: Option<Value>,
    /// Whether the yes means: go on without the failed step.
    #[serde(default)]
    pub skips: bool,
}

/// A yes to an approval that needs several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Whose, by name.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Whether it is that of the one who asks.
    pub mine: bool,
}

/// Who decides, and how many. By default whoever may decide approvals, and one is enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The people who may, by address in lower case.
    pub people: Vec<String>,
    /// How many must say yes.
    pub quorum: u32,
    /// Who has, while it counts.
    pub votes: Vec<Vote>,
    /// Whether whoever started the run may not decide.
    pub not_own: bool,
    /// Whether that is the one who asks.
    pub is_own: bool,
    /// Whether owners may, because too few of the people named are members.
    pub owners_step_in: bool,
    /// The least role of those whom the deadline hands it over to.
    pub escalates_to: Option<Role>,
    /// When a deadline did.
    pub escalated_at: Option<Timestamp>,
    /// What was proposed first, where somebody has changed that for all.
    pub proposal: Option<Value>,
    /// Whether it moves more money than the organization lets through without a closer look.
    pub above_limit: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            people: Vec::new(),
            quorum: 1,
            votes: Vec::new(),
            not_own: false,
            is_own: false,
            owners_step_in: false,
            escalates_to: None,
            escalated_at: None,
            proposal: None,
            above_limit: false,
        }
    }
}

/// In whose hands it is, as the one who asks sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hands {
    /// The member who was asked to decide it, by name. Others who may still may.
    pub assigned_to: Option<String>,
    /// Whether that is the one who asks.
    pub assigned_to_me: bool,
    /// Who asked them.
    pub assigned_by: String,
    /// Until when the one who asks has put it off.
    pub snoozed_until: Option<Timestamp>,
}

/// An approval as its card and the run page show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// What is asked.
    pub kind: ApprovalKind,
    /// Where it stands.
    pub state: ApprovalState,
    /// What will happen, one sentence.
    pub title: String,
    /// What the decider should know.
    pub message: String,
    /// Exactly what is approved.
    pub payload: Value,
    /// Its SHA-256, hexadecimal: a yes that names it counts for nothing else.
    pub payload_sha256: String,
    /// How what is approved differs from what was proposed: a JSON Patch (RFC 6902). Null without edits.
    pub edits: Value,
    /// Who and what is touched.
    pub impact: String,
    /// Whether what follows can be undone.
    pub reversible: bool,
    /// What it says besides.
    pub details: Details,
    /// Whether a yes needs the amount to be typed: it cannot be undone, and is above the organization's limit.
    pub types_amount: bool,
    /// In whose hands it is.
    #[serde(default)]
    pub hands: Hands,
    /// The run that waits.
    pub run_id: RunId,
    /// Its title.
    pub run_title: String,
    /// Its workflow's name.
    pub workflow_name: String,
    /// The version that it runs.
    pub workflow_version: i32,
    /// What the run cost so far.
    pub cost_so_far: Money,
    /// The step that waits.
    pub step_id: StepId,
    /// Who asks: the agent or the node, and who started the run.
    pub requested_by: String,
    /// When it was asked.
    pub created_at: Timestamp,
    /// The deadline.
    pub expires_at: Option<Timestamp>,
    /// Whether a deadline has passed, the first one or the last.
    #[serde(default)]
    pub overdue: bool,
    /// What happens then: `reject`, `approve` or `escalate`.
    pub on_expiry: String,
    /// The same in words, to end the sentence "then it".
    pub then: String,
    /// The least role that may decide; none means whoever may decide approvals.
    pub decider_role: Option<Role>,
    /// Others who may decide, by name, at most ten.
    pub deciders: Vec<String>,
    /// Whether the one who asks may decide it.
    pub may_decide: bool,
    /// Whether the one who asks has said yes to it, where several must.
    pub voted: bool,
    /// Why the one who asks may not decide it, and who can. Empty where they may.
    pub refusal: String,
    /// What there is to say about who decides it, sentences.
    pub notes: Vec<String>,
    /// Who decides and how many, for programs. A browser does not get it: pages say it by the words above.
    #[serde(skip)]
    pub rules: Rules,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
}

/// What a person decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Verdict {
    /// Yes, or yes to an edited payload.
    Approve {
        /// The payload to go on with; none means the proposal.
        #[serde(default)]
        payload: Option<Value>,
        /// The amount as it was typed, where [`Approval::types_amount`] asks for it.
        #[serde(default)]
        amount: Option<String>,
    },
    /// No.
    Reject {
        /// Why.
        reason: String,
    },
    /// Not like this: whoever proposed it gets the text, and may propose something else.
    RequestChanges {
        /// What should be different.
        text: String,
    },
    /// Go on without the failed step, with an output of one's own.
    Skip {
        /// The output that later steps read.
        #[serde(default)]
        output: Value,
    },
    /// The answer to a question.
    Answer {
        /// The text.
        text: String,
    },
}
