//! Statements about approvals that need several: each yes, and the proposal that they are about. Under the run's lock.

use serde_json::Value;

use super::Viewer;
use crate::{
    db::TenantTx,
    engine::store::digest,
    kernel::{ApprovalId, Result, Timestamp},
};

/// Writes somebody's yes to the proposal as it stands. Whoever has said it already has said it once.
///
/// # Errors
/// When the database does not answer.
pub async fn insert(tx: &mut TenantTx, viewer: &Viewer, id: ApprovalId, name: &str, at: Timestamp) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        r#"
        insert into approval_votes (organization_id, approval_id, voter, voter_name, payload_sha256, created_at)
        select a.organization_id, a.id, person_behind(a.organization_id, $3), $4, a.payload_sha256, $5
        from approvals a
        where a.organization_id = $1
          and a.id = $2
          and a.state = 'pending'
        on conflict do nothing
        "#,
        org.uuid(),
        id.uuid(),
        viewer.actor,
        name,
        at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes somebody's yes away.
///
/// # Errors
/// When the database does not answer.
pub async fn remove(tx: &mut TenantTx, viewer: &Viewer, id: ApprovalId) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "delete from approval_votes
         where organization_id = $1 and approval_id = $2 and voter = person_behind($1, $3)",
        org.uuid(),
        id.uuid(),
        viewer.actor,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes another value the one that all are asked about. Nobody has agreed to it yet.
///
/// # Errors
/// When the database does not answer.
pub async fn replace_proposal(tx: &mut TenantTx, id: ApprovalId, payload: &Value) -> Result<()> {
    let org = tx.org();
    sqlx::query!("delete from approval_votes where organization_id = $1 and approval_id = $2", org.uuid(), id.uuid())
        .execute(tx.conn())
        .await?;
    sqlx::query!(
        r#"
        update approvals
        set edited_payload = nullif($3::jsonb, payload), payload_sha256 = $4
        where organization_id = $1
          and id = $2
          and state = 'pending'
        "#,
        org.uuid(),
        id.uuid(),
        payload,
        digest(payload),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
