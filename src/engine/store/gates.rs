//! What becomes of a run's approvals when its owner looks: decisions begin to act, deadlines pass.

use sqlx::{Connection, PgPool};

use super::Claim;
use crate::{
    access::Role,
    engine::{
        machine::{Applied, Escalated, Ruling},
        state::StepId,
    },
    kernel::{ApprovalId, NodeId, Result, Timestamp},
};

/// What has become of a run's approvals.
#[derive(Debug, Default)]
pub struct Settled {
    /// The decisions that have begun to act, those of deadlines included. They are final: nobody can take one back.
    pub applied: Vec<Applied>,
    /// Those that a deadline has handed over and that still wait. All of them, each time: an owner that was lost may not
    /// have written down what it heard.
    pub escalated: Vec<Escalated>,
    /// When the next decision begins to act.
    pub next: Option<Timestamp>,
}

/// Lets what is due happen to a run's approvals, and tells what has become of them.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_approvals(pool: &PgPool, node: NodeId, claim: Claim) -> Result<Settled> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    let owned = sqlx::query_scalar!(
        r#"select true as "owned!" from runs
            where organization_id = $1 and id = $2 and owner = $3 and fence = $4 for share"#,
        org,
        run,
        node.uuid(),
        claim.fence,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if owned.is_none() {
        return Ok(Settled::default());
    }
    // The first deadline of those that are handed over; at the second they are rejected like others.
    sqlx::query!(
        "update approvals
            set decider_role = coalesce(escalate_to, 'admin'), decider_emails = '{}', on_expiry = 'reject',
                escalated_at = now(), expires_at = now() + make_interval(secs => coalesce(deadline_s, 86400)),
                noticed_at = null
          where organization_id = $1 and run_id = $2 and state = 'pending' and on_expiry = 'escalate'
            and expires_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update approvals
            set state = 'expired', decided_at = now(), effective_at = now(), applied_at = now(),
                decided_by_name = 'The deadline'
          where organization_id = $1 and run_id = $2 and state = 'pending' and expires_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update approvals set applied_at = now()
          where organization_id = $1 and run_id = $2 and state in ('approved', 'rejected')
            and applied_at is null and effective_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query!(
        r#"select id, step_id, state, asks_changes, skips, on_expiry, decided_by_name, reason, payload, edited_payload
             from approvals
            where organization_id = $1 and run_id = $2 and applied_at is not null
            order by applied_at, id"#,
        org,
        run,
    )
    .fetch_all(&mut *tx)
    .await?;
    let next = sqlx::query_scalar!(
        "select min(effective_at) from approvals
          where organization_id = $1 and run_id = $2 and state in ('approved', 'rejected') and applied_at is null",
        org,
        run,
    )
    .fetch_one(&mut *tx)
    .await?;
    let handed_over = sqlx::query!(
        r#"select id, step_id, decider_role, expires_at as "expires_at!" from approvals
            where organization_id = $1 and run_id = $2 and state = 'pending' and escalated_at is not null
              and expires_at is not null
            order by escalated_at, id"#,
        org,
        run,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let escalated = handed_over.into_iter().map(|row| Escalated {
        id: ApprovalId::from_uuid(row.id),
        step: StepId::from_text(row.step_id),
        to: row.decider_role.as_deref().and_then(Role::parse).unwrap_or(Role::Admin),
        until: row.expires_at,
    });
    let escalated = escalated.collect();
    let applied = rows
        .into_iter()
        .map(|row| Applied {
            id: ApprovalId::from_uuid(row.id),
            step: StepId::from_text(row.step_id),
            ruling: match (row.state.as_str(), row.on_expiry.as_str()) {
                ("approved", _) if row.skips => Ruling::Skipped,
                ("approved", _) | ("expired", "approve") => Ruling::Approved,
                _ if row.asks_changes => Ruling::ChangesRequested,
                _ => Ruling::Rejected,
            },
            expired: row.state == "expired",
            by: row.decided_by_name.unwrap_or_else(|| "Somebody".to_owned()),
            reason: row.reason,
            payload: row.edited_payload.unwrap_or(row.payload),
        })
        .collect();
    Ok(Settled { applied, escalated, next })
}
