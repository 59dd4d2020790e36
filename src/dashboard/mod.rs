//! The dashboard: an organization's figures over a period, what waits, and the way in for a new organization. It only
//! reads; each figure can be found again in a list with the same filter.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::kernel::{Money, RunId, Timestamp, WorkflowId};

#[cfg(feature = "ssr")]
pub use service::{Dashboard, Span};

/// How far back the figures go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Range {
    /// 24 hours.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// 7 days.
    #[serde(rename = "7d")]
    Week,
    /// 30 days.
    #[serde(rename = "30d")]
    Month,
}

impl Range {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// The word in the address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The range of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.as_str() == word)
    }

    /// As it is read.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Day => 24 * 3_600,
            Self::Week => 7 * 24 * 3_600,
            Self::Month => 30 * 24 * 3_600,
        }
    }
}

/// How long a bar of the chart is. Days begin at midnight in a time zone, and are as long as they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// An hour.
    Hour,
    /// Six hours.
    Quarter,
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
}

impl Bar {
    /// The bars of a period of so many seconds: not more than can be told apart.
    #[must_use]
    pub const fn of(seconds: i64) -> Self {
        match seconds / 3_600 {
            ..=48 => Self::Hour,
            49..=336 => Self::Quarter,
            337..=2_400 => Self::Day,
            _ => Self::Week,
        }
    }

    /// The word for the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Quarter => "quarter",
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// What the runs that were accepted in a period came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// All of them.
    pub runs: i64,
    /// Those that succeeded.
    pub succeeded: i64,
    /// Those that failed.
    pub failed: i64,
    /// From the start to the end of those that succeeded or failed: half took at most this many milliseconds.
    pub p50_ms: Option<i64>,
    /// And 95 of 100 at most this many.
    pub p95_ms: Option<i64>,
    /// What they cost.
    pub cost: Money,
    /// The tokens they used, in and out.
    pub tokens: i64,
    /// Calls of the period that were answered from the cache.
    pub cached: i64,
    /// Calls of the period whose answers were not there, and are kept now.
    pub not_cached: i64,
}

impl Figures {
    /// Those with an outcome: succeeded or failed. A stopped run has none.
    #[must_use]
    pub const fn ended(&self) -> i64 {
        self.succeeded + self.failed
    }

    /// How many of 1,000 with an outcome succeeded. Nothing where there is none.
    #[must_use]
    pub const fn success_permille(&self) -> Option<i64> {
        match self.ended() {
            0 => None,
            ended => Some(self.succeeded * 1_000 / ended),
        }
    }
}

impl Figures {
    /// Calls that the cache was asked about.
    #[must_use]
    pub const fn cacheable(&self) -> i64 {
        self.cached + self.not_cached
    }

    /// How many of 1,000 of those it answered. Nothing where it was not asked.
    #[must_use]
    pub const fn cached_permille(&self) -> Option<i64> {
        match self.cacheable() {
            0 => None,
            all => Some(self.cached * 1_000 / all),
        }
    }
}

/// The outcomes of the runs that were accepted within one bar of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Runs that succeeded.
    pub succeeded: i64,
    /// Runs that failed.
    pub failed: i64,
    /// Runs that were stopped.
    pub stopped: i64,
    /// Runs without an end so far.
    pub open: i64,
}

impl Bucket {
    /// All runs of the bar.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.succeeded + self.failed + self.stopped + self.open
    }
}

/// What is so at the moment, whatever the period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Runs under way.
    pub running: i64,
    /// Runs that nobody works on yet.
    pub queued: i64,
    /// Since when the one that waits longest does, in milliseconds.
    pub oldest_wait_ms: Option<i64>,
    /// Runs of the last hour that failed.
    pub failed_lately: i64,
    /// The end of that hour.
    pub now: Timestamp,
}

/// How far a new organization has come on the way to its first finished run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guide {
    /// The newest workflow that can be run.
    pub workflow: Option<WorkflowId>,
    /// The newest run.
    pub run: Option<RunId>,
    /// Whether a run succeeded.
    pub finished: bool,
}

impl Guide {
    /// Whether the way is behind them.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.workflow.is_some() && self.run.is_some() && self.finished
    }
}

/// A workflow whose runs fail: none has succeeded since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Which.
    pub workflow: WorkflowId,
    /// Its name.
    pub name: String,
    /// When the first of them was accepted.
    pub since: Timestamp,
    /// How many there are.
    pub runs: i64,
    /// What the last one says.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_without_an_outcome_is_none_and_not_zero() {
        let mut figures = Figures { runs: 3, ..Figures::default() };
        assert_eq!(figures.success_permille(), None);
        figures.succeeded = 2;
        figures.failed = 1;
        assert_eq!(figures.success_permille(), Some(666));
    }

    #[test]
    fn a_period_has_a_number_of_bars_that_can_be_told_apart() {
        for range in Range::ALL {
            assert_eq!(Range::parse(range.as_str()), Some(range));
        }
        let hours = [(24, Bar::Hour), (7 * 24, Bar::Quarter), (30 * 24, Bar::Day), (400 * 24, Bar::Week)];
        for (hours, bar) in hours {
            assert_eq!(Bar::of(hours * 3_600), bar, "{hours}");
        }
    }
}
