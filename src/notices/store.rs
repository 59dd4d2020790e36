//! What people have not been told of, whom to tell, and the mark that they were.

use sqlx::PgPool;

use super::{FailedRun, Recipient, Spent, Waiting};
use crate::{
    budgets,
    db::TenantTx,
    kernel::{ApprovalId, BudgetId, Money, OrgId, Result, RunId, Timestamp, UserId, WorkflowId},
};

/// Approvals that have waited so long and that nobody was told of, of all organizations.
pub(super) async fn waiting(keeper: &PgPool, minutes: i32, most: i64) -> Result<Vec<(OrgId, ApprovalId)>> {
    let rows = sqlx::query!(
        r#"select organization_id as "org: OrgId", id as "id: ApprovalId" from approvals
           where state = 'pending' and noticed_at is null and created_at <= now() - make_interval(mins => $1)
           order by created_at
           limit $2"#,
        minutes,
        most,
    )
    .fetch_all(keeper)
    .await?;
    Ok(rows.into_iter().map(|row| (row.org, row.id)).collect())
}

/// Runs that failed within the last day and that nobody was told of, of all organizations.
pub(super) async fn failed(keeper: &PgPool, most: i64) -> Result<Vec<(OrgId, RunId)>> {
    let rows = sqlx::query!(
        r#"select organization_id as "org: OrgId", id as "id: RunId" from runs
           where state = 'failed' and failure_noticed_at is null and finished_at > now() - interval '1 day'
           order by finished_at
           limit $1"#,
        most,
    )
    .fetch_all(keeper)
    .await?;
    Ok(rows.into_iter().map(|row| (row.org, row.id)).collect())
}

/// Marks an approval as told of. `None` when it was decided or told of meanwhile.
pub(super) async fn mark_approval(tx: &mut TenantTx, id: ApprovalId) -> Result<Option<Waiting>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        Waiting,
        r#"with told as (
             update approvals set noticed_at = now()
             where organization_id = $1 and id = $2 and state = 'pending' and noticed_at is null
             returning run_id, title, created_at, expires_at
           )
           select t.title, null as "assigned_by?: String", w.name as workflow, o.slug, t.created_at, t.expires_at
           from told t
           join organizations o on o.id = $1
           join runs r on r.organization_id = $1 and r.id = t.run_id
           join workflows w on w.organization_id = $1 and w.id = r.workflow_id"#,
        org,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Approvals that somebody was asked to decide who was not told of it, of all organizations.
pub(super) async fn assigned(keeper: &PgPool, most: i64) -> Result<Vec<(OrgId, ApprovalId)>> {
    let rows = sqlx::query!(
        r#"select organization_id as "org: OrgId", id as "id: ApprovalId" from approvals
           where state = 'pending' and assigned_to is not null and assigned_noticed_at is null
           order by assigned_at
           limit $1"#,
        most,
    )
    .fetch_all(keeper)
    .await?;
    Ok(rows.into_iter().map(|row| (row.org, row.id)).collect())
}

/// Marks whoever was asked to decide as told of it, and the approval with them; says when they were asked. `None` when they were told meanwhile.
pub(super) async fn mark_assignment(tx: &mut TenantTx, id: ApprovalId) -> Result<Option<(Waiting, Timestamp)>> {
    let org = tx.org().uuid();
    let row = sqlx::query!(
        r#"with told as (
             update approvals set assigned_noticed_at = now(), noticed_at = coalesce(noticed_at, now())
             where organization_id = $1 and id = $2 and state = 'pending' and assigned_to is not null
               and assigned_noticed_at is null
             returning run_id, title, assigned_by, assigned_at, created_at, expires_at
           )
           select t.title, t.assigned_by, w.name as workflow, o.slug, t.created_at, t.expires_at,
                  coalesce(t.assigned_at, t.created_at) as "assigned_at!"
           from told t
           join organizations o on o.id = $1
           join runs r on r.organization_id = $1 and r.id = t.run_id
           join workflows w on w.organization_id = $1 and w.id = r.workflow_id"#,
        org,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| {
        let waiting = Waiting {
            title: row.title,
            assigned_by: row.assigned_by,
            workflow: row.workflow,
            slug: row.slug,
            created_at: row.created_at,
            expires_at: row.expires_at,
        };
        (waiting, row.assigned_at)
    }))
}

/// Who was asked to decide an approval, if they want e-mail and are still a member.
pub(super) async fn assignee(tx: &mut TenantTx, id: ApprovalId) -> Result<Option<Recipient>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        Recipient,
        r#"select u.id as "user: UserId", u.email
           from approvals a
           join memberships m on m.organization_id = a.organization_id and m.user_id = a.assigned_to
           join users u on u.id = m.user_id
           where a.organization_id = $1 and a.id = $2 and u.email_notices"#,
        org,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Those who may decide an approval and want e-mail: as the inbox knows them. Where one of them was asked to, that one.
pub(super) async fn deciders(tx: &mut TenantTx, id: ApprovalId) -> Result<Vec<Recipient>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        Recipient,
        r#"select u.id as "user: UserId", u.email
           from approvals a
           join runs r on r.organization_id = a.organization_id and r.id = a.run_id
           join memberships m on m.organization_id = a.organization_id
           join users u on u.id = m.user_id
           where a.organization_id = $1
             and a.id = $2
             and u.email_notices
             and may_decide(a, r.started_by, 'user:' || m.user_id::text, lower(u.email), m.role)
             and not is_with_another(a, r.started_by, m.user_id)
           order by u.id"#,
        org,
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Marks a failed run as told of. `None` when it was told of meanwhile.
pub(super) async fn mark_failure(tx: &mut TenantTx, id: RunId) -> Result<Option<FailedRun>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        FailedRun,
        r#"with told as (
             update runs set failure_noticed_at = now()
             where organization_id = $1 and id = $2 and state = 'failed' and failure_noticed_at is null
             returning workflow_id, title, error
           )
           select t.title, w.name as workflow, o.slug, t.error ->> 'message' as message
           from told t
           join organizations o on o.id = $1
           join workflows w on w.organization_id = $1 and w.id = t.workflow_id"#,
        org,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Who answers for a run and wants e-mail: the person who started it, or, where a schedule did, owners and
/// administrators. Nobody for a program's run or a test.
pub(super) async fn answerable(tx: &mut TenantTx, id: RunId) -> Result<Vec<Recipient>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        Recipient,
        r#"select u.id as "user: UserId", u.email
           from runs r
           join memberships m on m.organization_id = r.organization_id
           join users u on u.id = m.user_id
           where r.organization_id = $1
             and r.id = $2
             and u.email_notices
             and case
                     when r.trigger in ('person', 'retry', 'rerun', 'fork') then r.started_by = 'user:' || u.id
                     when r.trigger = 'schedule' then m.role in ('owner', 'admin')
                     else false
                 end
           order by u.id"#,
        org,
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Budgets of a period that have passed a mark that nobody was told of, with their accounts, of all organizations.
pub(super) async fn spent(keeper: &PgPool, most: i64) -> Result<Vec<(OrgId, BudgetId, String)>> {
    let rows = sqlx::query!(
        r#"select b.organization_id as "org: OrgId", b.id as "id: BudgetId", a.account
           from budgets b
           join budget_accounts a
             on a.organization_id = b.organization_id and a.budget_id = b.id
            and a.account = budget_account(b.period, null)
           where b.enabled and budget_level(b.limit_micros, a.spent_micros, a.refused_at) > a.noticed
           limit $1"#,
        most,
    )
    .fetch_all(keeper)
    .await?;
    Ok(rows.into_iter().map(|row| (row.org, row.id, row.account)).collect())
}

/// Marks a budget's account as told of. `None` when it was told of meanwhile.
pub(super) async fn mark_budget(tx: &mut TenantTx, id: BudgetId, account: &str) -> Result<Option<Spent>> {
    let org = tx.org().uuid();
    let row = sqlx::query!(
        r#"with told as (
             update budget_accounts a set noticed = budget_level(b.limit_micros, a.spent_micros, a.refused_at)
             from budgets b
             where a.organization_id = $1 and a.budget_id = $2 and a.account = $3
               and b.organization_id = $1 and b.id = $2 and b.enabled
               and budget_level(b.limit_micros, a.spent_micros, a.refused_at) > a.noticed
             returning b.subject, b.agent_key, b.workflow_id, b.period, b.limit_micros, a.spent_micros, a.noticed
           )
           select t.subject, t.agent_key, t.workflow_id as "workflow_id: WorkflowId", t.period, t.limit_micros,
                  t.spent_micros, t.noticed, o.slug, coalesce(g.name, w.name) as name,
                  budget_resets_at(t.period) as "resets_at: Timestamp"
           from told t
           join organizations o on o.id = $1
           left join agents g on g.organization_id = $1 and g.key = t.agent_key
           left join workflows w on w.organization_id = $1 and w.id = t.workflow_id"#,
        org,
        id.uuid(),
        account,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Spent {
        subject: budgets::subject_of(&row.subject, row.agent_key, row.workflow_id)?,
        name: row.name,
        period: budgets::period_of(&row.period)?,
        slug: row.slug,
        percent: row.noticed,
        spent: Money(row.spent_micros),
        limit: Money(row.limit_micros),
        resets_at: row.resets_at,
    }))
}

/// Those who may set budgets and want e-mail.
pub(super) async fn treasurers(tx: &mut TenantTx) -> Result<Vec<Recipient>> {
    let org = tx.org().uuid();
    Ok(sqlx::query_as!(
        Recipient,
        r#"select u.id as "user: UserId", u.email
           from memberships m
           join users u on u.id = m.user_id
           where m.organization_id = $1 and m.role in ('owner', 'admin') and u.email_notices
           order by u.id"#,
        org,
    )
    .fetch_all(tx.conn())
    .await?)
}
