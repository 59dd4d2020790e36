//! Runs: starting them, looking at them, stopping and retrying them. What executes them is [`crate::engine`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{
        journal::{LogLevel, RunView, StepView, Usage},
        state::{RunState, StepError, StepId, WaitingOn},
    },
    kernel::{RunId, Timestamp, WorkflowId},
};

/// A line of a list of runs. No payloads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run.
    pub id: RunId,
    /// Its title.
    pub title: String,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// The workflow's name now.
    pub workflow_name: String,
    /// The version that it runs.
    pub workflow_version: i32,
    /// Its state.
    pub state: RunState,
    /// What it waits for.
    pub waiting_on: Option<WaitingOn>,
    /// `person`, `api`, `test`, `retry`.
    pub trigger: String,
    /// Who started it.
    pub started_by: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When the first node took it up.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What its steps used.
    pub usage: Usage,
    /// Why it failed.
    pub error: Option<StepError>,
}

/// A run with its tree, as its page and the API show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The line of the list.
    pub summary: RunSummary,
    /// The header and the tree, live from here on by the events after `view.last_seq`.
    pub view: RunView,
    /// The input it was started with.
    pub input: Value,
    /// The output, once it succeeded.
    pub output: Option<Value>,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
    /// Runs that retry this one, the newest first.
    pub retried_by: Vec<RunId>,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
}

/// A step with its payloads, loaded for the one that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDetail {
    /// The line in the tree.
    pub view: StepView,
    /// What it was given.
    pub input: Option<Value>,
    /// What came out.
    pub output: Option<Value>,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The event's number in the run.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// How serious.
    pub level: LogLevel,
    /// The step that it is about.
    pub step: Option<StepId>,
    /// The line.
    pub message: String,
}

/// Which runs a list shows. All of it stands in the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFilter {
    /// In one of these states; empty means all.
    pub states: Vec<RunState>,
    /// Of this workflow.
    pub workflow: Option<WorkflowId>,
    /// With this trigger.
    pub trigger: Option<String>,
    /// With this text in the title or the beginning of the id.
    pub q: Option<String>,
    /// Accepted at or after this moment.
    pub from: Option<Timestamp>,
    /// Accepted before this moment.
    pub to: Option<Timestamp>,
}
