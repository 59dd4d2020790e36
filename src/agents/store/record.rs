//! What came of tasks, read from the steps that runs keep.

use crate::{
    agents::record::{AgentRecord, Period, Record, TaskKind},
    db::TenantTx,
    kernel::{Money, Result, WorkflowId},
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
    record.by_kind = by_kind(tx, key, period).await?;
    Ok(record)
}

/// The record of one agent by what its tasks were part of, tests and conversations too.
async fn by_kind(tx: &mut TenantTx, key: &str, period: Period) -> Result<Vec<(TaskKind, Record)>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"with tasks as materialized (
               select case when r.trigger <> 'test' then r.workflow_id end as workflow,
                      r.trigger = 'test' and exists (
                          select from agent_turns t
                          where t.organization_id = r.organization_id and (t.run_id = r.id or t.deployed_run_id = r.id)
                      ) as talked,
                      s.state = 'succeeded' and s.detail #>> '{task,given_up}' is null as good,
                      extract(epoch from s.finished_at - s.started_at)::float8 * 1000 as took_ms,
                      (s.detail #>> '{task,cost}')::bigint as cost
               from steps s
               join runs r on r.organization_id = s.organization_id and r.id = s.run_id
               where s.organization_id = $1 and s.agent_key = $2 and s.queued_at >= now() - make_interval(days => $3)
                   and s.state in ('succeeded', 'failed')
           ), figures as (
               select workflow, talked, count(*) as tasks, count(*) filter (where good) as succeeded,
                      round(percentile_cont(0.5) within group (order by took_ms))::bigint as p50_ms,
                      round(percentile_cont(0.95) within group (order by took_ms))::bigint as p95_ms,
                      coalesce(sum(cost), 0)::bigint as cost,
                      percentile_disc(0.5) within group (order by cost) as p50_cost
               from tasks group by workflow, talked
           )
           select f.workflow as "workflow?: WorkflowId", w.name as "name?", f.talked as "talked!", f.tasks as "tasks!",
                  f.succeeded as "succeeded!", f.p50_ms, f.p95_ms, f.cost as "cost!", f.p50_cost
           from figures f
           left join workflows w on w.organization_id = $1 and w.id = f.workflow
           order by f.workflow is null, f.tasks desc, w.name, f.talked desc"#,
        org.uuid(),
        key,
        period.days(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let kind = match (row.workflow, row.talked) {
                (Some(id), _) => TaskKind::Workflow(id, row.name.unwrap_or_default()),
                (None, true) => TaskKind::Conversation,
                (None, false) => TaskKind::Test,
            };
            let figures = Record {
                tasks: row.tasks,
                succeeded: row.succeeded,
                p50_ms: row.p50_ms,
                p95_ms: row.p95_ms,
                cost: Money(row.cost),
                p50_cost: row.p50_cost.map(Money),
            };
            (kind, figures)
        })
        .collect())
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
