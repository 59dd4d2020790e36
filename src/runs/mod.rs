//! Runs: starting them, looking at them, stopping and retrying them. What executes them is [`crate::engine`].

#[cfg(feature = "ssr")]
pub mod bulk;
#[cfg(feature = "ssr")]
pub mod compare;
#[cfg(feature = "ssr")]
pub mod control;
#[cfg(feature = "ssr")]
pub mod find;
#[cfg(feature = "ssr")]
pub mod follow;
#[cfg(feature = "ssr")]
mod listing;
#[cfg(feature = "ssr")]
pub mod logs;
#[cfg(feature = "ssr")]
mod rules;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
pub mod store;
#[cfg(feature = "ssr")]
pub mod texts;

mod filter;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{
        journal::{LogLevel, RunView, StepView, Usage},
        plan::{Join, OnError},
        state::{RunState, StepError, StepId, StepKind, WaitingOn},
    },
    kernel::{Cursor, Money, RunId, Timestamp, WorkflowId},
};

pub use filter::{LABELS, LIVE, Part, RunFilter, RunOrder, labels, seconds, typed_seconds};

/// The most bytes of JSON of an input or output that comes along unasked: 100 KiB.
pub const SHOWN_BYTES: u64 = 100 * 1024;

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
    /// Why it does not begin, or go on, although it could: a sentence.
    #[serde(default)]
    pub queued_because: Option<String>,
    /// What whoever started it said of it.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Where the text that was searched for was found, besides the title.
    #[serde(default)]
    pub found_in: Vec<Part>,
}

/// A run with its tree, as its page and the API show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The line of the list.
    pub summary: RunSummary,
    /// The header and the tree, live from here on by the events after `view.last_seq`.
    pub view: RunView,
    /// The run that this one retries.
    pub retry_of: Option<RunId>,
    /// Runs that do this one again, the newest first, twenty at most, each with its trigger: `retry`, `rerun`, `fork`.
    pub retried_by: Vec<(RunId, String)>,
    /// The moment of this answer, by the database's clock.
    pub now: Timestamp,
}

/// What a run was started with and what came out of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunPayloads {
    /// The input; nothing where it is larger than [`SHOWN_BYTES`] and has to be asked for.
    pub input: Option<Value>,
    /// How large the input is as JSON; 0 where it is null.
    pub input_bytes: u64,
    /// The output, once it succeeded; nothing where it is larger than [`SHOWN_BYTES`] and has to be asked for.
    pub output: Option<Value>,
    /// How large the output is as JSON; 0 where there is none.
    pub output_bytes: u64,
}

/// A step with its payloads, loaded for the one that is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDetail {
    /// The line in the tree.
    pub view: StepView,
    /// What its node says of it.
    pub rules: StepRules,
    /// What it was given; nothing where it is larger than [`SHOWN_BYTES`] and has to be asked for.
    pub input: Option<Value>,
    /// How large the input is as JSON; 0 where there is none.
    pub input_bytes: u64,
    /// What came out; nothing where it is larger than [`SHOWN_BYTES`] and has to be asked for.
    pub output: Option<Value>,
    /// How large the output is as JSON; 0 where there is none.
    pub output_bytes: u64,
}

/// What the graph says of a step: when it begins, what is tried, and what it runs. Empty for what is no node of its own,
/// such as a round, a call of a model, or an alternative.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRules {
    /// What it runs after, as it is shown; a branch after a colon.
    pub after: Vec<String>,
    /// How many of them it waits for.
    pub join: Join,
    /// Attempts in all, where it calls something.
    pub attempts: Option<u32>,
    /// What is tried after those, in this order: what each uses.
    pub alternatives: Vec<String>,
    /// What a failure leads to that nothing mended.
    pub on_error: OnError,
    /// Whether its effect must not be repeated.
    pub at_most_once: bool,
    /// The names of the locks that it holds while it works, as templates.
    pub locks: Vec<String>,
    /// The workflow that it runs: which, its name, its version.
    pub workflow: Option<(WorkflowId, String, i32)>,
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

/// So many runs are counted that fit a filter.
pub const COUNTED: i64 = 10_000;

/// A window on a run's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
    /// Whether there may be lines before the first one.
    pub earlier: bool,
    /// Whether there may be lines after the last one already.
    pub later: bool,
    /// How many lines the log has in all, with the same filters.
    pub total: u64,
    /// The number of the run's last event: live lines follow after it.
    pub last_seq: i64,
}

/// Where and how much of a log to read. Without a number: the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogQuery {
    /// The lines before this number.
    pub before: Option<i64>,
    /// The lines after this number.
    pub after: Option<i64>,
    /// At least this serious.
    pub level: Option<LogLevel>,
    /// Of this step and the steps below it.
    pub step: Option<StepId>,
    /// How many, 500 at most and by default.
    pub limit: Option<u32>,
}

/// What of a run is done again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", content = "step", rename_all = "snake_case")]
pub enum AgainFrom {
    /// The steps that did not succeed, of a run that ended without success.
    #[default]
    Failed,
    /// All of it.
    Start,
    /// This step, and all that depends on it.
    Step(StepId),
}

/// How a run is to be run again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Again {
    /// From where.
    #[serde(flatten)]
    pub from: AgainFrom,
    /// Another input; only from the start.
    pub input: Option<Value>,
    /// Whether on the newest version of the workflow that runs use, instead of its own.
    pub newest: bool,
}

/// What running again would do, by what was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// Steps whose results are taken over.
    pub reused: Vec<PreviewStep>,
    /// Steps that ran and would run again.
    pub again: Vec<PreviewStep>,
    /// What those cost then: about what they will cost.
    pub cost: Money,
    /// The version that would run.
    pub version: i32,
}

/// A step of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewStep {
    /// Which.
    pub id: StepId,
    /// What is shown.
    pub name: String,
    /// What it is.
    pub kind: StepKind,
    /// Whether it does something outside of AgentFlow.
    pub acts_outside: bool,
}

/// The most runs that one action on many reaches.
pub const MOST_AT_ONCE: u32 = 200;

/// What is done to many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bulk {
    /// Stop.
    Cancel,
    /// Hold.
    Pause,
    /// Let go on.
    Resume,
    /// Run again from the steps that did not succeed.
    Retry,
}

impl Bulk {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Cancel, Self::Pause, Self::Resume, Self::Retry];

    /// The word in addresses and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// Whether it does something to a run in this state.
    #[must_use]
    pub const fn reaches(self, state: RunState) -> bool {
        match self {
            Self::Cancel => !state.is_end() && !matches!(state, RunState::Cancelling),
            Self::Pause => matches!(state, RunState::Queued | RunState::Running | RunState::Waiting),
            Self::Resume => matches!(state, RunState::Paused),
            Self::Retry => matches!(state, RunState::Failed | RunState::Cancelled),
        }
    }

    /// The runs of a filter to which it does something; none where it does nothing to any of them.
    #[must_use]
    pub fn narrowed(self, filter: &RunFilter) -> Option<RunFilter> {
        let asked = if filter.states.is_empty() { RunState::ALL } else { filter.states.as_slice() };
        let states: Vec<_> = asked.iter().copied().filter(|state| self.reaches(*state)).collect();
        (!states.is_empty()).then(|| RunFilter { states, ..filter.clone() })
    }
}

/// What an action on many runs would reach and do, by what was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkPreview {
    /// The runs that it would reach, the newest first, up to [`MOST_AT_ONCE`].
    pub runs: Vec<BulkRun>,
    /// Where those begin that fit too and come after these.
    pub next: Option<Cursor>,
}

/// A run that an action on many would reach. What is counted is counted for running again only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkRun {
    /// The run.
    pub summary: RunSummary,
    /// How many steps' results are taken over.
    pub reused: usize,
    /// How many steps ran and would run again.
    pub again: usize,
    /// How many of those do something outside of AgentFlow.
    pub outside: usize,
    /// What those cost then: about what they will cost.
    pub cost: Money,
}

/// A run that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Whether this is the answer to a repeated request: nothing new was started.
    pub repeated: bool,
}
