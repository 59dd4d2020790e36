//! The cache's tables. They are read and written on behalf of runs, under the engine's role, each row by its organization.

use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    engine::store::{pack, unpack},
    kernel::{OrgId, Result},
};

/// The answer under a key, counted as a hit.
pub(super) async fn find(connection: &mut PgConnection, org: OrgId, key: &[u8]) -> Result<Option<Value>> {
    let stored = sqlx::query_scalar!(
        r#"with found as (
             select answer from call_cache where organization_id = $1 and key = $2 and expires_at > now()
           ),
           counted as (
             insert into call_cache_hours as h (organization_id, hour, hits)
             select $1, date_trunc('hour', now(), 'UTC'), 1 from found
             on conflict (organization_id, hour) do update set hits = h.hits + 1
           )
           select answer as "answer!" from found"#,
        org.uuid(),
        key,
    )
    .fetch_optional(&mut *connection)
    .await?;
    match stored {
        None => Ok(None),
        Some(stored) => unpack(connection, org, stored).await.map(Some),
    }
}

/// Keeps an answer under a key, counted as a miss. Some of those that are past their time go.
pub(super) async fn keep(
    connection: &mut PgConnection,
    org: OrgId,
    key: &[u8],
    answer: &Value,
    seconds: f64,
) -> Result<()> {
    let answer = pack(connection, org, answer).await?;
    sqlx::query!(
        "with past as (
           delete from call_cache where organization_id = $1 and key in (
             select key from call_cache where organization_id = $1 and expires_at <= now() and key <> $2
              limit 100 for update skip locked)
         ),
         counted as (
           insert into call_cache_hours as h (organization_id, hour, misses)
           values ($1, date_trunc('hour', now(), 'UTC'), 1)
           on conflict (organization_id, hour) do update set misses = h.misses + 1
         )
         insert into call_cache (organization_id, key, answer, expires_at)
         values ($1, $2, $3, now() + make_interval(secs => $4))
         on conflict (organization_id, key) do update
         set answer = excluded.answer, created_at = now(), expires_at = excluded.expires_at",
        org.uuid(),
        key,
        answer,
        seconds,
    )
    .execute(connection)
    .await?;
    Ok(())
}
