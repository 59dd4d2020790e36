//! What the listener reads: the engine's events of any organization, under the engine's role.

use sqlx::PgPool;

use crate::{
    engine::journal::StoredEvent,
    kernel::{Error, OrgId, Result, RunId, Timestamp},
};

/// A run's events after a number, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn events_after(engine: &PgPool, org: OrgId, run: RunId, after: i64, limit: i64) -> Result<Vec<StoredEvent>> {
    let rows = sqlx::query!(
        r#"
        select seq, at as "at: Timestamp", data
        from run_events
        where organization_id = $1
          and run_id = $2
          and seq > $3
        order by seq
        limit $4
        "#,
        org.uuid(),
        run.uuid(),
        after,
        limit,
    )
    .fetch_all(engine)
    .await?;
    rows.into_iter()
        .map(|row| {
            let event = serde_json::from_value(row.data).map_err(Error::internal)?;
            Ok(StoredEvent { seq: row.seq, at: row.at, event })
        })
        .collect()
}

/// The number of the last event of a run; none where the run is gone.
///
/// # Errors
/// When the database does not answer.
pub async fn last_seq(engine: &PgPool, org: OrgId, run: RunId) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar!("select last_seq from runs where organization_id = $1 and id = $2", org.uuid(), run.uuid())
        .fetch_optional(engine)
        .await?)
}
