//! Budgets: what an organization may spend on models and tools, in all, for an agent or a workflow, by day and by month, and in
//! one call or one run. The most that a call may cost is reserved before it goes out, what it did cost is counted after
//! it. Where the next call does not fit, its task waits for an admin. `docs/budgets.md` says how they are counted.
//!
//! A node's own budget (`budget:` in a workflow) is the engine's, and stands beside these.

#[cfg(feature = "ssr")]
mod ledger;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::{BudgetId, Money, Timestamp, WorkflowId};

#[cfg(feature = "ssr")]
pub use ledger::{Admission, Budgets, Reservation};
#[cfg(feature = "ssr")]
pub(crate) use store::{period_of, subject_of};

/// What a budget bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Each call of a model or tool by itself.
    Call,
    /// Each run by itself.
    Run,
    /// All that the organization spends.
    Organization,
    /// The calls of the agent with this key.
    Agent(String),
    /// The runs of this workflow.
    Workflow(WorkflowId),
}

impl Subject {
    /// The subject of a text as [`fmt::Display`] writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            Some(("agent", key)) if !key.is_empty() => Some(Self::Agent(key.to_owned())),
            Some(("workflow", id)) => id.parse().ok().map(Self::Workflow),
            Some(_) => None,
            None => match text {
                "call" => Some(Self::Call),
                "run" => Some(Self::Run),
                "organization" => Some(Self::Organization),
                _ => None,
            },
        }
    }

    /// Whether it is a call or run, which has no period but itself.
    #[must_use]
    pub const fn is_each(&self) -> bool {
        matches!(self, Self::Call | Self::Run)
    }
}

/// As forms name it: `call`, `run`, `organization`, `agent:writer`, `workflow:wf_…`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call => f.write_str("call"),
            Self::Run => f.write_str("run"),
            Self::Organization => f.write_str("organization"),
            Self::Agent(key) => write!(f, "agent:{key}"),
            Self::Workflow(id) => write!(f, "workflow:{id}"),
        }
    }
}

/// How long a budget counts before it begins anew, by the database's clock in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A call or run.
    Each,
    /// A calendar day.
    Day,
    /// A calendar month.
    Month,
    /// It never begins anew.
    Total,
}

impl Period {
    /// Those to choose from.
    pub const CHOICES: [Self; 3] = [Self::Day, Self::Month, Self::Total];

    /// The word in the database and in forms.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The period of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Each, Self::Day, Self::Month, Self::Total].into_iter().find(|period| period.as_str() == word)
    }

    /// As it is read.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Day => "per day",
            Self::Month => "per month",
            Self::Total => "in all",
        }
    }
}

/// How an account stands against its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What may be spent.
    pub limit: Money,
    /// What was spent.
    pub spent: Money,
    /// What is reserved for calls that are under way.
    pub reserved: Money,
}

/// Whether a call fits into an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// It does.
    Fits,
    /// Not while so much is reserved for others, of which less may be spent.
    NotNow,
    /// Not at all.
    Over,
}

impl Standing {
    /// Whether a call fits that may cost so much.
    #[must_use]
    pub fn fit(&self, most: Money) -> Fit {
        if self.spent + most > self.limit {
            Fit::Over
        } else if self.spent + self.reserved + most > self.limit {
            Fit::NotNow
        } else {
            Fit::Fits
        }
    }

    /// How much of it is spent, in whole percent rounded down; it may be more than a hundred.
    #[must_use]
    pub fn percent(&self) -> i64 {
        let percent = i128::from(self.spent.micros()) * 100 / i128::from(self.limit.micros().max(1));
        i64::try_from(percent).unwrap_or(i64::MAX)
    }
}

/// From how many percent on people are shown a budget wherever they are.
pub const NEAR: i64 = 80;

/// A budget, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The budget.
    pub id: BudgetId,
    /// What it bounds.
    pub subject: Subject,
    /// The name of the agent or workflow.
    pub name: Option<String>,
    /// How long it counts.
    pub period: Period,
    /// Whether it holds anything back. It counts in any case.
    pub enabled: bool,
    /// The running period. Of a call or run there is the limit alone.
    pub standing: Standing,
    /// Whether it held a call back in the running period.
    pub refused: bool,
    /// When the next period begins.
    pub resets_at: Option<Timestamp>,
    /// When it was made, where that is within the running period: what was spent before is not in it.
    pub since: Option<Timestamp>,
}

impl Budget {
    /// What it bounds, for people: `Agent “Writer”, per day`.
    #[must_use]
    pub fn title(&self) -> String {
        title(&self.subject, self.name.as_deref(), self.period)
    }

    /// Whether it is nearly or wholly used up.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.enabled && !self.subject.is_each() && (self.refused || self.standing.percent() >= NEAR)
    }
}

/// What a budget bounds, for people. Without a name of its agent or workflow it is called by its key, or by nothing.
#[must_use]
pub fn title(subject: &Subject, name: Option<&str>, period: Period) -> String {
    let period = period.words();
    match (subject, name) {
        (Subject::Call, _) => "Each call".to_owned(),
        (Subject::Run, _) => "Each run".to_owned(),
        (Subject::Organization, _) => format!("Whole organization, {period}"),
        (Subject::Agent(key), name) => format!("Agent “{}”, {period}", name.unwrap_or(key)),
        (Subject::Workflow(_), Some(name)) => format!("Workflow “{name}”, {period}"),
        (Subject::Workflow(_), None) => format!("The run's workflow, {period}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let workflow = Subject::Workflow("wf_01jd0000000000000000000000".parse().unwrap());
        let agent = Subject::Agent("writer".to_owned());
        for subject in [Subject::Call, Subject::Run, Subject::Organization, agent, workflow] {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
        }
        for wrong in ["", "agent", "agent:", "workflow:x", "team:a", "organization:x"] {
            assert_eq!(Subject::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_budget_is_near_its_end_from_eighty_percent_on_or_once_it_held_a_call_back() {
        let near = |spent: i64, refused: bool, enabled: bool| {
            let standing = Standing { limit: Money(1_000), spent: Money(spent), reserved: Money::ZERO };
            let (subject, period) = (Subject::Organization, Period::Day);
            let id = "bud_01jd0000000000000000000000".parse().unwrap();
            Budget { id, subject, name: None, period, enabled, standing, refused, resets_at: None, since: None }
                .is_near()
        };
        assert!(!near(799, false, true) && near(800, false, true) && near(5_000, false, true));
        assert!(near(0, true, true) && !near(800, true, false));
    }

    /// What may happen to an account.
    #[derive(Debug, Clone)]
    enum Happening {
        Asks(i64),
        /// One of the open calls ends, having used so many hundredths of its most.
        Ends(usize, i64),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            (0_i64..400).prop_map(Happening::Asks),
            (any::<usize>(), 0_i64..=100).prop_map(|(which, used)| Happening::Ends(which, used)),
        ]
    }

    proptest! {
        #[test]
        fn an_account_is_never_passed_and_counts_every_call_once(
            limit in 1_i64..1_000, happenings in prop::collection::vec(happening(), 0..80),
        ) {
            let mut account = Standing { limit: Money(limit), ..Standing::default() };
            let (mut open, mut paid) = (Vec::new(), 0);
            for happening in happenings {
                match happening {
                    Happening::Asks(most) => match account.fit(Money(most)) {
                        Fit::Fits => {
                            account.reserved += Money(most);
                            open.push(most);
                        }
                        Fit::NotNow => {
                            prop_assert!(!open.is_empty());
                            let empty = Standing { reserved: Money::ZERO, ..account };
                            prop_assert_eq!(empty.fit(Money(most)), Fit::Fits, "it fits once the others cost nothing");
                        }
                        Fit::Over => prop_assert!(account.spent.micros() + most > limit),
                    },
                    Happening::Ends(which, used) if !open.is_empty() => {
                        let most = open.swap_remove(which % open.len());
                        account.reserved += Money(-most);
                        account.spent += Money(most * used / 100);
                        paid += most * used / 100;
                    }
                    Happening::Ends(..) => {}
                }
                prop_assert!(account.spent + account.reserved <= account.limit);
                prop_assert_eq!(account.reserved.micros(), open.iter().sum::<i64>());
                prop_assert_eq!(account.spent.micros(), paid);
            }
        }

        #[test]
        fn no_amount_is_so_large_that_it_fits(spent in 0..=i64::MAX, reserved in 0..=i64::MAX, most in 0..=i64::MAX) {
            let account = Standing { limit: Money(1_000), spent: Money(spent), reserved: Money(reserved) };
            let exact = i128::from(spent) + i128::from(reserved) + i128::from(most);
            prop_assert_eq!(account.fit(Money(most)) == Fit::Fits, exact <= 1_000);
            prop_assert!(account.percent() >= 0);
        }
    }
}
