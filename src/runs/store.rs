//! Statements about runs: reading them, and the answers kept for repeated requests. What changes a run is in
//! [`crate::engine::store`].

pub mod compare;
pub mod find;
mod list;
pub mod queue;
mod recorded;
pub mod texts;

use serde_json::Value;
use sqlx::types::Json;

pub use list::{Asked, Choices, Place, Placed, choices, count, found_in, list, moment};
pub use recorded::{plan, plans, recorded, spent, titles};

use super::{LogLine, RunSummary};
use crate::{
    db::TenantTx,
    engine::{
        journal::{Event, LogLevel, RunView, StoredEvent, Usage},
        state::{RunState, StepError, StepId, WaitingOn},
    },
    kernel::{Error, Money, Result, RunId, Timestamp, WorkflowId},
};

struct Row {
    id: RunId,
    title: String,
    workflow_id: WorkflowId,
    workflow_name: String,
    workflow_version: i32,
    state: String,
    waiting_on: Option<String>,
    trigger: String,
    started_by: String,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    tokens_in: i64,
    tokens_out: i64,
    cost_micros: i64,
    error: Option<Json<StepError>>,
    labels: Vec<String>,
}

impl TryFrom<Row> for RunSummary {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            title: row.title,
            workflow_id: row.workflow_id,
            workflow_name: row.workflow_name,
            workflow_version: row.workflow_version,
            state: state(&row.state)?,
            waiting_on: row.waiting_on.as_deref().and_then(WaitingOn::parse),
            trigger: row.trigger,
            started_by: row.started_by,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            usage: Usage {
                tokens_in: row.tokens_in.unsigned_abs(),
                tokens_out: row.tokens_out.unsigned_abs(),
                cost: Money(row.cost_micros),
            },
            error: row.error.map(|error| error.0),
            queued_because: None,
            labels: row.labels,
            found_in: Vec::new(),
        })
    }
}

fn state(word: &str) -> Result<RunState> {
    RunState::parse(word).ok_or_else(|| Error::internal(format!("unknown run state {word}")))
}

/// One line of the list.
///
/// # Errors
/// When the database does not answer.
pub async fn summary(tx: &mut TenantTx, run: RunId) -> Result<Option<RunSummary>> {
    let org = tx.org();
    let row = sqlx::query_as!(
        Row,
        r#"
        select r.id as "id: RunId", r.title, r.workflow_id as "workflow_id: WorkflowId", w.name as workflow_name,
               r.workflow_version, r.state, r.waiting_on, r.trigger, r.started_by_name as started_by,
               r.created_at, r.started_at, r.finished_at, r.tokens_in, r.tokens_out, r.cost_micros,
               r.error as "error: Json<StepError>", r.labels
        from runs r
        join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
        where r.organization_id = $1
          and r.id = $2
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(RunSummary::try_from).transpose()
}

/// What a run is given and gives, as it is stored, and what it is related to.
pub struct Links {
    /// The input, or the reference to it.
    pub input: Value,
    /// The output, or the reference to it.
    pub output: Option<Value>,
    /// The run that it retries.
    pub retry_of: Option<RunId>,
    /// The moment, by the database's clock.
    pub now: Timestamp,
}

/// What a run is given and gives, and what it is related to.
///
/// # Errors
/// When the database does not answer.
pub async fn links(tx: &mut TenantTx, run: RunId) -> Result<Option<Links>> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Links,
        r#"
        select input, output, retry_of as "retry_of: RunId", clock_timestamp() as "now!"
        from runs
        where organization_id = $1
          and id = $2
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// The moment, by the database's clock.
///
/// # Errors
/// When the database does not answer.
pub async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(tx.conn()).await?)
}

/// The runs that do a run again, the newest first, each with its trigger.
///
/// # Errors
/// When the database does not answer.
pub async fn retried_by(tx: &mut TenantTx, run: RunId) -> Result<Vec<(RunId, String)>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select id as "id: RunId", trigger
        from runs
        where organization_id = $1
          and retry_of = $2
        order by created_at desc, id desc
        limit 20
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.trigger)).collect())
}

/// A run's state and the number of its last event.
///
/// # Errors
/// When the database does not answer.
pub async fn progress(tx: &mut TenantTx, run: RunId) -> Result<Option<(RunState, i64)>> {
    let org = tx.org();
    let row =
        sqlx::query!("select state, last_seq from runs where organization_id = $1 and id = $2", org.uuid(), run.uuid())
            .fetch_optional(tx.conn())
            .await?;
    row.map(|row| Ok((state(&row.state)?, row.last_seq))).transpose()
}

/// The events after a number, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn events(tx: &mut TenantTx, run: RunId, after: i64, limit: i64) -> Result<Vec<StoredEvent>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select seq, at, data as "event: Json<Event>"
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
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| StoredEvent { seq: row.seq, at: row.at, event: row.event.0 }).collect())
}

/// The run as its events make it: the same fold as in the browser, so the two can never differ.
///
/// # Errors
/// When the database does not answer.
pub async fn view(tx: &mut TenantTx, run: RunId) -> Result<RunView> {
    let org = tx.org();
    // One statement, so that the last number and the events are of one moment. Lines of the log change nothing in the
    // view and are left where they are.
    let rows = sqlx::query!(
        r#"
        select e.seq, e.at, e.data as "event: Json<Event>", r.last_seq
        from runs r
        join run_events e on e.organization_id = r.organization_id and e.run_id = r.id
        where r.organization_id = $1
          and r.id = $2
          and e.seq <= r.last_seq
          and e.kind not in ('log', 'step.progress')
        order by e.seq
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut view = RunView::default();
    let last_seq = rows.first().map_or(0, |row| row.last_seq);
    for row in rows {
        view.last_seq = row.seq - 1;
        view.apply(&StoredEvent { seq: row.seq, at: row.at, event: row.event.0 });
    }
    view.last_seq = last_seq;
    Ok(view)
}

/// The events of one step, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn events_of_step(tx: &mut TenantTx, run: RunId, step: &StepId) -> Result<Vec<StoredEvent>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select seq, at, data as "event: Json<Event>"
        from run_events
        where organization_id = $1
          and run_id = $2
          and step_id = $3
          and kind like 'step.%'
        order by seq
        "#,
        org.uuid(),
        run.uuid(),
        step.as_str(),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| StoredEvent { seq: row.seq, at: row.at, event: row.event.0 }).collect())
}

/// What a step was given and what came out, as it is stored.
///
/// # Errors
/// When the database does not answer.
pub async fn step_payloads(
    tx: &mut TenantTx,
    run: RunId,
    step: &StepId,
) -> Result<Option<(Option<Value>, Option<Value>)>> {
    let org = tx.org();
    let row = sqlx::query!(
        "select input, output from steps where organization_id = $1 and run_id = $2 and id = $3",
        org.uuid(),
        run.uuid(),
        step.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| (row.input, row.output)))
}

/// A window on a run's log.
#[derive(Debug, Clone, Copy)]
pub enum LogWindow {
    /// The last lines before this number; the end of the log without one.
    Before(Option<i64>),
    /// The first lines after this number.
    After(i64),
}

/// Lines of a run's log at least this serious (and of this step or below it), in order.
///
/// # Errors
/// When the database does not answer.
pub async fn logs(
    tx: &mut TenantTx,
    run: RunId,
    window: LogWindow,
    level: Option<LogLevel>,
    step: Option<&StepId>,
    limit: i64,
) -> Result<Vec<LogLine>> {
    let org = tx.org();
    let step = step.map(StepId::as_str);
    let levels = levels_from(level);
    let mut rows = match window {
        LogWindow::After(after) => {
            sqlx::query_as!(
                LogRow,
                r#"
                select seq, at, data as "event: Json<Event>"
                from run_events
                where organization_id = $1
                  and run_id = $2
                  and kind = 'log'
                  and seq > $3
                  and data ->> 'level' = any($4)
                  and ($5::text is null or step_id = $5 or starts_with(step_id, $5 || '.'))
                order by seq
                limit $6
                "#,
                org.uuid(),
                run.uuid(),
                after,
                &levels,
                step,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
        LogWindow::Before(before) => {
            sqlx::query_as!(
                LogRow,
                r#"
                select seq, at, data as "event: Json<Event>"
                from run_events
                where organization_id = $1
                  and run_id = $2
                  and kind = 'log'
                  and seq < $3
                  and data ->> 'level' = any($4)
                  and ($5::text is null or step_id = $5 or starts_with(step_id, $5 || '.'))
                order by seq desc
                limit $6
                "#,
                org.uuid(),
                run.uuid(),
                before.unwrap_or(i64::MAX),
                &levels,
                step,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    rows.sort_by_key(|row| row.seq);
    Ok(rows.into_iter().filter_map(LogRow::line).collect())
}

/// How many lines a run's log has that are at least this serious (and of this step or below it).
///
/// # Errors
/// When the database does not answer.
pub async fn count_logs(tx: &mut TenantTx, run: RunId, level: Option<LogLevel>, step: Option<&StepId>) -> Result<u64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from run_events
        where organization_id = $1
          and run_id = $2
          and kind = 'log'
          and data ->> 'level' = any($3)
          and ($4::text is null or step_id = $4 or starts_with(step_id, $4 || '.'))
        "#,
        org.uuid(),
        run.uuid(),
        &levels_from(level),
        step.map(StepId::as_str),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}

/// The levels that are at least this serious, as the database holds them.
fn levels_from(level: Option<LogLevel>) -> Vec<String> {
    [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error]
        .into_iter()
        .filter(|candidate| level.is_none_or(|level| *candidate >= level))
        .map(|level| level.as_str().to_ascii_lowercase())
        .collect()
}

struct LogRow {
    seq: i64,
    at: Timestamp,
    event: Json<Event>,
}

impl LogRow {
    fn line(self) -> Option<LogLine> {
        match self.event.0 {
            Event::Log { level, step, message, .. } => {
                Some(LogLine { seq: self.seq, at: self.at, level, step, message })
            }
            _ => None,
        }
    }
}
