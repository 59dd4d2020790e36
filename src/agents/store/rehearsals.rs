//! The statements of rehearsals.

use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    access::Actor,
    agents::cases::{Check, TestCase, rehearsal::Rehearsal},
    db::TenantTx,
    engine::state::{RunState, StepError, WaitingOn},
    kernel::{AgentId, Error, Money, RehearsalId, Result, RunId, Timestamp},
};

/// A case whose runs have been started.
pub struct Begun {
    /// The case as it was at that moment.
    pub case: TestCase,
    /// The run with the version that may be deployed.
    pub run: RunId,
    /// The run with the one that is.
    pub live: Option<RunId>,
}

/// A case that was tried, with its runs.
pub struct Row {
    pub seq: i32,
    pub name: String,
    pub prompt: String,
    pub check: Check,
    pub run: RunRow,
    pub live: Option<RunRow>,
}

/// As much of a run as a verdict is made of.
pub struct RunRow {
    pub run: RunId,
    pub state: RunState,
    pub waiting_on: Option<WaitingOn>,
    pub output: Option<Value>,
    pub error: Option<String>,
    pub cost: Money,
    pub took_ms: Option<i64>,
}

/// The rehearsal of these versions that is under way, if its cases are those that there are. One that only waits for
/// people is not: they may take their time.
pub async fn under_way(
    tx: &mut TenantTx,
    agent: AgentId,
    version: i32,
    live: Option<i32>,
) -> Result<Option<RehearsalId>> {
    let org = tx.org();
    let id = sqlx::query_scalar!(
        r#"select h.id as "id: RehearsalId"
           from agent_rehearsals h
           where h.organization_id = $1 and h.agent_id = $2 and h.version = $3
             and h.live_version is not distinct from $4
             and exists (
                 select from agent_rehearsal_cases c
                 join runs r on r.organization_id = c.organization_id and r.id in (c.run_id, c.live_run_id)
                 where c.organization_id = h.organization_id and c.rehearsal_id = h.id
                   and r.state not in ('succeeded', 'failed', 'cancelled')
                   and not coalesce(r.state = 'waiting' and r.waiting_on = 'approval', false))
             and not exists (
                 select from agent_test_cases t
                 where t.organization_id = h.organization_id and t.agent_id = h.agent_id and t.updated_at > h.created_at)
             and (select count(*) from agent_test_cases t
                  where t.organization_id = h.organization_id and t.agent_id = h.agent_id)
               = (select count(*) from agent_rehearsal_cases c
                  where c.organization_id = h.organization_id and c.rehearsal_id = h.id)
           order by h.id desc limit 1"#,
        org.uuid(),
        agent.uuid(),
        version,
        live,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(id)
}

/// A rehearsal with its cases.
pub async fn insert(
    tx: &mut TenantTx,
    id: RehearsalId,
    agent: AgentId,
    (version, live): (i32, Option<i32>),
    cases: &[Begun],
    by: &Actor,
) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into agent_rehearsals
             (organization_id, id, agent_id, version, live_version, created_by, created_by_name)
         values ($1, $2, $3, $4, $5, $6, $7)",
        org.uuid(),
        id.uuid(),
        agent.uuid(),
        version,
        live,
        by.reference(),
        by.name(),
    )
    .execute(tx.conn())
    .await?;
    let names: Vec<String> = cases.iter().map(|one| one.case.name.clone()).collect();
    let prompts: Vec<String> = cases.iter().map(|one| one.case.prompt.clone()).collect();
    let checks = cases.iter().map(|one| serde_json::to_value(&one.case.check));
    let checks: Vec<Value> = checks.collect::<Result<_, _>>().map_err(Error::internal)?;
    let runs: Vec<Uuid> = cases.iter().map(|one| one.run.uuid()).collect();
    let live_runs: Vec<Option<Uuid>> = cases.iter().map(|one| one.live.map(RunId::uuid)).collect();
    sqlx::query!(
        "insert into agent_rehearsal_cases
             (organization_id, rehearsal_id, seq, name, prompt, expects, run_id, live_run_id)
         select $1, $2, place, name, prompt, expects, run_id, live_run_id
         from unnest($3::text[], $4::text[], $5::jsonb[], $6::uuid[], $7::uuid[])
             with ordinality as c (name, prompt, expects, run_id, live_run_id, place)",
        org.uuid(),
        id.uuid(),
        &names,
        &prompts,
        &checks,
        &runs,
        &live_runs as _,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Removes all rehearsals of an agent but the newest.
pub async fn keep_newest(tx: &mut TenantTx, agent: AgentId, most: i64) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "delete from agent_rehearsals where (organization_id, id) in (
             select organization_id, id from agent_rehearsals
             where organization_id = $1 and agent_id = $2 order by id desc offset $3)",
        org.uuid(),
        agent.uuid(),
        most,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A rehearsal of a version without its cases; the newest where none is named.
pub async fn find(
    tx: &mut TenantTx,
    agent: AgentId,
    version: i32,
    id: Option<RehearsalId>,
) -> Result<Option<Rehearsal>> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"select id as "id: RehearsalId", version, live_version, created_by_name, created_at
           from agent_rehearsals
           where organization_id = $1 and agent_id = $2 and version = $3 and ($4::uuid is null or id = $4)
           order by id desc limit 1"#,
        org.uuid(),
        agent.uuid(),
        version,
        id.map(RehearsalId::uuid),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Rehearsal {
        id: row.id,
        version: row.version,
        live_version: row.live_version,
        started_by: row.created_by_name,
        started_at: row.created_at,
        cases: Vec::new(),
    }))
}

/// The cases of a rehearsal with what their runs say, answers that stand elsewhere included.
pub async fn rows(tx: &mut TenantTx, id: RehearsalId) -> Result<Vec<Row>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"select c.seq, c.name, c.prompt, c.expects as "expects: Json<Check>",
               r.id as "run: RunId", r.state, r.waiting_on, coalesce(ra.body, r.output) as output, r.error,
               r.cost_micros, r.started_at, r.finished_at,
               l.id as "live_run?: RunId", l.state as "live_state?", l.waiting_on as live_waiting_on,
               coalesce(la.body, l.output) as live_output, l.error as live_error,
               l.cost_micros as "live_cost_micros?", l.started_at as live_started_at, l.finished_at as live_finished_at
           from agent_rehearsal_cases c
           join runs r on r.organization_id = c.organization_id and r.id = c.run_id
           left join artifacts ra
               on ra.organization_id = r.organization_id and ra.sha256 = decode(r.output ->> '$artifact', 'hex')
           left join runs l on l.organization_id = c.organization_id and l.id = c.live_run_id
           left join artifacts la
               on la.organization_id = l.organization_id and la.sha256 = decode(l.output ->> '$artifact', 'hex')
           where c.organization_id = $1 and c.rehearsal_id = $2
           order by c.seq"#,
        org.uuid(),
        id.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|row| {
            let run = RunRow::read(
                (row.run, &row.state, row.waiting_on, row.cost_micros),
                (row.output, row.error),
                (row.started_at, row.finished_at),
            )?;
            let live = match (row.live_run, row.live_state, row.live_cost_micros) {
                (Some(id), Some(state), Some(cost)) => Some(RunRow::read(
                    (id, &state, row.live_waiting_on, cost),
                    (row.live_output, row.live_error),
                    (row.live_started_at, row.live_finished_at),
                )?),
                _ => None,
            };
            Ok(Row { seq: row.seq, name: row.name, prompt: row.prompt, check: row.expects.0, run, live })
        })
        .collect()
}

impl RunRow {
    fn read(
        (run, state, waiting_on, cost): (RunId, &str, Option<String>, i64),
        (output, error): (Option<Value>, Option<Value>),
        (from, to): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Self> {
        let state = RunState::parse(state).ok_or_else(|| Error::internal(format!("no state of runs: {state}")))?;
        let error = error.and_then(|error| serde_json::from_value::<StepError>(error).ok());
        Ok(Self {
            run,
            state,
            waiting_on: waiting_on.as_deref().and_then(WaitingOn::parse),
            output,
            error: error.map(|error| error.message),
            cost: Money(cost),
            took_ms: from.zip(to).map(|(from, to)| (to - from).num_milliseconds()),
        })
    }
}
