//! What came of tasks, read from the steps that runs keep.

use crate::{
    agents::record::{AgentRecord, Period, Record},
    db::TenantTx,
    kernel::{Money, Result},
};

/// The record of one agent.
pub async fn of_agent(tx: &mut TenantTx, key: &str, period: Period) -> Result<AgentRecord> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"with tasks as materialized (
               select s.detail #>> '{task,model}' as model, (s.detail #>> '{task,version}')::integer as version,
                      s.state = 'succeeded' and s.detail #>> '{task,given_up}' is null as good,
                      extract(epoch from s.finished_at - s.started_at)::float8 * 1000 as took_ms,
                      (s.detail #>> '{task,cost}')::bigint as cost
               from steps s
               join runs r on r.organization_id = s.organization_id and r.id = s.run_id and r.trigger <> 'test'
               where s.organization_id = $1 and s.agent_key = $2 and s.queued_at >= now() - make_interval(days => $3)
                   and s.state in ('succeeded', 'failed')
           )
           select grouping(model) as "not_by_model!", grouping(version) as "not_by_version!", model, version,
                  count(*) as "tasks!", count(*) filter (where good) as "succeeded!",
                  round(percentile_cont(0.5) within group (order by took_ms))::bigint as p50_ms,
                  round(percentile_cont(0.95) within group (order by took_ms))::bigint as p95_ms,
                  coalesce(sum(cost), 0)::bigint as "cost!",
                  percentile_disc(0.5) within group (order by cost) as p50_cost
           from tasks
           group by grouping sets ((), (model), (version))
           order by count(*) desc"#,
        org.uuid(),
        key,
        period.days(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut record = AgentRecord { period, ..AgentRecord::default() };
    for row in rows {
        let figures = Record {
            tasks: row.tasks,
            succeeded: row.succeeded,
            p50_ms: row.p50_ms,
            p95_ms: row.p95_ms,
            cost: Money(row.cost),
            p50_cost: row.p50_cost.map(Money),
        };
        match (row.not_by_model, row.not_by_version) {
            (0, _) => record.by_model.push((row.model.unwrap_or_default(), figures)),
            (_, 0) => record.by_version.push((row.version.unwrap_or_default(), figures)),
            _ => record.all = figures,
        }
    }
    record.by_version.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    Ok(record)
}

/// The records of all agents that had tasks, by key.
pub async fn of_all(tx: &mut TenantTx, period: Period) -> Result<Vec<(String, Record)>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"with tasks as materialized (
               select s.agent_key, s.state = 'succeeded' and s.detail #>> '{task,given_up}' is null as good,
                      extract(epoch from s.finished_at - s.started_at)::float8 * 1000 as took_ms,
                      (s.detail #>> '{task,cost}')::bigint as cost
               from steps s
               join runs r on r.organization_id = s.organization_id and r.id = s.run_id and r.trigger <> 'test'
               where s.organization_id = $1 and s.agent_key is not null
                   and s.queued_at >= now() - make_interval(days => $2) and s.state in ('succeeded', 'failed')
           )
           select agent_key as "agent_key!", count(*) as "tasks!", count(*) filter (where good) as "succeeded!",
                  round(percentile_cont(0.5) within group (order by took_ms))::bigint as p50_ms,
                  round(percentile_cont(0.95) within group (order by took_ms))::bigint as p95_ms,
                  coalesce(sum(cost), 0)::bigint as "cost!",
                  percentile_disc(0.5) within group (order by cost) as p50_cost
           from tasks group by agent_key"#,
        org.uuid(),
        period.days(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let figures = Record {
                tasks: row.tasks,
                succeeded: row.succeeded,
                p50_ms: row.p50_ms,
                p95_ms: row.p95_ms,
                cost: Money(row.cost),
                p50_cost: row.p50_cost.map(Money),
            };
            (row.agent_key, figures)
        })
        .collect())
}
