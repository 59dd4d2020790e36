//! Rehearsals: an agent's test cases, run with a version that may be deployed and, beside it, with the one that is.

#[cfg(feature = "ssr")]
pub mod service;

use serde::{Deserialize, Serialize};

use crate::kernel::{Money, RehearsalId, RunId, Timestamp};

/// How much of an answer, a task or an expectation comes along, in characters.
pub const SHOWN_CHARS: usize = 400;

/// A rehearsal, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Its id.
    pub id: RehearsalId,
    /// The version that may be deployed.
    pub version: i32,
    /// The version that was deployed when it began, where that was another one.
    pub live_version: Option<i32>,
    /// The name of who started it.
    pub started_by: String,
    /// When.
    pub started_at: Timestamp,
    /// The cases, in order.
    pub cases: Vec<Tried>,
}

/// A test case as it was when it was tried, with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Its place, from 1.
    pub seq: i32,
    /// What it was called.
    pub name: String,
    /// The task, cut at [`SHOWN_CHARS`].
    pub prompt: String,
    /// The word of its check.
    pub check: String,
    /// What was expected, cut at [`SHOWN_CHARS`].
    pub expected: String,
    /// What came of it with the version that may be deployed.
    pub candidate: Outcome,
    /// What came of it with the one that is.
    pub live: Option<Outcome>,
}

/// What came of a test case with one version: a run, held against the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run.
    pub run: RunId,
    /// Whether the answer is as it must be.
    pub verdict: Verdict,
    /// The answer, cut at [`SHOWN_CHARS`].
    pub answer: Option<String>,
    /// What it cost so far.
    pub cost: Money,
    /// Milliseconds of work, once it has ended.
    pub took_ms: Option<i64>,
}

/// Whether an answer is as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Passed,
    /// It is not.
    Failed {
        /// Why not, a sentence.
        why: String,
    },
    /// There is no answer, and none will come.
    Broken {
        /// Why not, a sentence.
        why: String,
    },
    /// A person is asked before there can be one.
    NeedsApproval,
    /// It is not there yet.
    UnderWay,
}

/// How many cases came out how, with one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that passed.
    pub passed: usize,
    /// Those that failed, or have no answer.
    pub failed: usize,
    /// Those that nobody knows of yet.
    pub open: usize,
}

/// What two versions used for the cases that both have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// What the cases cost together: with the version that may be deployed, and with the one that is.
    pub cost: (Money, Money),
    /// Their median times in milliseconds.
    pub median_ms: (i64, i64),
}

impl Verdict {
    /// Whether nothing will change it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Passed | Self::Failed { .. } | Self::Broken { .. })
    }

    /// Whether it is final, and bad.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Broken { .. })
    }
}

impl Tried {
    /// Whether the version that is deployed passes, and the one that may be does not.
    #[must_use]
    pub fn got_worse(&self) -> bool {
        self.candidate.verdict.is_bad() && self.live.as_ref().is_some_and(|live| live.verdict == Verdict::Passed)
    }

    /// The other way round.
    #[must_use]
    pub fn got_better(&self) -> bool {
        self.candidate.verdict == Verdict::Passed && self.live.as_ref().is_some_and(|live| live.verdict.is_bad())
    }
}

impl Rehearsal {
    /// Whether something may still change.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut outcomes = self.cases.iter().flat_map(|case| [Some(&case.candidate), case.live.as_ref()]).flatten();
        outcomes.any(|outcome| !outcome.verdict.is_final())
    }

    /// How the cases came out with the version that may be deployed.
    #[must_use]
    pub fn count(&self) -> Count {
        Count::of(self.cases.iter().map(|case| &case.candidate))
    }

    /// How they came out with the one that is.
    #[must_use]
    pub fn live_count(&self) -> Option<Count> {
        self.live_version.map(|_| Count::of(self.cases.iter().filter_map(|case| case.live.as_ref())))
    }

    /// What both versions used, for the cases that both have done.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        let pairs = || {
            self.cases.iter().filter_map(|case| {
                let live = case.live.as_ref()?;
                let times = (case.candidate.took_ms?, live.took_ms?);
                (case.candidate.verdict.is_final() && live.verdict.is_final()).then_some((
                    times,
                    case.candidate.cost,
                    live.cost,
                ))
            })
        };
        Some(Spent {
            cost: (pairs().map(|pair| pair.1).sum(), pairs().map(|pair| pair.2).sum()),
            median_ms: (
                median(pairs().map(|pair| pair.0.0).collect())?,
                median(pairs().map(|pair| pair.0.1).collect())?,
            ),
        })
    }
}

impl Count {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut count = Self::default();
        for outcome in outcomes {
            match &outcome.verdict {
                Verdict::Passed => count.passed += 1,
                Verdict::Failed { .. } | Verdict::Broken { .. } => count.failed += 1,
                Verdict::NeedsApproval | Verdict::UnderWay => count.open += 1,
            }
        }
        count
    }

    /// How many there are.
    #[must_use]
    pub const fn all(self) -> usize {
        self.passed + self.failed + self.open
    }
}

/// The one in the middle; of two in the middle, what lies between them.
fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(values.len() / 2 - 1)? } else { upper };
    Some(lower.midpoint(upper))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(verdict: Verdict, cost: i64, took_ms: i64) -> Outcome {
        let took_ms = verdict.is_final().then_some(took_ms);
        Outcome { run: RunId::from_uuid(uuid::Uuid::nil()), verdict, answer: None, cost: Money(cost), took_ms }
    }

    fn failed() -> Verdict {
        Verdict::Failed { why: "“42” is not in the answer.".to_owned() }
    }

    fn rehearsal(cases: Vec<(Outcome, Option<Outcome>)>) -> Rehearsal {
        let tried = |(place, (candidate, live)): (usize, (Outcome, Option<Outcome>))| Tried {
            seq: i32::try_from(place + 1).unwrap(),
            name: format!("Case {place}"),
            prompt: "Say it.".to_owned(),
            check: "contains".to_owned(),
            expected: "it".to_owned(),
            candidate,
            live,
        };
        Rehearsal {
            id: RehearsalId::from_uuid(uuid::Uuid::nil()),
            version: 2,
            live_version: Some(1),
            started_by: "Ada".to_owned(),
            started_at: Timestamp::default(),
            cases: cases.into_iter().enumerate().map(tried).collect(),
        }
    }

    #[test]
    fn what_got_worse_and_what_it_cost_is_told_of_what_both_have_done() {
        let told = rehearsal(vec![
            (outcome(failed(), 10, 100), Some(outcome(Verdict::Passed, 30, 300))),
            (outcome(Verdict::Passed, 20, 200), Some(outcome(failed(), 30, 500))),
            (outcome(Verdict::UnderWay, 99, 0), Some(outcome(Verdict::Passed, 99, 9))),
            (outcome(Verdict::NeedsApproval, 99, 0), Some(outcome(Verdict::Passed, 99, 9))),
        ]);
        let worse: Vec<i32> = told.cases.iter().filter(|case| case.got_worse()).map(|case| case.seq).collect();
        let better: Vec<i32> = told.cases.iter().filter(|case| case.got_better()).map(|case| case.seq).collect();
        assert_eq!((worse, better), (vec![1], vec![2]));
        assert_eq!(told.count(), Count { passed: 1, failed: 1, open: 2 });
        assert_eq!(told.live_count(), Some(Count { passed: 3, failed: 1, open: 0 }));
        assert_eq!(told.spent(), Some(Spent { cost: (Money(30), Money(60)), median_ms: (150, 400) }));
        assert!(told.is_open());
        let broken = Verdict::Broken { why: "The model cannot be had.".to_owned() };
        let ended = rehearsal(vec![(outcome(broken, 0, 1), Some(outcome(Verdict::Passed, 0, 1)))]);
        assert!(!ended.is_open() && ended.cases[0].got_worse());
        assert_eq!(rehearsal(Vec::new()).spent(), None);
    }

    proptest! {
        #[test]
        fn half_of_the_values_are_at_most_the_median(values in proptest::collection::vec(0_i64..1_000, 1..30)) {
            let middle = median(values.clone()).unwrap();
            let (below, above) = (
                values.iter().filter(|value| **value < middle).count(),
                values.iter().filter(|value| **value > middle).count(),
            );
            prop_assert!(below * 2 <= values.len() && above * 2 <= values.len(), "{values:?} {middle}");
        }
    }
}
