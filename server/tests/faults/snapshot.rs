//! The tables as the operator reads them, past every door of the server.

use std::collections::BTreeMap;

use agentflow::{
    engine::state::RunState,
    kernel::{ApprovalId, RunId, Timestamp},
};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// A run's row.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its state.
    pub state: String,
    /// Its output.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<Value>,
    /// Tokens in and out.
    pub tokens: (i64, i64),
    /// The number of its last event.
    pub last_seq: i64,
    /// When it must have ended.
    pub deadline_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl RunRow {
    /// Whether it has ended.
    pub fn is_end(&self) -> bool {
        RunState::parse(&self.state).is_some_and(RunState::is_end)
    }
}

/// A step's row.
#[derive(Debug, Clone)]
pub struct StepRow {
    /// What it is.
    pub kind: String,
    /// Its state.
    pub state: String,
    /// Its last attempt.
    pub attempt: i32,
    /// What came out.
    pub output: Option<Value>,
    /// Attempts that failed by themselves.
    pub failures: i64,
    /// Tokens in and out.
    pub tokens: (i64, i64),
}

/// A row of the journal.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its number.
    pub seq: i64,
    /// When it was written.
    pub at: Timestamp,
    /// Its name.
    pub kind: String,
    /// The step that it is about.
    pub step: Option<String>,
    /// The whole of it.
    pub data: Value,
}

/// The tables at one moment.
pub struct Snapshot {
    /// Runs by id.
    pub runs: BTreeMap<String, RunRow>,
    /// Steps by run and path.
    pub steps: BTreeMap<String, BTreeMap<String, StepRow>>,
    /// Journals by run.
    pub events: BTreeMap<String, Vec<EventRow>>,
    /// Approvals by id: the run, the state, and the payload that was decided.
    pub approvals: BTreeMap<String, (String, String, Value)>,
}

impl Snapshot {
    /// Reads an organization's tables.
    pub async fn read(pool: &PgPool, org: agentflow::kernel::OrgId) -> Self {
        Self {
            runs: runs(pool, org.uuid()).await,
            steps: steps(pool, org.uuid()).await,
            events: events(pool, org.uuid()).await,
            approvals: approvals(pool, org.uuid()).await,
        }
    }

    /// A step.
    pub fn step(&self, run: &str, step: &str) -> Option<&StepRow> {
        self.steps.get(run)?.get(step)
    }
}

fn run_id(id: Uuid) -> String {
    RunId::from_uuid(id).to_string()
}

type RunColumns = (Uuid, String, Option<Value>, Option<Value>, i64, i64, i64, Option<Timestamp>, Option<Timestamp>);

async fn runs(pool: &PgPool, org: Uuid) -> BTreeMap<String, RunRow> {
    let rows: Vec<RunColumns> = sqlx::query_as(
        "select id, state, output, error, tokens_in, tokens_out, last_seq, deadline_at, finished_at
           from runs where organization_id = $1",
    )
    .bind(org)
    .fetch_all(pool)
    .await
    .expect("the runs");
    rows.into_iter()
        .map(|(id, state, output, error, read, written, last_seq, deadline_at, finished_at)| {
            let tokens = (read, written);
            (run_id(id), RunRow { state, output, error, tokens, last_seq, deadline_at, finished_at })
        })
        .collect()
}

type StepColumns = (Uuid, String, String, String, i32, Option<Value>, i64, i64, i64);

async fn steps(pool: &PgPool, org: Uuid) -> BTreeMap<String, BTreeMap<String, StepRow>> {
    let rows: Vec<StepColumns> = sqlx::query_as(
        "select run_id, id, kind, state, attempt, output, coalesce((detail ->> 'failures')::bigint, 0), tokens_in,
                tokens_out
           from steps where organization_id = $1",
    )
    .bind(org)
    .fetch_all(pool)
    .await
    .expect("the steps");
    let mut steps: BTreeMap<String, BTreeMap<String, StepRow>> = BTreeMap::new();
    for (run, id, kind, state, attempt, output, failures, read, written) in rows {
        let step = StepRow { kind, state, attempt, output, failures, tokens: (read, written) };
        steps.entry(run_id(run)).or_default().insert(id, step);
    }
    steps
}

async fn events(pool: &PgPool, org: Uuid) -> BTreeMap<String, Vec<EventRow>> {
    let rows: Vec<(Uuid, i64, Timestamp, String, Option<String>, Value)> = sqlx::query_as(
        "select run_id, seq, at, kind, step_id, data from run_events where organization_id = $1 order by run_id, seq",
    )
    .bind(org)
    .fetch_all(pool)
    .await
    .expect("the journal");
    let mut events: BTreeMap<String, Vec<EventRow>> = BTreeMap::new();
    for (run, seq, at, kind, step, data) in rows {
        events.entry(run_id(run)).or_default().push(EventRow { seq, at, kind, step, data });
    }
    events
}

async fn approvals(pool: &PgPool, org: Uuid) -> BTreeMap<String, (String, String, Value)> {
    let rows: Vec<(Uuid, Uuid, String, Value)> = sqlx::query_as(
        "select id, run_id, state, coalesce(edited_payload, payload) from approvals where organization_id = $1",
    )
    .bind(org)
    .fetch_all(pool)
    .await
    .expect("the approvals");
    rows.into_iter()
        .map(|(id, run, state, payload)| (ApprovalId::from_uuid(id).to_string(), (run_id(run), state, payload)))
        .collect()
}
