//! Setting budgets, and looking at them. What calls do with them is in `ledger`.

use super::{Budget, Period, Subject, store};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    kernel::{BudgetId, Checks, Error, Money, Result},
};

/// The most budgets of an organization.
const MOST: i64 = 200;

/// The budgets and how they stand: those of the whole organization first.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Budget>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// Those of a period that hold something back, what is used up most first, `most` of them; inside of a transaction that
/// reads more.
///
/// # Errors
/// `unavailable`, when the database does not answer.
pub async fn spent(tx: &mut TenantTx, most: i64) -> Result<Vec<Budget>> {
    let mut all = store::list(tx).await?;
    all.retain(|budget| budget.enabled && !budget.subject.is_each());
    all.sort_by_key(|budget| std::cmp::Reverse((budget.refused, budget.standing.percent())));
    all.truncate(usize::try_from(most).unwrap_or_default());
    Ok(all)
}

/// Sets a budget. Subject, period and limit are as a form sends them; a call or run needs no period.
///
/// # Errors
/// `invalid`; `conflict`, when there is one of the same subject and period.
pub async fn create(grant: &Grant<right::Deploy>, subject: &str, period: &str, limit: &str) -> Result<BudgetId> {
    let mut checks = Checks::default();
    let subject = Subject::parse(subject);
    checks
        .take(subject.as_ref().map(|_| ()).ok_or_else(|| Error::invalid("subject", "Choose what the budget bounds.")));
    let is_each = subject.as_ref().is_some_and(Subject::is_each);
    let period = if is_each { Some(Period::Each) } else { Period::parse(period).filter(|one| *one != Period::Each) };
    checks.take(period.map(drop).ok_or_else(|| Error::invalid("period", "Choose a day, a month, or no period.")));
    let limit = checks.take(read_limit(limit));
    checks.done()?;
    let (Some(subject), Some(period)) = (subject, period) else {
        return Err(Error::internal("a budget that was checked has no subject or period"));
    };
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if store::count(&mut tx).await? >= MOST {
        return Err(Error::conflict("budgets.too_many", format!("An organization may have {MOST} budgets at most.")));
    }
    let id = BudgetId::new();
    if !store::insert(&mut tx, id, &subject, period, limit).await? {
        let message = "There is a budget for this already. Change its limit in the list.";
        return Err(Error::conflict("budgets.exists", message).at("subject"));
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), budget = %id, %subject, %limit, by = grant.actor().reference(), "budget set");
    Ok(id)
}

/// Changes a budget's limit, and whether it holds anything back.
///
/// # Errors
/// `invalid`; `not_found`.
pub async fn change(grant: &Grant<right::Deploy>, id: BudgetId, limit: &str, enabled: bool) -> Result<()> {
    let limit = read_limit(limit)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::update(&mut tx, id, limit, enabled).await? {
        return Err(Error::not_found("budget"));
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), budget = %id, %limit, enabled, by = grant.actor().reference(), "budget changed");
    Ok(())
}

/// Removes a budget with all that it has counted.
///
/// # Errors
/// `not_found`.
pub async fn remove(grant: &Grant<right::Deploy>, id: BudgetId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::remove(&mut tx, id).await? {
        return Err(Error::not_found("budget"));
    }
    tx.commit().await?;
    tracing::info!(organization = %grant.org_id(), budget = %id, by = grant.actor().reference(), "budget removed");
    Ok(())
}

/// A limit as it was typed: in dollars, with or without their sign.
fn read_limit(typed: &str) -> Result<Money> {
    Money::parse(typed)
        .filter(|limit| *limit > Money::ZERO)
        .ok_or_else(|| Error::invalid("limit", "Enter an amount in dollars above 0, such as 50 or 1,000.50."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_typed_in_dollars_and_is_above_nothing() {
        assert_eq!(read_limit(" $1,000.50 ").unwrap(), Money(1_000_500_000));
        assert_eq!(read_limit("0.000001").unwrap(), Money(1));
        for wrong in ["", "0", "-5", "NaN", "inf", "1e400", "1,5", "fifty", "$$5"] {
            assert!(read_limit(wrong).is_err(), "{wrong}");
        }
    }
}
