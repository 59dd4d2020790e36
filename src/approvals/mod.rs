//! Approvals: what waits for a person, and what people decided. The engine opens them and takes the decisions in; this
//! feature lists them, decides, and takes a decision back while it can still be undone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    access::Role,
    engine::state::StepId,
    kernel::{ApprovalId, Money, RunId, Timestamp, UserId},
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
    /// The deadline came first.
    Expired,
    /// Its run was stopped or failed.
    Withdrawn,
}

/// A decision that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Who decided; nobody at a deadline.
    pub by: Option<UserId>,
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
    /// What was approved instead of the proposal.
    pub edited_payload: Option<Value>,
}

/// An approval as the inbox and the run page show it.
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
    /// Who and what is touched.
    pub impact: String,
    /// Whether what follows can be undone.
    pub reversible: bool,
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
    /// What happens then: `reject` or `approve`.
    pub on_expiry: String,
    /// The least role that may decide; none means whoever may decide approvals.
    pub decider_role: Option<Role>,
    /// Others who may decide, by name, at most ten.
    pub deciders: Vec<String>,
    /// Whether the one who asks may decide it.
    pub may_decide: bool,
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
    },
    /// No.
    Reject {
        /// Why.
        reason: String,
    },
    /// The answer to a question.
    Answer {
        /// The text.
        text: String,
    },
}
