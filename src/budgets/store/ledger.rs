//! What calls reserve and spend, on behalf of runs and so under the engine's role, each row by its organization.
//!
//! Whoever changes accounts locks all of them first, by budget and name: so nobody waits in a circle.

use sqlx::{PgConnection, PgPool, query, query_scalar};
use uuid::Uuid;

use crate::{
    budgets::ledger::{Account, Applying, CallKey},
    db,
    engine::port::CallScope,
    kernel::{BudgetId, Money, Result, Timestamp, WorkflowId},
};

/// The database's clock.
pub(in crate::budgets) async fn now(pool: &PgPool) -> Result<Timestamp> {
    Ok(query_scalar!(r#"select now() as "now!""#).fetch_one(pool).await?)
}

/// The budgets that a call falls under, those that are switched off included: they count too.
pub(in crate::budgets) async fn applying(pool: &PgPool, scope: &CallScope) -> Result<Vec<Applying>> {
    let rows = query!(
        r#"select b.id as "id: BudgetId", b.subject, b.agent_key, b.workflow_id as "workflow_id: WorkflowId", b.period,
                  b.limit_micros, b.enabled, budget_resets_at(b.period) as "resets_at: Timestamp"
           from budgets b
           where b.organization_id = $1
             and (b.subject in ('call', 'run', 'organization')
                  or b.agent_key = $3
                  or b.workflow_id = (select workflow_id from runs where organization_id = $1 and id = $2))
           order by b.id"#,
        scope.org.uuid(),
        scope.run.uuid(),
        scope.agent,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Applying {
                id: row.id,
                subject: super::subject_of(&row.subject, row.agent_key, row.workflow_id)?,
                period: super::period_of(&row.period)?,
                limit: Money(row.limit_micros),
                enabled: row.enabled,
                resets_at: row.resets_at,
            })
        })
        .collect()
}

/// Makes the running accounts of these budgets, where they are not there yet. A call's bound needs none.
pub(in crate::budgets) async fn open_accounts(
    connection: &mut PgConnection,
    key: &CallKey,
    budgets: &[BudgetId],
) -> Result<()> {
    let budgets: Vec<Uuid> = budgets.iter().map(|id| id.uuid()).collect();
    query!(
        "insert into budget_accounts (organization_id, budget_id, account)
         select b.organization_id, b.id, budget_account(b.period, $3) from budgets b
         where b.organization_id = $1 and b.id = any ($2) and b.subject <> 'call'
         order by b.id
         on conflict do nothing",
        key.org.uuid(),
        &budgets,
        key.run.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the running accounts of these budgets, and those in which an older attempt of the step still has something.
pub(in crate::budgets) async fn lock_accounts(
    connection: &mut PgConnection,
    key: &CallKey,
    budgets: &[BudgetId],
) -> Result<Vec<Account>> {
    let budgets: Vec<Uuid> = budgets.iter().map(|id| id.uuid()).collect();
    let rows = query!(
        r#"with running as materialized (
             select b.id, budget_account(b.period, $3) as account from budgets b
             where b.organization_id = $1 and b.id = any ($2) and b.subject <> 'call'
           ), wanted as materialized (
             select id, account from running
             union
             select budget_id, account from budget_reservations
             where organization_id = $1 and run_id = $3 and step_id = $4 and not released
           )
           select a.budget_id as "budget: BudgetId", a.account, a.spent_micros, a.reserved_micros,
                  exists (select from running r where r.id = a.budget_id and r.account = a.account) as "current!"
           from wanted w
           join budget_accounts a on a.organization_id = $1 and a.budget_id = w.id and a.account = w.account
           order by a.budget_id, a.account
           for update of a"#,
        key.org.uuid(),
        &budgets,
        key.run.uuid(),
        key.step.as_str(),
    )
    .fetch_all(connection)
    .await?;
    let accounts = rows.into_iter().map(|row| Account {
        budget: row.budget,
        name: row.account,
        spent: Money(row.spent_micros),
        reserved: Money(row.reserved_micros),
        current: row.current,
    });
    Ok(accounts.collect())
}

/// Gives back what nobody settled in time, and what older attempts of the step have reserved, in accounts that are
/// locked. Returns how much is reserved now where that has changed.
pub(in crate::budgets) async fn release(
    connection: &mut PgConnection,
    key: &CallKey,
    accounts: &[Account],
) -> Result<Vec<(BudgetId, String, Money)>> {
    let (budgets, names) = names(accounts);
    let rows = query!(
        r#"with gone as (
             update budget_reservations r set released = true
             where r.organization_id = $1 and not r.released
               and (r.budget_id, r.account) in (select * from unnest($2::uuid[], $3::text[]))
               and (r.run_id = $4 and r.step_id = $5 or r.expires_at < now())
             returning r.budget_id, r.account, r.amount_micros
           ), sums as (
             select budget_id, account, sum(amount_micros)::bigint as amount from gone group by budget_id, account
           )
           update budget_accounts a set reserved_micros = a.reserved_micros - s.amount
           from sums s
           where a.organization_id = $1 and a.budget_id = s.budget_id and a.account = s.account
           returning a.budget_id as "budget: BudgetId", a.account, a.reserved_micros"#,
        key.org.uuid(),
        &budgets,
        &names,
        key.run.uuid(),
        key.step.as_str(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.budget, row.account, Money(row.reserved_micros))).collect())
}

/// Reserves an amount in accounts that are locked, until a while after the call is cut off.
pub(in crate::budgets) async fn take(
    connection: &mut PgConnection,
    key: &CallKey,
    accounts: &[Account],
    amount: Money,
    until: Timestamp,
) -> Result<()> {
    let (budgets, names) = names(accounts);
    query!(
        "with taken as (
           update budget_accounts a set reserved_micros = a.reserved_micros + $4
           from unnest($2::uuid[], $3::text[]) as w (budget_id, account)
           where a.organization_id = $1 and a.budget_id = w.budget_id and a.account = w.account
           returning a.budget_id, a.account
         )
         insert into budget_reservations
           (organization_id, run_id, step_id, attempt, fence, budget_id, account, amount_micros, expires_at)
         select $1, $5, $6, $7, $8, t.budget_id, t.account, $4, $9::timestamptz + interval '1 minute' from taken t
         on conflict (organization_id, run_id, step_id, attempt, fence, budget_id) do update
         set account = excluded.account, amount_micros = excluded.amount_micros, expires_at = excluded.expires_at,
             released = false",
        key.org.uuid(),
        &budgets,
        &names,
        amount.micros(),
        key.run.uuid(),
        key.step.as_str(),
        key.attempt.cast_signed(),
        key.fence,
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that these budgets held a call back.
pub(in crate::budgets) async fn mark_refused(
    connection: &mut PgConnection,
    key: &CallKey,
    accounts: &[Account],
    by: &[BudgetId],
) -> Result<()> {
    let accounts: Vec<_> = accounts.iter().filter(|account| by.contains(&account.budget)).cloned().collect();
    let (budgets, names) = names(&accounts);
    query!(
        "update budget_accounts a set refused_at = now()
         from unnest($2::uuid[], $3::text[]) as w (budget_id, account)
         where a.organization_id = $1 and a.budget_id = w.budget_id and a.account = w.account and a.refused_at is null",
        key.org.uuid(),
        &budgets,
        &names,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts what a call did cost, and gives back what is still reserved for it. Done twice, it is done once.
pub(in crate::budgets) async fn settle(pool: &PgPool, key: &CallKey, cost: Money) -> Result<()> {
    let mut tx = db::begin(pool).await?;
    query!(
        "with wanted as materialized (
           select budget_id, account from budget_reservations
           where organization_id = $1 and run_id = $2 and step_id = $3 and attempt = $4 and fence = $5
         )
         select a.budget_id
         from wanted w
         join budget_accounts a on a.organization_id = $1 and a.budget_id = w.budget_id and a.account = w.account
         order by a.budget_id, a.account
         for update of a",
        key.org.uuid(),
        key.run.uuid(),
        key.step.as_str(),
        key.attempt.cast_signed(),
        key.fence,
    )
    .fetch_all(&mut *tx)
    .await?;
    query!(
        "with done as (
           delete from budget_reservations
           where organization_id = $1 and run_id = $2 and step_id = $3 and attempt = $4 and fence = $5
           returning budget_id, account, case when released then 0 else amount_micros end as amount
         )
         update budget_accounts a
         set reserved_micros = a.reserved_micros - d.amount, spent_micros = a.spent_micros + $6
         from done d
         where a.organization_id = $1 and a.budget_id = d.budget_id and a.account = d.account",
        key.org.uuid(),
        key.run.uuid(),
        key.step.as_str(),
        key.attempt.cast_signed(),
        key.fence,
        cost.micros(),
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

fn names(accounts: &[Account]) -> (Vec<Uuid>, Vec<String>) {
    accounts.iter().map(|account| (account.budget.uuid(), account.name.clone())).unzip()
}
