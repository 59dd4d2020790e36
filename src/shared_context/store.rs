//! Statements on `context_entries`.

use serde_json::Value;
use uuid::Uuid;

use crate::{db::TenantTx, kernel::Result};

/// A value with its version.
pub(super) struct Entry {
    pub value: Value,
    pub version: i64,
}

/// One writer of a key at a time, to the end of the transaction.
pub(super) async fn lock(tx: &mut TenantTx, scope: Uuid, key: &str) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", format!("context/{scope}/{key}"))
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn find(tx: &mut TenantTx, scope: Uuid, key: &str) -> Result<Option<Entry>> {
    let org = tx.org().uuid();
    let found = sqlx::query_as!(
        Entry,
        "select value, version from context_entries
         where organization_id = $1 and scope = $2 and key = $3 and (expires_at is null or expires_at > now())",
        org,
        scope,
        key,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found)
}

pub(super) async fn put(
    tx: &mut TenantTx,
    scope: Uuid,
    key: &str,
    value: &Value,
    version: i64,
    expires_s: Option<i32>,
) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "insert into context_entries (organization_id, scope, key, value, version, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6::integer))
         on conflict (organization_id, scope, key) do update
         set value = excluded.value, version = excluded.version, expires_at = excluded.expires_at, updated_at = now()",
        org,
        scope,
        key,
        value,
        version,
        expires_s,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Takes a key away, and with it all that is past its time.
pub(super) async fn remove(tx: &mut TenantTx, scope: Uuid, key: Option<&str>) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "delete from context_entries
         where organization_id = $1 and scope = $2 and (key = $3 or expires_at <= now())",
        org,
        scope,
        key,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn count(tx: &mut TenantTx, scope: Uuid) -> Result<i64> {
    let org = tx.org().uuid();
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from context_entries where organization_id = $1 and scope = $2"#,
        org,
        scope,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count)
}

/// Bytes of all values that a run sees.
pub(super) async fn size(tx: &mut TenantTx, run: Uuid) -> Result<i64> {
    let org = tx.org().uuid();
    let size = sqlx::query_scalar!(
        r#"select coalesce(sum(octet_length(value::text)), 0)::bigint as "size!" from context_entries
           where organization_id = $1 and scope in ($1, $2) and (expires_at is null or expires_at > now())"#,
        org,
        run,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(size)
}

/// All values that a run sees, the organization's first, so that the run's own come over them.
pub(super) async fn all(tx: &mut TenantTx, run: Uuid) -> Result<Vec<(String, Value)>> {
    let org = tx.org().uuid();
    let rows = sqlx::query!(
        "select key, value from context_entries
         where organization_id = $1 and scope in ($1, $2) and (expires_at is null or expires_at > now())
         order by scope = $2, key",
        org,
        run,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}
