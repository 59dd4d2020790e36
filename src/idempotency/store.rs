//! The table of idempotency keys.

use serde_json::Value;

use crate::{db::TenantTx, kernel::Result};

/// An answer that is kept for a repeated request.
pub(super) struct KeptAnswer {
    /// The hash of the body that it answered.
    pub(super) body_sha256: Vec<u8>,
    /// The answer.
    pub(super) response: Value,
}

/// Takes an idempotency key for this transaction. `None` means that it is ours now; else the answer that it stands for.
/// Waits while another transaction is about to take the same key. Keys older than a day are forgotten.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn take_key(
    tx: &mut TenantTx,
    route: &str,
    key: &str,
    body_sha256: &[u8],
    status: i32,
    response: &Value,
) -> Result<Option<KeptAnswer>> {
    let org = tx.org();
    forget_old_keys(tx, route, key).await?;
    let taken = sqlx::query!(
        r#"
        insert into idempotency_keys (organization_id, route, key, body_sha256, status, response)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (organization_id, route, key) do nothing
        "#,
        org.uuid(),
        route,
        key,
        body_sha256,
        status,
        response,
    )
    .execute(tx.conn())
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    Ok(Some(
        sqlx::query_as!(
            KeptAnswer,
            "select body_sha256, response from idempotency_keys where organization_id = $1 and route = $2 and key = $3",
            org.uuid(),
            route,
            key,
        )
        .fetch_one(tx.conn())
        .await?,
    ))
}

async fn forget_old_keys(tx: &mut TenantTx, route: &str, key: &str) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        r#"
        delete from idempotency_keys
        where organization_id = $1
          and (route, key) in (
              select k.route, k.key
              from idempotency_keys k
              where k.organization_id = $1
                and k.created_at < now() - interval '24 hours'
              -- This key for certain, and some of the others while we are here.
              order by (k.route = $2 and k.key = $3) desc
              limit 50
              for update skip locked
          )
        "#,
        org.uuid(),
        route,
        key,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
