//! The benchmark's own statements: copies of runs, the floors' writes, what the database counted. Checked when they run,
//! not when they are compiled: they are no part of the product.

use agentflow::{
    db::TenantTx,
    kernel::{OrgId, RunId},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{floor::Part, stats::Counted};
use crate::startup::Trouble;

/// A row of the journal, as it is written.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EventRow {
    /// Its number.
    pub seq: i64,
    /// Its name.
    pub kind: String,
    /// Its step.
    #[sqlx(rename = "step_id")]
    pub step: Option<String>,
    /// The rest, JSON as text.
    pub data: String,
}

/// A step's row, as it is written.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StepRow {
    /// Its path.
    pub id: String,
    /// Its node.
    pub node_id: String,
    /// What it is.
    pub kind: String,
    /// What is shown.
    pub name: String,
    /// Its place.
    pub ordinal: i32,
    /// Its state.
    pub state: String,
    /// Its input, JSON as text.
    pub input: Option<String>,
    /// Its output, JSON as text.
    pub output: Option<String>,
    /// Its notes, JSON as text.
    pub detail: String,
}

fn failed(error: sqlx::Error) -> Trouble {
    Trouble::new(format!("A statement of the benchmark failed: {error}."), "")
}

/// PostgreSQL's version.
pub async fn version(pool: &PgPool) -> Result<String, Trouble> {
    sqlx::query_scalar("show server_version").fetch_one(pool).await.map_err(failed)
}

/// Copies of a run that nobody has taken up, with its one event.
pub async fn copy_run(pool: &PgPool, org: OrgId, run: RunId, copies: &[RunId]) -> Result<(), Trouble> {
    let copies: Vec<Uuid> = copies.iter().map(|run| run.uuid()).collect();
    sqlx::query(
        "with copies as (
           insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                             started_by_name, input, last_seq, wake_at)
           select r.organization_id, c.id, r.workflow_id, r.workflow_version, r.plan_sha256, r.title, r.trigger,
                  r.started_by, r.started_by_name, r.input, r.last_seq, now()
             from runs r, unnest($3::uuid[]) c (id) where r.organization_id = $1 and r.id = $2
           returning id
         )
         insert into run_events (organization_id, run_id, seq, kind, step_id, data)
         select e.organization_id, c.id, e.seq, e.kind, e.step_id, e.data
           from run_events e, copies c where e.organization_id = $1 and e.run_id = $2",
    )
    .bind(org.uuid())
    .bind(run.uuid())
    .bind(&copies)
    .execute(pool)
    .await
    .map(drop)
    .map_err(failed)
}

/// What the engine wrote for a run: its events after the first, and its steps.
pub async fn recorded(pool: &PgPool, org: OrgId, run: RunId) -> Result<(Vec<EventRow>, Vec<StepRow>), Trouble> {
    let events = sqlx::query_as(
        "select seq, kind, step_id, data::text as data from run_events
          where organization_id = $1 and run_id = $2 and seq > 1 order by seq",
    );
    let events = events.bind(org.uuid()).bind(run.uuid()).fetch_all(pool).await.map_err(failed)?;
    let steps = sqlx::query_as(
        "select id, node_id, kind, name, ordinal, state, input::text as input, output::text as output,
                detail::text as detail
           from steps where organization_id = $1 and run_id = $2 order by ordinal",
    );
    Ok((events, steps.bind(org.uuid()).bind(run.uuid()).fetch_all(pool).await.map_err(failed)?))
}

/// Makes a node known that the floors' runs belong to.
pub async fn floor_node(pool: &PgPool) -> Result<Uuid, Trouble> {
    let statement = "insert into nodes (id, host, lease_until) values (gen_random_uuid(), 'floor', now() + '1 hour')
                     returning id";
    sqlx::query_scalar(statement).fetch_one(pool).await.map_err(failed)
}

/// Takes that node off the list.
pub async fn forget(pool: &PgPool, node: Uuid) -> Result<(), Trouble> {
    sqlx::query("delete from nodes where id = $1").bind(node).execute(pool).await.map(drop).map_err(failed)
}

/// Makes runs the floor's, as a claim does.
pub async fn take(pool: &PgPool, org: OrgId, owner: Uuid, runs: &[RunId]) -> Result<(), Trouble> {
    let runs: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
    let statement = "update runs set owner = $2, fence = fence + 1, wake_at = null
                      where organization_id = $1 and id = any($3) and owner is null";
    sqlx::query(statement).bind(org.uuid()).bind(owner).bind(&runs).execute(pool).await.map(drop).map_err(failed)
}

/// Starts a run for the floor: the rows of a start, in one statement.
pub async fn start(pool: &PgPool, org: OrgId, like: RunId, run: RunId, plan: &str) -> Result<(), Trouble> {
    sqlx::query(
        "with plan as (
           insert into artifacts (organization_id, sha256, bytes, body)
           values ($1, sha256($4::text::bytea), length($4::text), $4::text::jsonb) on conflict do nothing
         ),
         made as (
           insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                             started_by_name, input, last_seq)
           select r.organization_id, $3, r.workflow_id, r.workflow_version, r.plan_sha256, r.title, r.trigger,
                  r.started_by, r.started_by_name, r.input, 1
             from runs r where r.organization_id = $1 and r.id = $2
         )
         insert into run_events (organization_id, run_id, seq, kind, step_id, data)
         values ($1, $3, 1, 'run.queued', null, '{\"type\": \"run.queued\", \"by\": \"Ben\"}')",
    )
    .bind(org.uuid())
    .bind(like.uuid())
    .bind(run.uuid())
    .bind(plan)
    .execute(pool)
    .await
    .map(drop)
    .map_err(failed)
}

/// Writes one part of many runs in one statement.
pub async fn write(pool: &PgPool, org: OrgId, owner: Uuid, part: &Part, runs: &[RunId]) -> Result<(), Trouble> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
    let events = |of: fn(&EventRow) -> Option<&str>| -> Vec<Option<&str>> { part.events.iter().map(of).collect() };
    let inserts = |of: fn(&StepRow) -> Option<&str>| -> Vec<Option<&str>> { part.inserts.iter().map(of).collect() };
    let updates = |of: fn(&StepRow) -> Option<&str>| -> Vec<Option<&str>> { part.updates.iter().map(of).collect() };
    let ended = part.state == "succeeded";
    sqlx::query(
        "with r as (
           update runs set last_seq = last_seq + $4, state = $5, started_at = coalesce(started_at, now()),
                  output = case when $6 then '\"done\"' else output end,
                  finished_at = case when $6 then now() end, owner = case when $5 = 'running' then $3::uuid end, wake_at = null
            where organization_id = $1 and id = any($2)
         ),
         e as (
           insert into run_events (organization_id, run_id, seq, kind, step_id, data)
           select $1, run, seq, kind, step, data::jsonb
             from unnest($2) run, unnest($7::bigint[], $8::text[], $9::text[], $10::text[]) e (seq, kind, step, data)
         ),
         u as (
           update steps s set state = t.state, output = t.output::jsonb,
                  finished_at = case when t.state = 'succeeded' then now() end
             from unnest($2) run, unnest($11::text[], $12::text[], $13::text[]) t (id, state, output)
            where s.organization_id = $1 and s.run_id = run and s.id = t.id
         )
         insert into steps (organization_id, run_id, id, node_id, kind, name, ordinal, state, attempt, input, output,
                            detail, started_at, finished_at)
         select $1, run, t.id, t.node_id, t.kind, t.name, t.ordinal, t.state, 1, t.input::jsonb, t.output::jsonb,
                t.detail::jsonb, now(), case when t.state = 'succeeded' then now() end
           from unnest($2) run,
                unnest($14::text[], $15::text[], $16::text[], $17::text[], $18::int[], $19::text[], $20::text[],
                       $21::text[], $22::text[])
                  t (id, node_id, kind, name, ordinal, state, input, output, detail)",
    )
    .bind(org.uuid())
    .bind(&ids)
    .bind(owner)
    .bind(part.events.len() as i64)
    .bind(part.state)
    .bind(ended)
    .bind(part.events.iter().map(|event| event.seq).collect::<Vec<_>>())
    .bind(events(|event| Some(&event.kind)))
    .bind(events(|event| event.step.as_deref()))
    .bind(events(|event| Some(&event.data)))
    .bind(updates(|step| Some(&step.id)))
    .bind(updates(|step| Some(&step.state)))
    .bind(updates(|step| step.output.as_deref()))
    .bind(inserts(|step| Some(&step.id)))
    .bind(inserts(|step| Some(&step.node_id)))
    .bind(inserts(|step| Some(&step.kind)))
    .bind(inserts(|step| Some(&step.name)))
    .bind(part.inserts.iter().map(|step| step.ordinal).collect::<Vec<_>>())
    .bind(inserts(|step| Some(&step.state)))
    .bind(inserts(|step| step.input.as_deref()))
    .bind(inserts(|step| step.output.as_deref()))
    .bind(inserts(|step| Some(&step.detail)))
    .execute(pool)
    .await
    .map(drop)
    .map_err(failed)
}

/// Copies of a run that waits, with its events and steps.
pub async fn copy_waiting(pool: &PgPool, org: OrgId, run: RunId, count: usize) -> Result<(), Trouble> {
    sqlx::query(
        "with copies as (
           insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                             started_by_name, input, state, waiting_on, started_at, last_seq, fence, wake_at)
           select r.organization_id, gen_random_uuid(), r.workflow_id, r.workflow_version, r.plan_sha256, r.title,
                  r.trigger, r.started_by, r.started_by_name, r.input, r.state, r.waiting_on, r.started_at, r.last_seq,
                  r.fence, r.wake_at
             from runs r, generate_series(1, $3) where r.organization_id = $1 and r.id = $2
           returning id
         ),
         events as (
           insert into run_events (organization_id, run_id, seq, kind, step_id, data)
           select e.organization_id, c.id, e.seq, e.kind, e.step_id, e.data
             from run_events e, copies c where e.organization_id = $1 and e.run_id = $2
         )
         insert into steps (organization_id, run_id, id, node_id, kind, name, ordinal, state, attempt, input, output,
                            detail, wake_at)
         select s.organization_id, c.id, s.id, s.node_id, s.kind, s.name, s.ordinal, s.state, s.attempt, s.input,
                s.output, s.detail, s.wake_at
           from steps s, copies c where s.organization_id = $1 and s.run_id = $2",
    )
    .bind(org.uuid())
    .bind(run.uuid())
    .bind(count as i64)
    .execute(pool)
    .await
    .map(drop)
    .map_err(failed)
}

/// Lets the moment that runs wait for be now.
pub async fn wake(pool: &PgPool, org: OrgId, runs: &[RunId]) -> Result<(), Trouble> {
    let runs: Vec<Uuid> = runs.iter().map(|run| run.uuid()).collect();
    for statement in [
        "update steps set wake_at = now() where organization_id = $1 and run_id = any($2) and state = 'waiting'",
        "update runs set wake_at = now() where organization_id = $1 and id = any($2)",
    ] {
        sqlx::query(statement).bind(org.uuid()).bind(&runs).execute(pool).await.map_err(failed)?;
    }
    Ok(())
}

/// Keeps a run that is being started from being taken up, until it is woken.
pub async fn hold(tx: &mut TenantTx, run: RunId) -> Result<(), Trouble> {
    let statement = "update runs set owner = null, wake_at = null where organization_id = $1 and id = $2";
    let org = tx.org().uuid();
    sqlx::query(statement).bind(org).bind(run.uuid()).execute(tx.conn()).await.map(drop).map_err(failed)
}

/// Ends whatever has not ended, so that the next workload has the node for itself.
pub async fn end_all(pool: &PgPool, org: OrgId) -> Result<(), Trouble> {
    let statement = "update runs set state = 'cancelled', wake_at = null, owner = null
                      where organization_id = $1 and state not in ('succeeded', 'failed', 'cancelled')";
    sqlx::query(statement).bind(org.uuid()).execute(pool).await.map(drop).map_err(failed)
}

/// What the database has counted of sessions that have ended.
pub async fn counted(pool: &PgPool) -> Result<Counted, Trouble> {
    // A field that this version of PostgreSQL does not have is null.
    let row: (f64, f64, Option<f64>) = sqlx::query_as(
        "select (select xact_commit::float8 from pg_stat_database where datname = current_database()),
                (pg_current_wal_insert_lsn() - '0/0')::float8,
                (select (to_jsonb(w) ->> 'wal_sync')::float8 from pg_stat_wal w)",
    )
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    Ok(Counted { transactions: row.0, wal_bytes: row.1, wal_syncs: row.2 })
}

/// Tells the planner what is in the tables, as autovacuum does in a server's first minutes.
pub async fn analyze(url: &str) -> Result<(), Trouble> {
    batch(url, "analyze").await
}

/// Makes the table that pgbench writes to.
pub async fn make_pgbench_table(superuser: &str) -> Result<(), Trouble> {
    let table = "create table bench_rows (id bigserial primary key, state text not null, data jsonb not null,
                                          at timestamptz not null default now())";
    batch(superuser, table).await
}

/// Fills the tables with ended runs of 20 events and 5 steps each, without the triggers that would check each row.
pub async fn fill(superuser: &str, org: OrgId, events: u64) -> Result<(), Trouble> {
    let org = org.uuid();
    let runs = (events / 20).max(1);
    let statements = format!(
        "set session_replication_role = replica;
         create temporary table old as select gen_random_uuid() as id, n from generate_series(1, {runs}) n;
         insert into runs (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
                           started_by_name, input, state, created_at, started_at, finished_at, last_seq, fence, output)
         select r.organization_id, o.id, r.workflow_id, r.workflow_version, r.plan_sha256, r.title, r.trigger,
                r.started_by, r.started_by_name, r.input, 'succeeded', now() - o.n * interval '10 seconds',
                now() - o.n * interval '10 seconds', now() - o.n * interval '10 seconds', 20, 1, '\"done\"'
           from old o, (select * from runs where organization_id = '{org}' limit 1) r;
         insert into steps (organization_id, run_id, id, node_id, kind, name, ordinal, state, attempt, input, output,
                            started_at, finished_at)
         select '{org}', o.id, 'step' || s, 'step' || s, 'tool', 'step' || s, s, 'succeeded', 1,
                jsonb_build_object('from', 'step' || s), jsonb_build_object('from', 'step' || s), now(), now()
           from old o, generate_series(1, 5) s;
         insert into run_events (organization_id, run_id, seq, kind, step_id, data)
         select '{org}', o.id, e, 'step.succeeded', 'step1',
                '{{\"step\": {{\"id\": \"step1\", \"kind\": \"tool\", \"name\": \"step1\", \"about\": \"noop\",
                   \"queued_at\": \"2026-01-01T00:00:00Z\"}}, \"type\": \"step.succeeded\", \"attempt\": 1}}'
           from old o, generate_series(1, 20) e;
         drop table old;"
    );
    batch(superuser, &statements).await?;
    for table in ["runs", "steps", "run_events"] {
        batch(superuser, &format!("vacuum (analyze) {table}")).await?;
    }
    batch(superuser, "checkpoint").await
}

async fn batch(url: &str, statements: &str) -> Result<(), Trouble> {
    let mut connection = PgConnection::connect(url).await.map_err(failed)?;
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}
