//! Ended runs moved to another time: a month of history that was made in a minute. For seeds alone; a run never does it.
//!
//! Under the engine's role and its policies, with each statement naming the organization. The journal is there to be added
//! to, and no role of the product may change it: the right to change these two columns is lent to the engine's role inside
//! of the one transaction and taken back before its end, so nobody else ever sees it lent.

use sqlx::PgPool;

use crate::{
    db,
    kernel::{OrgId, Result, RunId},
};

/// When an ended run is to have been.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// The run.
    pub run: RunId,
    /// How many seconds ago it was accepted.
    pub ago_s: f64,
    /// How many seconds it took from then to its end.
    pub took_s: f64,
}

/// The longest that a statement of it may take: it touches each event of a month.
const LONGEST_S: u32 = 600;

/// Moves runs of an organization that have ended, with their steps and events, in one transaction. What lies between a
/// run's beginning and its end is stretched evenly. Returns how many runs it moved.
///
/// # Errors
/// When the database does not answer, or its user does not own the schema.
pub async fn move_ended(pool: &PgPool, org: OrgId, runs: &[Moved]) -> Result<u64> {
    let ids: Vec<uuid::Uuid> = runs.iter().map(|moved| moved.run.uuid()).collect();
    let ago: Vec<f64> = runs.iter().map(|moved| moved.ago_s).collect();
    let took: Vec<f64> = runs.iter().map(|moved| moved.took_s).collect();
    let mut tx = db::begin(pool).await?;
    sqlx::query!("select set_config('statement_timeout', $1, true)", format!("{LONGEST_S}s"))
        .fetch_one(&mut *tx)
        .await?;
    sqlx::raw_sql(
        "set local role none;
         grant update (at, data) on run_events to agentflow_engine;
         set local role agentflow_engine",
    )
    .execute(&mut *tx)
    .await?;
    // A moment that was only planned keeps its distance; one that came is stretched with the rest.
    sqlx::query!(
        "update run_events e
            set at = m.base + (e.at - m.old) * m.factor,
                data = case
                    when e.data #>> '{step,queued_at}' is null then e.data
                    else jsonb_set(
                        e.data, '{step,queued_at}',
                        to_jsonb(m.base + ((e.data #>> '{step,queued_at}')::timestamptz - m.old) * m.factor)
                    )
                end || jsonb_strip_nulls(jsonb_build_object(
                    'until', m.base + ((e.data ->> 'until')::timestamptz - m.old),
                    'next_at', m.base + ((e.data ->> 'next_at')::timestamptz - m.old)
                ))
           from (
             select r.id, r.created_at as old, now() - make_interval(secs => t.ago_s) as base,
                    t.took_s / greatest(extract(epoch from r.finished_at - r.created_at)::float8, 0.001) as factor
               from unnest($2::uuid[], $3::float8[], $4::float8[]) as t (id, ago_s, took_s)
               join runs r on r.organization_id = $1 and r.id = t.id
              where r.state in ('succeeded', 'failed', 'cancelled')
           ) m
          where e.organization_id = $1 and e.run_id = m.id",
        org.uuid(),
        &ids,
        &ago,
        &took,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update steps s
            set queued_at = m.base + (s.queued_at - m.old) * m.factor,
                started_at = m.base + (s.started_at - m.old) * m.factor,
                finished_at = m.base + (s.finished_at - m.old) * m.factor,
                wake_at = m.base + (s.wake_at - m.old)
           from (
             select r.id, r.created_at as old, now() - make_interval(secs => t.ago_s) as base,
                    t.took_s / greatest(extract(epoch from r.finished_at - r.created_at)::float8, 0.001) as factor
               from unnest($2::uuid[], $3::float8[], $4::float8[]) as t (id, ago_s, took_s)
               join runs r on r.organization_id = $1 and r.id = t.id
              where r.state in ('succeeded', 'failed', 'cancelled')
           ) m
          where s.organization_id = $1 and s.run_id = m.id",
        org.uuid(),
        &ids,
        &ago,
        &took,
    )
    .execute(&mut *tx)
    .await?;
    // The runs last: the statements above go by their times.
    let moved = sqlx::query!(
        "update runs r
            set created_at = now() - make_interval(secs => t.ago_s),
                started_at = now() - make_interval(secs => t.ago_s) + (r.started_at - r.created_at)
                    * (t.took_s / greatest(extract(epoch from r.finished_at - r.created_at)::float8, 0.001)),
                finished_at = now() - make_interval(secs => t.ago_s) + (r.finished_at - r.created_at)
                    * (t.took_s / greatest(extract(epoch from r.finished_at - r.created_at)::float8, 0.001)),
                deadline_at = now() - make_interval(secs => t.ago_s) + (r.deadline_at - r.created_at)
           from unnest($2::uuid[], $3::float8[], $4::float8[]) as t (id, ago_s, took_s)
          where r.organization_id = $1
            and r.id = t.id
            and r.state in ('succeeded', 'failed', 'cancelled')",
        org.uuid(),
        &ids,
        &ago,
        &took,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    // What ended before may be taken in already, as it is searched and counted: that begins anew.
    sqlx::query!("select set_config('app.organization_id', $1, true)", org.uuid().to_string())
        .fetch_one(&mut *tx)
        .await?;
    sqlx::raw_sql(
        "set local role none;
         revoke update (at, data) on run_events from agentflow_engine;
         delete from run_figures where organization_id = current_organization();
         delete from run_texts_upto where organization_id = current_organization()",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(moved)
}
