//! What lists of approvals show: rows that are read at a glance. What exactly is asked comes with the one that is opened.

use serde::{Deserialize, Serialize};

use super::{Approval, ApprovalKind, ApprovalState};
use crate::kernel::{AgentId, ApprovalId, Cursor, RunId, Timestamp, UserId, WorkflowId};

/// What is at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// What follows can be undone.
    Reversible,
    /// It cannot.
    Irreversible,
    /// It moves more money than the organization lets through without a closer look.
    AboveLimit,
}

impl Risk {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reversible, Self::Irreversible, Self::AboveLimit];

    /// The word in the address and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reversible => "reversible",
            Self::Irreversible => "irreversible",
            Self::AboveLimit => "above_limit",
        }
    }

    /// The risk of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|risk| risk.as_str() == word)
    }
}

/// Which approvals a list shows. All of it stands in the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApprovalFilter {
    /// Those that are decided or ended, the newest first, instead of those that wait, the nearest deadline first.
    pub decided: bool,
    /// Of this kind.
    pub kind: Option<ApprovalKind>,
    /// Of runs of this workflow.
    pub workflow: Option<WorkflowId>,
    /// That this agent asks for.
    pub agent: Option<AgentId>,
    /// With this at stake.
    pub risk: Option<Risk>,
    /// That wait for the one who asks (they may decide, and nobody else was asked to), or that they have decided.
    pub mine: bool,
    /// That the one who asks was asked to decide.
    pub assigned: bool,
    /// Those that the one who asks has put off, instead of those that they have not.
    pub snoozed: bool,
    /// After this place in the list, where an inbox is read page by page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
}

/// A decision as a row tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDecision {
    /// The name to show.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
    /// From when on it acts.
    pub effective_at: Timestamp,
    /// Whether the one who asks can still take it back.
    pub can_undo: bool,
    /// Whether something else was approved than was proposed.
    pub edited: bool,
    /// Whether the yes means: go on without the failed step.
    pub skips: bool,
}

/// An approval in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// What is asked.
    pub kind: ApprovalKind,
    /// Where it stands.
    pub state: ApprovalState,
    /// What will happen, one sentence.
    pub title: String,
    /// What would be done, the same for the same tool or the same node of a workflow: such can be decided together. No
    /// browser is told.
    #[serde(skip)]
    pub action: String,
    /// The workflow's name.
    pub workflow_name: String,
    /// Who asks.
    pub requested_by: String,
    /// Whether what follows can be undone.
    pub reversible: bool,
    /// Until when.
    pub reversible_until: Option<Timestamp>,
    /// The money that the decision moves, in words.
    pub amount: Option<String>,
    /// Whether that is more than the organization lets through without a closer look.
    pub above_limit: bool,
    /// The run that waits.
    pub run_id: RunId,
    /// When it was asked.
    pub created_at: Timestamp,
    /// The deadline.
    pub expires_at: Option<Timestamp>,
    /// Whether a deadline has passed, the first one or the last.
    pub overdue: bool,
    /// Whether the one who asks may decide it.
    pub may_decide: bool,
    /// Whether the one who asks has said yes to it, where several must.
    pub voted: bool,
    /// How many of several have: `1 of 2 approvals`.
    pub agreed: Option<String>,
    /// The member who was asked to decide it, by name.
    pub assigned_to: Option<String>,
    /// Whether that is the one who asks.
    pub assigned_to_me: bool,
    /// Until when the one who asks has put it off.
    pub snoozed_until: Option<Timestamp>,
    /// The decision, once there is one.
    pub decision: Option<RowDecision>,
}

impl ApprovalRow {
    /// The row as it is after the approval has become this.
    pub fn follow(&mut self, approval: &Approval) {
        self.state = approval.state;
        self.may_decide = approval.may_decide;
        self.voted = approval.voted;
        self.assigned_to.clone_from(&approval.hands.assigned_to);
        self.assigned_to_me = approval.hands.assigned_to_me;
        self.snoozed_until = approval.hands.snoozed_until;
        self.decision = approval.decision.as_ref().map(|decision| RowDecision {
            by_name: decision.by_name.clone(),
            at: decision.at,
            effective_at: decision.effective_at,
            can_undo: decision.can_undo,
            edited: decision.edited_payload.is_some() && !decision.skips,
            skips: decision.skips,
        });
    }
}

/// The inbox: what waits, and what was decided a moment ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inbox {
    /// What waits, the nearest deadline first.
    pub pending: Vec<ApprovalRow>,
    /// Where those come that are not shown any more: of what waits, or of what was decided, whichever was asked for.
    pub next: Option<Cursor>,
    /// Decided lately, the newest first.
    pub decided: Vec<ApprovalRow>,
    /// How many wait for the one who asks, in all, whatever the list shows.
    pub waiting: i64,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
}

/// The members who may decide an approval, with their names.
pub type Candidates = Vec<(UserId, String)>;

/// How a value of a proposal is entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditInput {
    /// A line.
    Line,
    /// Several lines.
    Text,
    /// A number.
    Number,
    /// A box to tick: `true` or `false`.
    Tick,
    /// One of these.
    Choice(Vec<String>),
    /// JSON.
    Json,
}

/// A field for one value of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditField {
    /// The key in the proposal; empty for the whole of it.
    pub key: String,
    /// What it is called.
    pub label: String,
    /// What is proposed, as text.
    pub value: String,
    /// How it is entered.
    pub input: EditInput,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for and how it may be, in words.
    pub hint: String,
}

/// One approval, with what its card needs besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The approval.
    pub approval: Approval,
    /// Who can be asked to decide it, where the one who asks may hand it on.
    #[serde(default)]
    pub candidates: Candidates,
    /// The fields to edit the proposal in, where the one who asks may decide.
    #[serde(default)]
    pub fields: Vec<EditField>,
    /// Seconds in which one's own reversible decision can be undone; none means that each is confirmed instead.
    pub undo_window_s: Option<i32>,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
}
