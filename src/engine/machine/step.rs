//! A step in its owner's memory: its row, and the notes that the state machine keeps in it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{
        journal::{StepHead, Usage},
        plan::BranchName,
        state::{StepError, StepId, StepKind, StepState},
    },
    kernel::{ApprovalId, Money, RunId, Timestamp},
};

/// A task of an agent, as the agents' record counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentTask {
    /// The agent's key.
    pub agent: String,
    /// Its version.
    pub version: i32,
    /// The model that it was to ask.
    pub model: String,
    /// What it cost, once it has ended.
    #[serde(default)]
    pub cost: Money,
    /// Whether its attempts are spent, whatever mended the step afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
}

/// What a step's row holds besides its columns: the state machine's own notes, and what the screen shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// What it is about, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The branch that was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
    /// Attempts that failed by themselves. One that was cut off by a crash does not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// Processes in a row that died while it was under way.
    #[serde(skip_serializing_if = "is_zero")]
    pub crashes: u32,
    /// Attempts in all, once one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The approval that it waits for, or waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// The tool that a model asked for, where the step is another agent's or a workflow's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The model's name for the tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// A map's number of items; an item's place in the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Whether the result was taken over from the run that this one retries.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// Whether its own attempts are spent, and an alternative or a person is to mend it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mending: bool,
    /// How often a person was asked what to do about it, and said so.
    #[serde(skip_serializing_if = "is_zero")]
    pub asked: u32,
    /// How often a person had a step begun anew that cannot simply go on.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: u32,
    /// The agent that does it instead of its node's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model that is asked instead of its agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whose task it is, once it has begun: what the agents' record is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<AgentTask>,
    /// The key of the event that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The side that asked to be left alone, while the step waits for that to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Whether the result is an earlier call's, out of the cache.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// What is reserved for a model call under a budget, while it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Usage>,
    /// Whether a call did not fit into the step's budget any more, and nobody has granted more since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spent: bool,
    /// Whether a person let its task go on beyond the organization's budgets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beyond_budget: bool,
    /// How often as much again was granted.
    #[serde(skip_serializing_if = "is_zero")]
    pub granted: u32,
    /// The limit of its agent's that its task has reached, and that nobody has raised since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_limit: Option<TaskLimit>,
    /// The limits of its agent's that were raised for this task, once for each time: by as much again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raised: Vec<TaskLimit>,
    /// The names of the locks that it needs, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locks: Option<Vec<String>>,
    /// How it stands with them; nothing before it asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The key of the agent's node whose answer it waits for, or waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// Whether a round of a loop was the last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// One of an agent's limits for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskLimit {
    /// Model calls.
    Turns,
    /// Tokens.
    Tokens,
    /// Money.
    Cost,
}

impl Detail {
    /// The tool that a tool call's step calls.
    #[must_use]
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_deref().or(self.about.as_deref())
    }
}

/// How a step stands with the locks that it needs: it gets all of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Lock {
    /// It stands in the queue.
    Waiting,
    /// It holds them, or held them.
    Held(LockGrant),
}

/// That a step holds its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGrant {
    /// A number that grows with every grant, for the other side to tell an old holder from the new one.
    pub fence: i64,
    /// Since when.
    pub since: Timestamp,
    /// When it is cut off.
    pub until: Timestamp,
}

impl LockGrant {
    /// What is left of its time when nothing new begins any more.
    pub const TOO_LATE: TimeDelta = TimeDelta::milliseconds(50);
}

/// What a step that asks for its locks is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockAnswer {
    /// It holds them.
    Granted(LockGrant),
    /// Others are before it.
    Queued {
        /// One of the names that is not free.
        name: String,
        /// The run that holds it.
        holder: Option<RunId>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A step as its owner knows it: the row.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its path.
    pub id: StepId,
    /// The key of the node it belongs to.
    pub node: String,
    /// What it is.
    pub kind: StepKind,
    /// What is shown.
    pub name: String,
    /// Its place in the order of coming to be.
    pub ordinal: i32,
    /// Its state.
    pub state: StepState,
    /// The attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// What it was given.
    pub input: Option<Value>,
    /// What came out.
    pub output: Option<Value>,
    /// Why it failed, or why the last attempt did.
    pub error: Option<StepError>,
    /// Notes.
    pub detail: Detail,
    /// What it used itself.
    pub usage: Usage,
    /// When it became ready.
    pub queued_at: Timestamp,
    /// When it goes on.
    pub wake_at: Option<Timestamp>,
}

impl Step {
    /// Whether it waits for what a person decides, and for nothing after that: its locks, another side's leave, another
    /// agent's answer.
    #[must_use]
    pub fn waits_for_person(&self) -> bool {
        let waits_on = self.detail.limit.is_some() || self.waits_for_lock() || self.waits_for_answer();
        self.state == StepState::Waiting && self.detail.approval.is_some() && !waits_on
    }

    /// Whether it waits for another agent's answer.
    #[must_use]
    pub fn waits_for_answer(&self) -> bool {
        self.state == StepState::Waiting && self.detail.asks.is_some()
    }

    /// Whether it stands in the queue for its locks.
    #[must_use]
    pub fn waits_for_lock(&self) -> bool {
        self.state == StepState::Waiting && self.detail.lock == Some(Lock::Waiting)
    }

    /// What its events say of it.
    #[must_use]
    pub fn head(&self) -> StepHead {
        StepHead {
            id: self.id.clone(),
            kind: self.kind,
            name: self.name.clone(),
            about: self.detail.about.clone(),
            queued_at: self.queued_at,
        }
    }
}
