//! What came of the tasks that agents were given. It is read from the steps of runs that are still kept; tests do not
//! count.

use serde::{Deserialize, Serialize};

use crate::kernel::{Money, WorkflowId};

/// How far back a record goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// 7 days.
    Week,
    /// 30 days.
    #[default]
    Month,
}

impl Period {
    /// Both, the shorter first.
    pub const ALL: [Self; 2] = [Self::Week, Self::Month];

    /// Its length in days.
    #[must_use]
    pub const fn days(self) -> i32 {
        match self {
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    /// The period of so many days; the usual one where there is none such.
    #[must_use]
    pub fn of_days(days: Option<i32>) -> Self {
        Self::ALL.into_iter().find(|period| Some(period.days()) == days).unwrap_or_default()
    }
}

/// What came of a number of tasks. A task that was stopped by a person has no outcome and is not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Tasks with an outcome.
    pub tasks: i64,
    /// Those that the agent did itself: not those that something else had to mend.
    pub succeeded: i64,
    /// From begin to end, with what was waited for: half took at most this many milliseconds.
    pub p50_ms: Option<i64>,
    /// And 95 of 100 at most this many.
    pub p95_ms: Option<i64>,
    /// What all of them cost.
    pub cost: Money,
    /// Half cost at most this.
    pub p50_cost: Option<Money>,
}

impl Record {
    /// Those that failed.
    #[must_use]
    pub const fn failed(&self) -> i64 {
        self.tasks - self.succeeded
    }

    /// How many of 1,000 succeeded. Nothing where there is none.
    #[must_use]
    pub const fn success_permille(&self) -> Option<i64> {
        match self.tasks {
            0 => None,
            tasks => Some(self.succeeded * 1_000 / tasks),
        }
    }
}

/// What a task was part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Runs of a workflow, by its name now.
    Workflow(WorkflowId, String),
    /// A conversation with the agent, to try it.
    Conversation,
    /// A test: of the agent, or of a workflow.
    Test,
}

impl TaskKind {
    /// What people call it.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Workflow(_, name) => name,
            Self::Conversation => "Conversations (tried)",
            Self::Test => "Tests",
        }
    }
}

/// An agent's record over a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// How far back.
    pub period: Period,
    /// All tasks.
    pub all: Record,
    /// By the model that the agent was to ask, the busiest first.
    pub by_model: Vec<(String, Record)>,
    /// By version, the newest first.
    pub by_version: Vec<(i32, Record)>,
    /// By kind of task, the busiest first. Conversations and tests stand in here alone: they count nowhere else.
    pub by_kind: Vec<(TaskKind, Record)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_tasks_nothing_is_said() {
        assert_eq!(Record::default().success_permille(), None);
        let record = Record { tasks: 3, succeeded: 2, ..Record::default() };
        assert_eq!((record.success_permille(), record.failed()), (Some(666), 1));
        assert_eq!(
            [Some(7), Some(30), Some(8), None].map(Period::of_days),
            [Period::Week, Period::Month, Period::Month, Period::Month]
        );
    }
}
