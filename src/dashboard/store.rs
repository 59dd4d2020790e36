//! The dashboard's statements. They read what other features write.

use super::{Bucket, Figures, Guide, Moment};
use crate::{
    db::TenantTx,
    kernel::{Money, Result, RunId, Timestamp, WorkflowId},
};

/// The moment of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(tx.conn()).await?)
}

/// The figures of the runs that were accepted from `from` on and before `to`.
///
/// # Errors
/// When the database does not answer.
pub async fn figures(tx: &mut TenantTx, from: Timestamp, to: Timestamp) -> Result<Figures> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"
        select count(*) as "runs!",
               count(*) filter (where state = 'succeeded') as "succeeded!",
               count(*) filter (where state = 'failed') as "failed!",
               round(percentile_cont(0.5) within group (order by took_ms))::bigint as p50_ms,
               round(percentile_cont(0.95) within group (order by took_ms))::bigint as p95_ms,
               coalesce(sum(cost_micros), 0)::bigint as "cost_micros!",
               coalesce(sum(tokens_in + tokens_out), 0)::bigint as "tokens!",
               (select coalesce(sum(hits), 0)::bigint from call_cache_hours
                where organization_id = $1 and hour >= $2 and hour < $3) as "cached!",
               (select coalesce(sum(misses), 0)::bigint from call_cache_hours
                where organization_id = $1 and hour >= $2 and hour < $3) as "not_cached!"
        from (
            select state, cost_micros, tokens_in, tokens_out,
                   case when state in ('succeeded', 'failed')
                        then extract(epoch from finished_at - started_at)::float8 * 1000 end as took_ms
            from runs
            where organization_id = $1 and created_at >= $2 and created_at < $3
        ) as period
        "#,
        org.uuid(),
        from,
        to,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Figures {
        runs: row.runs,
        succeeded: row.succeeded,
        failed: row.failed,
        p50_ms: row.p50_ms,
        p95_ms: row.p95_ms,
        cost: Money(row.cost_micros),
        tokens: row.tokens,
        cached: row.cached,
        not_cached: row.not_cached,
    })
}

/// The outcomes of the runs of a period, in bars of `seconds` counted from its beginning; bars without runs included.
///
/// # Errors
/// When the database does not answer.
pub async fn buckets(tx: &mut TenantTx, from: Timestamp, to: Timestamp, seconds: i64) -> Result<Vec<Bucket>> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Bucket,
        r#"
        select bar.at as "from!",
               bar.at + make_interval(secs => $4) as "to!",
               count(*) filter (where r.state = 'succeeded') as "succeeded!",
               count(*) filter (where r.state = 'failed') as "failed!",
               count(*) filter (where r.state = 'cancelled') as "stopped!",
               count(*) filter (where r.state not in ('succeeded', 'failed', 'cancelled')) as "open!"
        from generate_series($2::timestamptz, $3::timestamptz - interval '1 second', make_interval(secs => $4)) as bar (at)
        left join runs r
          on r.organization_id = $1 and r.created_at >= bar.at and r.created_at < bar.at + make_interval(secs => $4)
        group by bar.at
        order by bar.at
        "#,
        org.uuid(),
        from,
        to,
        seconds as f64,
    )
    .fetch_all(tx.conn())
    .await?)
}

/// What is so at the moment.
///
/// # Errors
/// When the database does not answer.
pub async fn moment(tx: &mut TenantTx) -> Result<Moment> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Moment,
        r#"
        select count(*) filter (where state = 'running') as "running!",
               count(*) filter (where state = 'queued') as "queued!",
               (extract(epoch from now() - min(created_at) filter (where state = 'queued')) * 1000)::bigint as oldest_wait_ms,
               (select count(*) from runs
                where organization_id = $1 and state = 'failed' and created_at >= now() - interval '1 hour') as "failed_lately!"
        from runs
        where organization_id = $1 and state in ('queued', 'running', 'waiting', 'paused', 'cancelling')
        "#,
        org.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// How far the organization has come.
///
/// # Errors
/// When the database does not answer.
pub async fn guide(tx: &mut TenantTx) -> Result<Guide> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Guide,
        r#"
        select (select w.id from workflows w
                where w.organization_id = $1 and w.status <> 'archived'
                  and exists (select from workflow_versions v
                              where v.organization_id = $1 and v.workflow_id = w.id and v.valid)
                order by w.created_at desc limit 1) as "workflow: WorkflowId",
               (select id from runs where organization_id = $1 order by created_at desc, id desc limit 1) as "run: RunId",
               exists (select from runs where organization_id = $1 and state = 'succeeded') as "finished!"
        "#,
        org.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}
