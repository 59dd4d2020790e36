//! The dashboard's statements. They read what other features write.

use super::{Bar, Bucket, Failing, Figures, Guide, Moment, Span};
use crate::{
    db::TenantTx,
    kernel::{Money, Result, RunId, Timestamp, WorkflowId},
};

/// A period of days, and what is to be known of the moment.
pub struct Days {
    /// The moment of the transaction.
    pub now: Timestamp,
    /// The beginning of the first day.
    pub from: Option<Timestamp>,
    /// The end of the last day.
    pub to: Option<Timestamp>,
    /// Up to which end of a run the figures are taken in.
    pub upto: Option<Timestamp>,
}

/// The moment of the transaction, the beginning of the first day and the end of the last one in a time zone, and the moment
/// up to which the figures of ended runs are taken in.
///
/// # Errors
/// When the database does not answer.
pub async fn days(
    tx: &mut TenantTx,
    first: Option<chrono::NaiveDate>,
    last: Option<chrono::NaiveDate>,
    zone: &str,
) -> Result<Days> {
    let org = tx.org();
    let row = sqlx::query_as!(
        Days,
        r#"select now() as "now!",
                  $1::date::timestamp at time zone $3 as "from?",
                  ($2::date + 1)::timestamp at time zone $3 as "to?",
                  (select at from run_texts_upto where organization_id = $4) as "upto?""#,
        first,
        last,
        zone,
        org.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(row)
}

/// Has the statements of the transaction planned for what they ask: how many runs are not taken in yet makes the difference
/// between reading a few of them and all of a month.
///
/// # Errors
/// When the database does not answer.
pub async fn plan_anew(tx: &mut TenantTx) -> Result<()> {
    sqlx::query!("select set_config('plan_cache_mode', 'force_custom_plan', true)").fetch_one(tx.conn()).await?;
    Ok(())
}

/// The figures of the runs that were accepted from `from` on and before `to`. What ended before `upto` is counted by its
/// figures, and what goes on or ended since by the runs themselves.
///
/// # Errors
/// When the database does not answer.
pub async fn figures(tx: &mut TenantTx, from: Timestamp, to: Timestamp, upto: Option<Timestamp>) -> Result<Figures> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"
        select count(*) as "runs!",
               count(*) filter (where state = 'succeeded') as "succeeded!",
               count(*) filter (where state = 'failed') as "failed!",
               round(percentile_cont(0.5) within group (order by took_ms))::bigint as p50_ms,
               round(percentile_cont(0.95) within group (order by took_ms))::bigint as p95_ms,
               coalesce(sum(cost_micros), 0)::bigint as "cost_micros!",
               coalesce(sum(tokens), 0)::bigint as "tokens!",
               (select coalesce(sum(hits), 0)::bigint from call_cache_hours
                where organization_id = $1 and hour >= $2 and hour < $3) as "cached!",
               (select coalesce(sum(misses), 0)::bigint from call_cache_hours
                where organization_id = $1 and hour >= $2 and hour < $3) as "not_cached!"
        from (
            select state, cost_micros, tokens, took_ms
            from run_figures
            where organization_id = $1 and created_at >= $2 and created_at < $3 and finished_at < $4
            union all
            select state, cost_micros, tokens_in + tokens_out,
                   case when state in ('succeeded', 'failed')
                        then extract(epoch from finished_at - started_at)::float8 * 1000 end
            from runs
            where organization_id = $1 and created_at >= $2 and created_at < $3
              and (state in ('queued', 'running', 'waiting', 'paused', 'cancelling')
                   or finished_at >= coalesce($4::timestamptz, '-infinity'))
        ) as period
        "#,
        org.uuid(),
        from,
        to,
        upto,
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

/// The outcomes of the runs of a period, in bars that begin where hours, days and weeks do in a time zone; bars without
/// runs included, and the first and last one cut at the period.
///
/// # Errors
/// When the database does not answer.
pub async fn bars(tx: &mut TenantTx, span: &Span, bar: Bar, zone: &str) -> Result<Vec<Bucket>> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Bucket,
        r#"
        with edges as (
            select array_agg(distinct at order by at) as at from (
                select unnest(array[$2::timestamptz, $3::timestamptz]) as at
                union all
                select at from generate_series(date_trunc('hour', $2, $5), $3, interval '1 hour') at
                where $4::text = 'hour' and at > $2 and at < $3
                union all
                -- By the clock on the wall, so that a day is as long as it is there.
                select local at time zone $5
                from generate_series(
                    date_trunc(case $4 when 'week' then 'week' else 'day' end, $2 at time zone $5),
                    $3 at time zone $5,
                    case $4 when 'week' then interval '7 days' when 'day' then interval '1 day' else interval '6 hours' end
                ) local
                where $4 <> 'hour' and local at time zone $5 > $2 and local at time zone $5 < $3
            ) all_edges
        ),
        bars as (
            select place, at[place] as since, at[place + 1] as until
            from edges, generate_series(1, cardinality(at) - 1) place
        ),
        counted as (
            select width_bucket(r.created_at, edges.at) as place, r.state, count(*) as runs
            from edges, (
                select created_at, state from run_figures
                where organization_id = $1 and created_at >= $2 and created_at < $3 and finished_at < $6
                union all
                select created_at, state from runs
                where organization_id = $1 and created_at >= $2 and created_at < $3
                  and (state in ('queued', 'running', 'waiting', 'paused', 'cancelling')
                       or finished_at >= coalesce($6::timestamptz, '-infinity'))
            ) r
            group by 1, 2
        )
        select b.since as "from!", b.until as "to!",
               coalesce(sum(c.runs) filter (where c.state = 'succeeded'), 0)::bigint as "succeeded!",
               coalesce(sum(c.runs) filter (where c.state = 'failed'), 0)::bigint as "failed!",
               coalesce(sum(c.runs) filter (where c.state = 'cancelled'), 0)::bigint as "stopped!",
               coalesce(sum(c.runs) filter (where c.state not in ('succeeded', 'failed', 'cancelled')), 0)::bigint
                   as "open!"
        from bars b
        left join counted c on c.place = b.place
        group by b.since, b.until
        order by b.since
        "#,
        org.uuid(),
        span.from,
        span.to,
        bar.as_str(),
        zone,
        span.upto,
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
                where organization_id = $1 and state = 'failed' and created_at >= now() - interval '1 hour'
                  and created_at < now()) as "failed_lately!",
               now() as "now!"
        from runs
        where organization_id = $1 and state in ('queued', 'running', 'waiting', 'paused', 'cancelling')
        "#,
        org.uuid(),
    )
    .fetch_one(tx.conn())
    .await?)
}

/// Workflows whose last runs failed, tests aside: those of the last thirty days that none succeeded after.
///
/// # Errors
/// When the database does not answer.
pub async fn failing(tx: &mut TenantTx, most: i64) -> Result<Vec<Failing>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select w.id as "id: WorkflowId", w.name, f.runs as "runs!", f.since as "since!",
               f.error as "error?"
        from workflows w
        left join lateral (
            select g.created_at as at from runs g
            where g.organization_id = $1 and g.workflow_id = w.id and g.state = 'succeeded' and g.trigger <> 'test'
              and g.created_at >= now() - interval '30 days'
            order by g.created_at desc limit 1
        ) good on true
        cross join lateral (
            select count(*) as runs, min(b.created_at) as since, max(b.created_at) as last,
                   (array_agg(b.error ->> 'message' order by b.created_at desc))[1] as error
            from runs b
            where b.organization_id = $1 and b.workflow_id = w.id and b.state = 'failed' and b.trigger <> 'test'
              and b.created_at > coalesce(good.at, now() - interval '30 days')
        ) f
        where w.organization_id = $1 and w.status <> 'archived' and f.runs > 0
        order by f.last desc
        limit $2
        "#,
        org.uuid(),
        most,
    )
    .fetch_all(tx.conn())
    .await?;
    let failing = rows.into_iter().map(|row| Failing {
        workflow: row.id,
        name: row.name,
        since: row.since,
        runs: row.runs,
        error: row.error.unwrap_or_default(),
    });
    Ok(failing.collect())
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
