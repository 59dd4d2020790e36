//! Statements about lines of logs. They read what the engine writes. What fits a filter is not the database's to say: see
//! [`super::matcher`].

use serde_json::Value;
use sqlx::types::Json;

use super::{Line, LineKey, Place, matcher::stored_level};
use crate::{
    db::TenantTx,
    engine::{journal::LogLevel, state::StepId},
    kernel::{Result, RunId, Timestamp},
};

/// What is known of a place before its lines are read.
pub struct Ground {
    /// The moment of the transaction.
    pub now: Timestamp,
    /// When the run was accepted.
    pub created_at: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
}

/// A run; nothing when there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn run(tx: &mut TenantTx, run: RunId) -> Result<Option<Ground>> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        Ground,
        r#"
        select now() as "now!", created_at, state in ('succeeded', 'failed', 'cancelled') as "ended!"
        from runs
        where organization_id = $1 and id = $2
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// The moment of the transaction.
///
/// # Errors
/// When the database does not answer.
pub async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(tx.conn()).await?)
}

/// How many lines there are, and the last of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// How many.
    pub lines: u64,
    /// The number of the last one of a run; of an organization 0.
    pub last: i64,
}

/// How many lines a run's log has. By the index alone.
///
/// # Errors
/// When the database does not answer.
pub async fn extent_of_run(tx: &mut TenantTx, run: RunId) -> Result<Extent> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"
        select count(*) as "lines!", coalesce(max(seq), 0) as "last!"
        from run_events
        where organization_id = $1 and run_id = $2 and kind = 'log'
        "#,
        org.uuid(),
        run.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Extent { lines: row.lines.unsigned_abs(), last: row.last })
}

/// How many lines the logs of an organization have in a stretch of time. By the index alone.
///
/// # Errors
/// When the database does not answer.
pub async fn extent_of_organization(tx: &mut TenantTx, from: Timestamp, to: Timestamp) -> Result<Extent> {
    let org = tx.org();
    let lines = sqlx::query_scalar!(
        r#"
        select count(*) as "lines!"
        from run_events
        where organization_id = $1 and kind = 'log' and at >= $2 and at < $3
        "#,
        org.uuid(),
        from,
        to,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Extent { lines: lines.unsigned_abs(), last: 0 })
}

struct KeyRow {
    at: Timestamp,
    run: RunId,
    seq: i64,
}

impl From<KeyRow> for LineKey {
    fn from(KeyRow { at, run, seq }: KeyRow) -> Self {
        Self { at, run, seq }
    }
}

/// The lines of a run's log from a place on, in order. The index alone is walked, from the nearer end.
///
/// # Errors
/// When the database does not answer.
pub async fn window_of_run(
    tx: &mut TenantTx,
    run: RunId,
    extent: Extent,
    skip: u64,
    limit: u64,
) -> Result<Vec<LineKey>> {
    let org = tx.org();
    let limit = limit.min(extent.lines.saturating_sub(skip));
    let after = extent.lines - skip.min(extent.lines) - limit;
    let rows = if skip <= after {
        sqlx::query_as!(
            KeyRow,
            r#"
            select to_timestamp(0) as "at!", run_id as "run: RunId", seq
            from run_events
            where organization_id = $1 and run_id = $2 and kind = 'log' and seq <= $3
            order by seq
            offset $4 limit $5
            "#,
            org.uuid(),
            run.uuid(),
            extent.last,
            whole(skip),
            whole(limit),
        )
        .fetch_all(tx.conn())
        .await?
    } else {
        let mut rows = sqlx::query_as!(
            KeyRow,
            r#"
            select to_timestamp(0) as "at!", run_id as "run: RunId", seq
            from run_events
            where organization_id = $1 and run_id = $2 and kind = 'log' and seq <= $3
            order by seq desc
            offset $4 limit $5
            "#,
            org.uuid(),
            run.uuid(),
            extent.last,
            whole(after),
            whole(limit),
        )
        .fetch_all(tx.conn())
        .await?;
        rows.reverse();
        rows
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The lines of an organization's logs in a stretch of time from a place on, in order. The index alone is walked, from the
/// nearer end.
///
/// # Errors
/// When the database does not answer.
pub async fn window_of_organization(
    tx: &mut TenantTx,
    (from, to): (Timestamp, Timestamp),
    lines: u64,
    skip: u64,
    limit: u64,
) -> Result<Vec<LineKey>> {
    let org = tx.org();
    let limit = limit.min(lines.saturating_sub(skip));
    let after = lines - skip.min(lines) - limit;
    let rows = if skip <= after {
        sqlx::query_as!(
            KeyRow,
            r#"
            select at, run_id as "run: RunId", seq
            from run_events
            where organization_id = $1 and kind = 'log' and at >= $2 and at < $3
            order by at, run_id, seq
            offset $4 limit $5
            "#,
            org.uuid(),
            from,
            to,
            whole(skip),
            whole(limit),
        )
        .fetch_all(tx.conn())
        .await?
    } else {
        let mut rows = sqlx::query_as!(
            KeyRow,
            r#"
            select at, run_id as "run: RunId", seq
            from run_events
            where organization_id = $1 and kind = 'log' and at >= $2 and at < $3
            order by at desc, run_id desc, seq desc
            offset $4 limit $5
            "#,
            org.uuid(),
            from,
            to,
            whole(after),
            whole(limit),
        )
        .fetch_all(tx.conn())
        .await?;
        rows.reverse();
        rows
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

/// How many lines of a run's log come before a number.
///
/// # Errors
/// When the database does not answer.
pub async fn before_in_run(tx: &mut TenantTx, run: RunId, seq: i64) -> Result<u64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from run_events
        where organization_id = $1 and run_id = $2 and kind = 'log' and seq < $3
        "#,
        org.uuid(),
        run.uuid(),
        seq,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}

/// How many lines of an organization's logs come before one, from a moment on.
///
/// # Errors
/// When the database does not answer.
pub async fn before_in_organization(tx: &mut TenantTx, from: Timestamp, key: LineKey) -> Result<u64> {
    let org = tx.org();
    let count = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from run_events
        where organization_id = $1 and kind = 'log' and at >= $2 and (at, run_id, seq) < ($3, $4, $5)
        "#,
        org.uuid(),
        from,
        key.at,
        key.run.uuid(),
        key.seq,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}

/// A line as it is looked at to see whether it fits.
#[derive(Debug)]
pub struct Scanned {
    /// The run that wrote it.
    pub run: RunId,
    /// Its number in the run.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// How serious.
    pub level: LogLevel,
    /// The step that it is about.
    pub step: Option<StepId>,
    /// What it says, where that is looked at.
    pub message: Option<String>,
    /// More, as JSON, where that is looked at.
    pub fields: Option<String>,
}

impl Scanned {
    /// Which line it is.
    pub const fn key(&self) -> LineKey {
        LineKey { at: self.at, run: self.run, seq: self.seq }
    }
}

struct ScanRow {
    run: RunId,
    seq: i64,
    at: Timestamp,
    level: Option<String>,
    step_id: Option<String>,
    message: Option<String>,
    fields: Option<String>,
}

impl From<ScanRow> for Scanned {
    fn from(row: ScanRow) -> Self {
        Self {
            run: row.run,
            seq: row.seq,
            at: row.at,
            level: stored_level(row.level.as_deref()),
            step: row.step_id.map(StepId::from_text),
            message: row.message,
            fields: row.fields,
        }
    }
}

/// The next lines of a run's log after a number, in order; what they say only with `text`.
///
/// # Errors
/// When the database does not answer.
pub async fn scan_run(tx: &mut TenantTx, run: RunId, after: i64, text: bool, limit: u64) -> Result<Vec<Scanned>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        ScanRow,
        r#"
        select run_id as "run: RunId", seq, at, data ->> 'level' as level, step_id,
               case when $4 then data ->> 'message' end as message, case when $4 then data ->> 'fields' end as fields
        from run_events
        where organization_id = $1 and run_id = $2 and kind = 'log' and seq > $3
        order by seq
        limit $5
        "#,
        org.uuid(),
        run.uuid(),
        after,
        text,
        whole(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The next lines of an organization's logs in a stretch of time after a line, in order; what they say only with `text`.
///
/// # Errors
/// When the database does not answer.
pub async fn scan_organization(
    tx: &mut TenantTx,
    (from, to): (Timestamp, Timestamp),
    after: LineKey,
    text: bool,
    limit: u64,
) -> Result<Vec<Scanned>> {
    let org = tx.org();
    let rows = sqlx::query_as!(
        ScanRow,
        r#"
        select run_id as "run: RunId", seq, at, data ->> 'level' as level, step_id,
               case when $7 then data ->> 'message' end as message, case when $7 then data ->> 'fields' end as fields
        from run_events
        where organization_id = $1 and kind = 'log' and at >= $2 and at < $3 and (at, run_id, seq) > ($4, $5, $6)
        order by at, run_id, seq
        limit $8
        "#,
        org.uuid(),
        from,
        to,
        after.at,
        after.run.uuid(),
        after.seq,
        text,
        whole(limit),
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

struct LineRow {
    run: RunId,
    seq: i64,
    at: Timestamp,
    level: Option<String>,
    step_id: Option<String>,
    message: Option<String>,
    fields: Option<Json<Value>>,
}

impl From<LineRow> for Line {
    fn from(row: LineRow) -> Self {
        Self {
            run: row.run,
            seq: row.seq,
            at: row.at,
            level: stored_level(row.level.as_deref()),
            step: row.step_id.map(StepId::from_text),
            message: row.message.unwrap_or_default(),
            fields: row.fields.map(|fields| fields.0).filter(|fields| !fields.is_null()),
        }
    }
}

/// Lines, in the order in which they are named.
///
/// # Errors
/// When the database does not answer.
pub async fn lines(tx: &mut TenantTx, keys: &[LineKey]) -> Result<Vec<Line>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let org = tx.org();
    let runs: Vec<_> = keys.iter().map(|key| key.run.uuid()).collect();
    let numbers: Vec<_> = keys.iter().map(|key| key.seq).collect();
    let rows = sqlx::query_as!(
        LineRow,
        r#"
        select e.run_id as "run: RunId", e.seq, e.at, e.data ->> 'level' as level, e.step_id,
               e.data ->> 'message' as message, e.data -> 'fields' as "fields: Json<Value>"
        from unnest($2::uuid[], $3::bigint[]) with ordinality as wanted (run_id, seq, place)
        join run_events e on e.organization_id = $1 and e.run_id = wanted.run_id and e.seq = wanted.seq
        order by wanted.place
        "#,
        org.uuid(),
        &runs,
        &numbers,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// A step that is the task of an agent.
#[derive(Debug)]
pub struct AgentStep {
    /// The agent's key.
    pub agent: String,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: String,
}

/// The tasks of agents: those of a run, or those of an organization that are not older than a moment.
///
/// # Errors
/// When the database does not answer.
pub async fn tasks(tx: &mut TenantTx, place: Place, agents: &[String], since: Timestamp) -> Result<Vec<AgentStep>> {
    let org = tx.org();
    let found = match place {
        Place::Run(run) => {
            sqlx::query_as!(
                AgentStep,
                r#"
                select agent_key as "agent!", run_id as "run: RunId", id as step
                from steps
                where organization_id = $1 and run_id = $2 and agent_key = any($3)
                "#,
                org.uuid(),
                run.uuid(),
                agents,
            )
            .fetch_all(tx.conn())
            .await?
        }
        Place::Organization => {
            sqlx::query_as!(
                AgentStep,
                r#"
                select agent_key as "agent!", run_id as "run: RunId", id as step
                from steps
                where organization_id = $1 and agent_key = any($2) and queued_at >= $3
                "#,
                org.uuid(),
                agents,
                since,
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    Ok(found)
}

/// The keys of the agents that have had tasks in a run, or of those of the organization.
///
/// # Errors
/// When the database does not answer.
pub async fn agents(tx: &mut TenantTx, place: Place) -> Result<Vec<String>> {
    let org = tx.org();
    let found = match place {
        Place::Run(run) => {
            sqlx::query_scalar!(
                r#"
                select distinct agent_key as "agent!" from steps
                where organization_id = $1 and run_id = $2 and agent_key is not null
                order by 1
                "#,
                org.uuid(),
                run.uuid(),
            )
            .fetch_all(tx.conn())
            .await?
        }
        Place::Organization => {
            sqlx::query_scalar!("select key from agents where organization_id = $1 order by key", org.uuid())
                .fetch_all(tx.conn())
                .await?
        }
    };
    Ok(found)
}

/// How many lines there are in each piece of a stretch of time, by level: where the piece begins, the level's word, and how
/// many. Each piece is so many seconds long.
///
/// # Errors
/// When the database does not answer.
pub async fn chart(
    tx: &mut TenantTx,
    place: Place,
    (from, to): (Timestamp, Timestamp),
    seconds: i64,
) -> Result<Vec<(Timestamp, Option<String>, i64)>> {
    let org = tx.org();
    #[expect(clippy::cast_precision_loss, reason = "the width of a bar")]
    let seconds = seconds as f64;
    let found = match place {
        Place::Run(run) => sqlx::query!(
            r#"
            select date_bin(make_interval(secs => $5), at, to_timestamp(0)) as "begin!", data ->> 'level' as level,
                   count(*) as "lines!"
            from run_events
            where organization_id = $1 and run_id = $2 and kind = 'log' and at >= $3 and at <= $4
            group by 1, 2
            "#,
            org.uuid(),
            run.uuid(),
            from,
            to,
            seconds,
        )
        .fetch_all(tx.conn())
        .await?
        .into_iter()
        .map(|row| (row.begin, row.level, row.lines))
        .collect(),
        Place::Organization => sqlx::query!(
            r#"
            select date_bin(make_interval(secs => $4), at, to_timestamp(0)) as "begin!", data ->> 'level' as level,
                   count(*) as "lines!"
            from run_events
            where organization_id = $1 and kind = 'log' and at >= $2 and at <= $3
            group by 1, 2
            "#,
            org.uuid(),
            from,
            to,
            seconds,
        )
        .fetch_all(tx.conn())
        .await?
        .into_iter()
        .map(|row| (row.begin, row.level, row.lines))
        .collect(),
    };
    Ok(found)
}

/// A number of lines as the database counts.
fn whole(lines: u64) -> i64 {
    i64::try_from(lines).unwrap_or(i64::MAX)
}
