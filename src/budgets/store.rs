//! The statements of budgets: here those of the pages, in `ledger` those of calls.

mod ledger;

use sqlx::{query, query_scalar};

use super::{Budget, Period, Standing, Subject};
use crate::{
    db::TenantTx,
    kernel::{BudgetId, Error, Money, Result, Timestamp, WorkflowId},
};

pub(super) use ledger::{applying, lock_accounts, mark_refused, now, open_accounts, release, settle, take};

/// The budgets and how they stand: what bounds the whole organization first.
pub(super) async fn list(tx: &mut TenantTx) -> Result<Vec<Budget>> {
    let org = tx.org();
    let rows = query!(
        r#"select b.id as "id: BudgetId", b.subject, b.agent_key, b.workflow_id as "workflow_id: WorkflowId",
                  coalesce(g.name, w.name) as name, b.period, b.limit_micros, b.enabled,
                  coalesce(a.spent_micros, 0) as "spent_micros!",
                  (select coalesce(sum(r.amount_micros), 0)::bigint from budget_reservations r
                   where r.organization_id = $1 and r.budget_id = b.id and r.account = a.account
                     and not r.released and r.expires_at > now()) as "reserved_micros!",
                  (a.refused_at is not null) as "refused!",
                  budget_resets_at(b.period) as "resets_at: Timestamp",
                  case b.period
                      when 'total' then b.created_at
                      when 'day' then case when budget_resets_at('day') - b.created_at < '1 day' then b.created_at end
                      when 'month' then case when budget_resets_at('month') - b.created_at < '1 month' then b.created_at end
                  end as "since: Timestamp"
           from budgets b
           left join budget_accounts a
             on a.organization_id = $1 and a.budget_id = b.id and a.account = budget_account(b.period, null)
           left join agents g on g.organization_id = $1 and g.key = b.agent_key
           left join workflows w on w.organization_id = $1 and w.id = b.workflow_id
           where b.organization_id = $1
           order by array_position(array['organization', 'agent', 'workflow', 'run', 'call'], b.subject),
                    lower(coalesce(g.name, w.name)), array_position(array['day', 'month', 'total', 'each'], b.period)"#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Budget {
                id: row.id,
                subject: subject_of(&row.subject, row.agent_key, row.workflow_id)?,
                name: row.name,
                period: period_of(&row.period)?,
                enabled: row.enabled,
                standing: Standing {
                    limit: Money(row.limit_micros),
                    spent: Money(row.spent_micros),
                    reserved: Money(row.reserved_micros),
                },
                refused: row.refused,
                resets_at: row.resets_at,
                since: row.since,
            })
        })
        .collect()
}

/// How many there are.
pub(super) async fn count(tx: &mut TenantTx) -> Result<i64> {
    let org = tx.org();
    Ok(query_scalar!(r#"select count(*) as "count!" from budgets where organization_id = $1"#, org.uuid())
        .fetch_one(tx.conn())
        .await?)
}

/// Makes one. `false`: there is one of the subject and period.
///
/// # Errors
/// `invalid`, when there is no such agent or workflow.
pub(super) async fn insert(
    tx: &mut TenantTx,
    id: BudgetId,
    subject: &Subject,
    period: Period,
    limit: Money,
) -> Result<bool> {
    let org = tx.org();
    let (word, agent, workflow) = match subject {
        Subject::Call => ("call", None, None),
        Subject::Run => ("run", None, None),
        Subject::Organization => ("organization", None, None),
        Subject::Agent(key) => ("agent", Some(key.as_str()), None),
        Subject::Workflow(id) => ("workflow", None, Some(id.uuid())),
    };
    let made = query!(
        "insert into budgets (organization_id, id, subject, agent_key, workflow_id, period, limit_micros)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict do nothing",
        org.uuid(),
        id.uuid(),
        word,
        agent,
        workflow,
        period.as_str(),
        limit.micros(),
    )
    .execute(tx.conn())
    .await
    .map_err(|error| match error.as_database_error() {
        Some(database) if database.is_foreign_key_violation() => {
            Error::invalid("subject", "Choose an agent or workflow of this organization.")
        }
        _ => error.into(),
    })?;
    Ok(made.rows_affected() == 1)
}

/// Changes one. What people were told of stays told, as far as it still holds under the new limit.
pub(super) async fn update(tx: &mut TenantTx, id: BudgetId, limit: Money, enabled: bool) -> Result<bool> {
    let org = tx.org();
    let changed = query!(
        "update budgets set limit_micros = $3, enabled = $4, updated_at = now() where organization_id = $1 and id = $2",
        org.uuid(),
        id.uuid(),
        limit.micros(),
        enabled,
    )
    .execute(tx.conn())
    .await?;
    query!(
        "update budget_accounts a
         set refused_at = null, noticed = least(a.noticed, budget_level($3, a.spent_micros, null))
         from budgets b
         where a.organization_id = $1 and a.budget_id = $2 and b.organization_id = $1 and b.id = $2
           and a.account = budget_account(b.period, null)",
        org.uuid(),
        id.uuid(),
        limit.micros(),
    )
    .execute(tx.conn())
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Removes one with all that it has counted.
pub(super) async fn remove(tx: &mut TenantTx, id: BudgetId) -> Result<bool> {
    let org = tx.org();
    let gone = query!("delete from budgets where organization_id = $1 and id = $2", org.uuid(), id.uuid())
        .execute(tx.conn())
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// The subject of a row.
pub(crate) fn subject_of(word: &str, agent: Option<String>, workflow: Option<WorkflowId>) -> Result<Subject> {
    match (word, agent, workflow) {
        ("call", ..) => Some(Subject::Call),
        ("run", ..) => Some(Subject::Run),
        ("organization", ..) => Some(Subject::Organization),
        ("agent", Some(key), _) => Some(Subject::Agent(key)),
        ("workflow", _, Some(id)) => Some(Subject::Workflow(id)),
        _ => None,
    }
    .ok_or_else(|| Error::internal("budgets.subject holds no subject"))
}

/// The period of a row.
pub(crate) fn period_of(word: &str) -> Result<Period> {
    Period::parse(word).ok_or_else(|| Error::internal("budgets.period holds no period"))
}
