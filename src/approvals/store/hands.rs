//! Statements about in whose hands an approval is: who was asked to decide it, and who has put it off.

use super::Viewer;
use crate::{
    db::TenantTx,
    kernel::{ApprovalId, Result, Timestamp, UserId},
};

/// The members who may decide a pending approval, by name, at most two hundred.
///
/// # Errors
/// When the database does not answer.
pub async fn candidates(tx: &mut TenantTx, id: ApprovalId) -> Result<Vec<(UserId, String)>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select u.id as "id: UserId", u.name
        from approvals a
        join runs r on r.organization_id = a.organization_id and r.id = a.run_id
        join memberships m on m.organization_id = a.organization_id
        join users u on u.id = m.user_id
        where a.organization_id = $1
          and a.id = $2
          and a.state = 'pending'
          and may_decide(a, r.started_by, 'user:' || m.user_id::text, lower(u.email), m.role)
        order by u.name, u.id
        limit 200
        "#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Asks a member to decide it, or nobody in particular any more. Gives the member's name; `None` when it does not wait, or
/// they may not decide it. Whoever takes it themselves need not be told. Under the run's lock.
///
/// # Errors
/// When the database does not answer.
pub async fn assign(
    tx: &mut TenantTx,
    viewer: &Viewer,
    id: ApprovalId,
    to: Option<UserId>,
    by: &str,
    at: Timestamp,
) -> Result<Option<String>> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"
        update approvals a
        set assigned_to = $3, assigned_by = case when $3::uuid is not null then $4 end,
            assigned_at = case when $3::uuid is not null then $5::timestamptz end,
            assigned_noticed_at = case when $3::uuid = $6 then $5::timestamptz end,
            -- Given back, it is told of to all who were not told before.
            noticed_at = case
                when $3::uuid = $6 then coalesce(noticed_at, $5::timestamptz)
                when $3::uuid is not null then noticed_at
            end
        from runs r
        where a.organization_id = $1
          and a.id = $2
          and a.state = 'pending'
          and r.organization_id = $1
          and r.id = a.run_id
          and ($3::uuid is null or exists (
                   select from memberships m
                   join users u on u.id = m.user_id
                   where m.organization_id = $1
                     and m.user_id = $3
                     and may_decide(a, r.started_by, 'user:' || m.user_id::text, lower(u.email), m.role)))
        returning coalesce((select u.name from users u where u.id = $3), '') as "name!"
        "#,
        org.uuid(),
        id.uuid(),
        to.map(UserId::uuid),
        by,
        at,
        viewer.id(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Puts it off for one person.
///
/// # Errors
/// When the database does not answer.
pub async fn snooze(tx: &mut TenantTx, id: ApprovalId, user: UserId, until: Timestamp) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        r#"
        insert into approval_snoozes (organization_id, approval_id, user_id, until)
        values ($1, $2, $3, $4)
        on conflict (organization_id, approval_id, user_id) do update set until = excluded.until
        "#,
        org.uuid(),
        id.uuid(),
        user.uuid(),
        until,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Brings it back before its time.
///
/// # Errors
/// When the database does not answer.
pub async fn wake(tx: &mut TenantTx, id: ApprovalId, user: UserId) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "delete from approval_snoozes where organization_id = $1 and approval_id = $2 and user_id = $3",
        org.uuid(),
        id.uuid(),
        user.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// In how many seconds the next one comes back that the person has put off.
///
/// # Errors
/// When the database does not answer.
pub async fn next_return(tx: &mut TenantTx, user: UserId) -> Result<Option<f64>> {
    let org = tx.org();
    Ok(sqlx::query_scalar!(
        r#"
        select extract(epoch from min(until) - clock_timestamp())::double precision as "seconds"
        from approval_snoozes
        where organization_id = $1
          and user_id = $2
          and until > clock_timestamp()
        "#,
        org.uuid(),
        user.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}
