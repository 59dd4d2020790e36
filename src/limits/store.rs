//! The limits' table. It is read and written on behalf of runs, under the engine's role, each row by its organization.

use sqlx::PgPool;

use super::LimitKey;
use crate::kernel::{OrgId, Result, Timestamp};

/// Those of the sides that nobody is to call, and until when.
pub(super) async fn blocked(pool: &PgPool, org: OrgId, keys: &[LimitKey]) -> Result<Vec<(String, Timestamp)>> {
    let keys: Vec<String> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "select key, blocked_until from rate_limits
          where organization_id = $1 and key = any($2) and blocked_until > now()",
        org.uuid(),
        &keys,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.blocked_until)).collect())
}

/// Notes that a side asked to be left alone for so many seconds. What was asked before and lasts longer stands; what is
/// long past goes.
pub(super) async fn block(pool: &PgPool, org: OrgId, key: &LimitKey, seconds: f64) -> Result<()> {
    sqlx::query!(
        "with past as (
           delete from rate_limits
            where organization_id = $1 and key <> $2 and blocked_until < now() - interval '1 hour'
         )
         insert into rate_limits as r (organization_id, key, blocked_until)
         values ($1, $2, now() + make_interval(secs => $3))
         on conflict (organization_id, key) do update
         set blocked_until = greatest(r.blocked_until, excluded.blocked_until), told_at = now()",
        org.uuid(),
        key.as_str(),
        seconds,
    )
    .execute(pool)
    .await?;
    Ok(())
}
