//! Reserving before a call and settling after it. All processes share the accounts: whoever reserves or settles holds
//! their rows, always in one order.

use std::time::Duration;

use super::{Fit, Period, Standing, Subject, store, title};
use crate::{
    db::{self, Db},
    engine::{
        port::{Answer, BUDGET_SPENT, CallScope},
        retry,
        state::{ErrorClass, StepError, StepId},
    },
    kernel::{BudgetId, Money, OrgId, Result, RunId, Timestamp},
};

/// No call is counted with more: a billion dollars.
const MOST: Money = Money(1_000_000_000_000_000);
/// The pause before a database that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an answer waits for its settlement. After that the settlement goes on by itself: the answer is paid for, and
/// must not be lost with it.
const WAIT: Duration = Duration::from_secs(2);
/// How often a settlement is tried; with [`AGAIN`] between, it outlives a restart of the database.
const TRIES: u32 = 1_200;
/// After how long a call looks again that found too much reserved for others, and within how long after that.
const LATER_MS: u64 = 1_500;
const SPREAD_MS: u64 = 1_000;

/// Whether a call may go out.
pub enum Admission {
    /// No budget applies.
    Free,
    /// It may; so much is reserved for it.
    Held(Reservation),
    /// Not while so much is reserved for calls that are under way: what to answer instead.
    Later(Answer),
}

/// What the accounts say to a call.
enum Verdict {
    Free,
    Reserved,
    Later(Answer),
    Refused(StepError),
}

/// The budgets as calls meet them. Cheap to clone.
#[derive(Clone)]
pub struct Budgets {
    db: Db,
}

/// One attempt of a call: what its reservation is found by.
#[derive(Debug, Clone)]
pub(super) struct CallKey {
    pub org: OrgId,
    pub run: RunId,
    pub step: StepId,
    pub attempt: u32,
    pub fence: i64,
}

/// A budget that applies to a call.
#[derive(Debug, Clone)]
pub(super) struct Applying {
    pub id: BudgetId,
    pub subject: Subject,
    pub period: Period,
    pub limit: Money,
    pub enabled: bool,
    pub resets_at: Option<Timestamp>,
}

/// A budget's account, as it stands while its row is held.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub budget: BudgetId,
    pub name: String,
    pub spent: Money,
    pub reserved: Money,
    /// Whether it is the running one, and not that of an older attempt.
    pub current: bool,
}

impl Budgets {
    /// The budgets of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Reserves what a call may cost, in all budgets that it falls under or in none. It is not made while it is not known
    /// whether it may be: the database is asked as long as it takes.
    ///
    /// # Errors
    /// Of the class `budget`, where one does not hold it.
    pub async fn reserve(&self, scope: &CallScope, most: Money) -> Result<Admission, StepError> {
        self.reserve_first(scope, &[most]).await.map(|(_, admission)| admission)
    }

    /// The same for a call that can be made in several ways: for the first of them that is not beyond all budgets. It
    /// gives that one's place.
    ///
    /// # Errors
    /// Of the class `budget`, where none of them is held; it speaks of the first.
    pub async fn reserve_first(&self, scope: &CallScope, ways: &[Money]) -> Result<(usize, Admission), StepError> {
        if ways.first().is_none_or(|most| *most <= Money::ZERO) {
            return Ok((0, Admission::Free));
        }
        let ways: Vec<Money> = ways.iter().map(|most| (*most).clamp(Money::ZERO, MOST)).collect();
        let key = CallKey {
            org: scope.org,
            run: scope.run,
            step: scope.step.clone(),
            attempt: scope.attempt,
            fence: scope.fence,
        };
        // From before it is written: whoever drops this future meanwhile leaves nothing reserved.
        let mut reservation = Reservation { db: self.db.clone(), key: Some(key.clone()) };
        loop {
            match self.try_to_reserve(scope, &key, &ways).await {
                Ok((place, Verdict::Reserved)) => return Ok((place, Admission::Held(reservation))),
                Ok((place, other)) => {
                    reservation.key = None;
                    return match other {
                        Verdict::Refused(error) => Err(error),
                        Verdict::Later(answer) => Ok((place, Admission::Later(answer))),
                        _ => Ok((place, Admission::Free)),
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, "it is not known whether a budget holds a call; asking again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn try_to_reserve(&self, scope: &CallScope, key: &CallKey, ways: &[Money]) -> Result<(usize, Verdict)> {
        let pool = self.db.engine();
        let applying = store::applying(pool, scope).await?;
        if applying.is_empty() {
            return Ok((0, Verdict::Free));
        }
        let mut tx = db::begin(pool).await?;
        let ids: Vec<BudgetId> = applying.iter().map(|budget| budget.id).collect();
        store::open_accounts(&mut tx, key, &ids).await?;
        let mut accounts = store::lock_accounts(&mut tx, key, &ids).await?;
        for (budget, name, reserved) in store::release(&mut tx, key, &accounts).await? {
            let same = |account: &&mut Account| account.budget == budget && account.name == name;
            accounts.iter_mut().find(same).into_iter().for_each(|account| account.reserved = reserved);
        }
        accounts.retain(|account| account.current);
        let fit = |most: Money| match scope.beyond_budget {
            true => (Fit::Fits, Vec::new()),
            false => fit(&applying, &accounts, most),
        };
        let place = ways.iter().position(|most| fit(*most).0 < Fit::Over).unwrap_or(0);
        let most = ways.get(place).copied().unwrap_or(MOST);
        let (fit, budgets) = fit(most);
        match fit {
            Fit::Fits => store::take(&mut tx, key, &accounts, most, scope.until).await?,
            Fit::NotNow => {}
            Fit::Over => store::mark_refused(&mut tx, key, &accounts, &budgets).await?,
        }
        tx.commit().await?;
        // Where it fits, none is in the way.
        let in_the_way = applying.iter().find(|budget| budgets.first() == Some(&budget.id));
        let (Some(budget), true) = (in_the_way, fit > Fit::Fits) else { return Ok((place, Verdict::Reserved)) };
        let spent = accounts.iter().find(|account| account.budget == budget.id).map_or(Money::ZERO, |one| one.spent);
        let verdict = match fit {
            Fit::Over => {
                Verdict::Refused(StepError::new(ErrorClass::Budget, BUDGET_SPENT, in_words(budget, spent, most)))
            }
            _ => Verdict::Later(later(store::now(pool).await?, scope, budget)),
        };
        Ok((place, verdict))
    }
}

/// How a call fits into all budgets together, and the budgets that are in its way.
fn fit(applying: &[Applying], accounts: &[Account], most: Money) -> (Fit, Vec<BudgetId>) {
    let one = |budget: &Applying| {
        let account = accounts.iter().find(|account| account.budget == budget.id);
        let (spent, reserved) = account.map_or((Money::ZERO, Money::ZERO), |found| (found.spent, found.reserved));
        Standing { limit: budget.limit, spent, reserved }.fit(most)
    };
    let fits: Vec<_> = applying.iter().filter(|one| one.enabled).map(|budget| (one(budget), budget.id)).collect();
    let worst = fits.iter().map(|(fit, _)| *fit).max().unwrap_or(Fit::Fits);
    (worst, fits.into_iter().filter(|(fit, _)| *fit == worst).map(|(_, id)| id).collect())
}

/// What a budget says to a call that it does not hold.
fn in_words(budget: &Applying, spent: Money, most: Money) -> String {
    let limit = budget.limit;
    let why = match &budget.subject {
        Subject::Call => format!("One call may cost {limit} at most, and this one could cost {most}."),
        Subject::Run => {
            format!("One run may cost {limit} at most. This one has cost {spent}, and its next call could cost {most}.")
        }
        subject => {
            let title = title(subject, None, budget.period);
            let resets =
                budget.resets_at.map(|at| format!(" It begins anew on {}.", at.format("%-d %b %Y, %H:%M UTC")));
            format!(
                "The budget “{title}” has no room for the next call, which could cost {most}: {spent} of {limit} \
                 is spent.{}",
                resets.unwrap_or_default(),
            )
        }
    };
    format!("{why} An admin or owner can let the task go on.")
}

/// A call that found too much reserved for others looks again after a while: most of that is never spent.
fn later(now: Timestamp, scope: &CallScope, budget: &Applying) -> Answer {
    let spread = retry::scramble(retry::seed_of(&scope.idempotency_key())) % SPREAD_MS;
    let why = format!("the budget “{}”", title(&budget.subject, None, budget.period));
    Answer::Later { at: now + Duration::from_millis(LATER_MS + spread), why }
}

/// What is reserved for a call that is under way. Dropped without a word, as when the call is stopped, it is given back.
pub struct Reservation {
    db: Db,
    key: Option<CallKey>,
}

impl Reservation {
    /// Counts what the call did cost instead of what was reserved for it.
    pub async fn settle(mut self, cost: Money) {
        if let Some(key) = self.key.take() {
            // In a task of its own, which goes on when whoever waits for it is dropped.
            let settled = tokio::spawn(settle(self.db.clone(), key, cost));
            drop(tokio::time::timeout(WAIT, settled).await);
        }
    }

    /// Leaves it as a process does that is killed.
    pub fn abandon(mut self) {
        self.key = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(key) = self.key.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(settle(self.db.clone(), key, Money::ZERO));
        }
    }
}

async fn settle(db: Db, key: CallKey, cost: Money) {
    for _ in 0..TRIES {
        match store::settle(db.engine(), &key, cost.clamp(Money::ZERO, MOST)).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(run = %key.run, step = %key.step, %error, "a call's cost could not be counted; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    tracing::error!(run = %key.run, step = %key.step, %cost, "a call's cost is in no budget");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(number: u128, limit: i64, enabled: bool) -> Applying {
        Applying {
            id: BudgetId::from_uuid(uuid::Uuid::from_u128(number)),
            subject: Subject::Organization,
            period: Period::Day,
            limit: Money(limit),
            enabled,
            resets_at: Some("2026-11-27T00:00:00Z".parse().unwrap()),
        }
    }

    fn account(number: u128, spent: i64, reserved: i64) -> Account {
        Account {
            budget: BudgetId::from_uuid(uuid::Uuid::from_u128(number)),
            name: "2026-11-26".to_owned(),
            spent: Money(spent),
            reserved: Money(reserved),
            current: true,
        }
    }

    #[test]
    fn a_call_must_fit_into_every_budget_and_the_worst_is_named() {
        let applying = [budget(1, 100, true), budget(2, 50, true), budget(3, 1, false)];
        let fit = |accounts: &[Account], most| fit(&applying, accounts, Money(most));
        assert_eq!(fit(&[account(1, 40, 10)], 50).0, Fit::Fits, "what has no account yet is untouched");
        let (worst, by) = fit(&[account(1, 60, 0), account(2, 10, 0)], 41);
        assert_eq!((worst, by), (Fit::Over, vec![applying[0].id, applying[1].id]));
        let (worst, by) = fit(&[account(1, 0, 90), account(2, 10, 0)], 40);
        assert_eq!((worst, by), (Fit::NotNow, vec![applying[0].id]));
    }

    #[test]
    fn a_refusal_says_what_was_spent_what_is_allowed_and_until_when() {
        let words = in_words(&budget(1, 12_500_000, true), Money(12_400_000), Money(200_000));
        assert_eq!(
            words,
            "The budget “Whole organization, per day” has no room for the next call, which could cost $0.20: $12.40 \
             of $12.50 is spent. It begins anew on 27 Nov 2026, 00:00 UTC. An admin or owner can let the task go on."
        );
        let call = Applying { subject: Subject::Call, period: Period::Each, ..budget(1, 100_000, true) };
        assert!(in_words(&call, Money::ZERO, Money(200_000)).starts_with("One call may cost $0.10 at most"));
    }
}
