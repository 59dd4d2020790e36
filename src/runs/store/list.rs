//! The list of runs: one condition, by which pages of it are read in each order, and by which it is counted.

use std::collections::HashMap;

use sqlx::types::Json;
use uuid::Uuid;

use super::Row;
use crate::{
    db::TenantTx,
    engine::state::StepError,
    kernel::{Result, RunId, Timestamp, WorkflowId},
    runs::{LIVE, Part, RunFilter, RunOrder, RunSummary},
};

/// A place in the list of runs.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// In the order of acceptance: when the run was accepted.
    Accepted(Timestamp, RunId),
    /// In another order: the run's own number of milliseconds or millionths of a dollar, at the moment of the first page.
    Key(i64, RunId, Timestamp),
}

/// A run in the list, with the number by which it has its place there.
#[derive(Debug)]
pub struct Placed {
    /// The run.
    pub run: RunSummary,
    /// Milliseconds that it took, or millionths of a dollar that it cost.
    pub key: i64,
}

/// What the database is asked for.
#[derive(Debug)]
pub struct Asked {
    states: Vec<String>,
    workflow: Option<Uuid>,
    trigger: Option<String>,
    live: bool,
    q: Option<String>,
    ids: Option<(Uuid, Uuid)>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    agent: Option<String>,
    label: Option<String>,
    cost_min: Option<i64>,
    cost_max: Option<i64>,
    lasts_min: Option<i64>,
    lasts_max: Option<i64>,
    runs: Vec<Uuid>,
    order: RunOrder,
    /// A text as a log and as JSON has it, as patterns.
    inside: Option<(String, String)>,
    /// The moment up to which the texts of ended runs are indexed.
    upto: Option<Timestamp>,
    /// Up to when runs have lasted that go on.
    now: Timestamp,
}

impl Asked {
    /// What a filter asks for, at a moment of [`moment`].
    #[must_use]
    pub fn new(filter: &RunFilter, (now, upto): (Timestamp, Option<Timestamp>)) -> Self {
        let live = filter.trigger.as_deref() == Some(LIVE);
        let inside = filter.q.as_deref().filter(|_| filter.inside);
        Self {
            states: filter.states.iter().map(|state| state.as_str().to_owned()).collect(),
            workflow: filter.workflow.map(WorkflowId::uuid),
            trigger: filter.trigger.clone().filter(|_| !live),
            live,
            q: filter.q.clone(),
            ids: filter.q.as_deref().and_then(id_range).map(|(first, last)| (first.uuid(), last.uuid())),
            from: filter.from,
            to: filter.to,
            agent: filter.agent.clone(),
            label: filter.label.clone(),
            cost_min: filter.cost_min.map(|cost| cost.micros()),
            cost_max: filter.cost_max.map(|cost| cost.micros()),
            lasts_min: filter.lasts_min.map(|seconds| seconds.saturating_mul(1_000)),
            lasts_max: filter.lasts_max.map(|seconds| seconds.saturating_mul(1_000)),
            runs: filter.runs.iter().map(|run| run.uuid()).collect(),
            order: filter.order,
            inside: inside.map(|text| (pattern(text), pattern(&in_json(text)))),
            upto,
            now,
        }
    }

    /// The same for a page that follows one of this moment.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }
}

/// A text as it stands within JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// The pattern that is like all texts with this one in it.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// The first and last id whose text begins as this one does, when it can be the beginning of a run's id.
fn id_range(text: &str) -> Option<(RunId, RunId)> {
    let digits = text.strip_prefix("run_").unwrap_or(text);
    let missing = 26_usize.checked_sub(digits.len())?;
    // Shorter beginnings would find a run for nearly every word.
    if digits.len() < 4 {
        return None;
    }
    let whole = |fill: &str| format!("run_{digits}{}", fill.repeat(missing)).parse().ok();
    Some((whole("0")?, whole("z")?))
}

/// The moment by the database's clock, and up to which one the texts of ended runs are indexed. What follows in the
/// transaction is planned for what it asks, and given up after some seconds where texts are searched.
///
/// # Errors
/// When the database does not answer.
pub async fn moment(tx: &mut TenantTx, searches: bool) -> Result<(Timestamp, Option<Timestamp>)> {
    let org = tx.org();
    let row = sqlx::query!(
        r#"select clock_timestamp() as "now!",
                  (select at from run_texts_upto where organization_id = $1) as upto,
                  set_config('plan_cache_mode', 'force_custom_plan', true) as planned,
                  set_config('statement_timeout', case when $2 then '10s' else '30s' end, true) as given_up"#,
        org.uuid(),
        searches,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok((row.now, row.upto))
}

/// A statement about the runs that fit: `$head` selects from them, `$tail` follows the condition.
macro_rules! of_fitting {
    ($macro:ident, [$($row:tt)*], $head:tt, $tail:tt, $tx:ident, $asked:ident, $($more:expr),* $(,)?) => {{
        let asked = $asked;
        let org = $tx.org();
        sqlx::$macro!(
            $($row)*
            r#"
            with found as materialized (
                select runs_with_text($19, $20) as id where $19::text is not null
                union all
                select t.id
                from runs t
                left join artifacts i
                  on i.organization_id = t.organization_id and i.sha256 = decode(t.input ->> '$artifact', 'hex')
                left join artifacts o
                  on o.organization_id = t.organization_id and o.sha256 = decode(t.output ->> '$artifact', 'hex')
                where $19::text is not null
                  and t.organization_id = $1
                  and (t.state in ('queued', 'running', 'waiting', 'paused', 'cancelling')
                       or t.finished_at >= coalesce($21::timestamptz, '-infinity'))
                  and (lower(coalesce(i.body, t.input)::text) like any (array[lower($19), lower($20)])
                       or lower(coalesce(o.body, t.output)::text) like any (array[lower($19), lower($20)])
                       or exists (
                           select from run_events e
                           where e.organization_id = $1 and e.run_id = t.id and e.kind = 'log'
                             and lower(e.data ->> 'message') like any (array[lower($19), lower($20)])))
            )
            "# + $head + r#"
            where r.organization_id = $1
              and (cardinality($2::text[]) = 0 or r.state = any($2))
              and ($3::uuid is null or r.workflow_id = $3)
              and ($4::text is null or r.trigger = $4)
              and (not $18::boolean or r.trigger <> 'test')
              and ($5::text is null
                   or position(lower($5) in lower(r.title)) > 0
                   or r.id between $6::uuid and $7::uuid
                   or ($19::text is not null and r.id in (select id from found)))
              and ($8::timestamptz is null or r.created_at >= $8)
              and ($9::timestamptz is null or r.created_at < $9)
              and ($10::text is null or r.id in (
                  select s.run_id from steps s where s.organization_id = $1 and s.agent_key = $10))
              and ($11::text is null or (r.labels <> '{}' and $11 = any(r.labels)))
              and ($12::bigint is null or r.cost_micros >= $12)
              and ($13::bigint is null or r.cost_micros <= $13)
              and ($14::bigint is null
                   or extract(epoch from coalesce(r.finished_at, $16::timestamptz) - r.started_at) * 1000 >= $14)
              and ($15::bigint is null
                   or extract(epoch from coalesce(r.finished_at, $16::timestamptz) - r.started_at) * 1000 <= $15)
              and (cardinality($17::uuid[]) = 0 or r.id = any($17))
            "# + $tail,
            org.uuid(),
            &asked.states,
            asked.workflow,
            asked.trigger,
            asked.q,
            asked.ids.map(|(first, _)| first),
            asked.ids.map(|(_, last)| last),
            asked.from,
            asked.to,
            asked.agent,
            asked.label,
            asked.cost_min,
            asked.cost_max,
            asked.lasts_min,
            asked.lasts_max,
            asked.now,
            &asked.runs,
            asked.live,
            asked.inside.as_ref().map(|(one, _)| one.as_str()),
            asked.inside.as_ref().map(|(_, other)| other.as_str()),
            asked.upto,
            $($more),*
        )
    }};
}

/// The runs of a page: those that fit, in an order, from a place on.
macro_rules! page {
    ($tail:tt, $tx:ident, $asked:ident, $($more:expr),* $(,)?) => {
        of_fitting!(
            query_as,
            [PlacedRow,],
            r#"
            select r.id as "id: RunId", r.title, r.workflow_id as "workflow_id: WorkflowId", w.name as workflow_name,
                   r.workflow_version, r.state, r.waiting_on, r.trigger, r.started_by_name as started_by,
                   r.created_at, r.started_at, r.finished_at, r.tokens_in, r.tokens_out, r.cost_micros,
                   r.error as "error: Json<StepError>", r.labels, k.key as "key!"
            from runs r
            join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
            cross join lateral (select case when $22::boolean then r.cost_micros else coalesce(
                (extract(epoch from coalesce(r.finished_at, $16) - r.started_at) * 1000)::bigint, -1) end as key) k
            "#,
            $tail,
            $tx,
            $asked,
            matches!($asked.order, RunOrder::Dearest | RunOrder::Cheapest),
            $($more),*
        )
    };
}

struct PlacedRow {
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
    key: i64,
}

impl PlacedRow {
    fn placed(self) -> Result<Placed> {
        let row = Row {
            id: self.id,
            title: self.title,
            workflow_id: self.workflow_id,
            workflow_name: self.workflow_name,
            workflow_version: self.workflow_version,
            state: self.state,
            waiting_on: self.waiting_on,
            trigger: self.trigger,
            started_by: self.started_by,
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            tokens_in: self.tokens_in,
            tokens_out: self.tokens_out,
            cost_micros: self.cost_micros,
            error: self.error,
            labels: self.labels,
        };
        Ok(Placed { run: row.try_into()?, key: self.key })
    }
}

/// A window on the list in the order that is asked for: up to `limit` runs that fit, after `place`. A place of another
/// order is none.
///
/// # Errors
/// When the database does not answer.
pub async fn list(tx: &mut TenantTx, asked: &Asked, place: Option<Place>, limit: i64) -> Result<Vec<Placed>> {
    let (at, key, run) = match place {
        Some(Place::Accepted(at, run)) => (Some(at), None, Some(run.uuid())),
        Some(Place::Key(key, run, _)) => (None, Some(key), Some(run.uuid())),
        None => (None, None, None),
    };
    let rows = match asked.order {
        RunOrder::Newest => {
            page!(
                "and ($23::timestamptz is null or (r.created_at, r.id) < ($23, $24::uuid))
                 order by r.created_at desc, r.id desc limit $25",
                tx,
                asked,
                at,
                run,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
        RunOrder::Oldest => {
            page!(
                "and ($23::timestamptz is null or (r.created_at, r.id) > ($23, $24::uuid))
                 order by r.created_at, r.id limit $25",
                tx,
                asked,
                at,
                run,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
        RunOrder::Longest | RunOrder::Dearest => {
            page!(
                "and ($23::bigint is null or (k.key, r.id) < ($23, $24::uuid))
                 order by k.key desc, r.id desc limit $25",
                tx,
                asked,
                key,
                run,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
        RunOrder::Shortest | RunOrder::Cheapest => {
            page!(
                "and ($23::bigint is null or (k.key, r.id) > ($23, $24::uuid))
                 order by k.key, r.id limit $25",
                tx,
                asked,
                key,
                run,
                limit,
            )
            .fetch_all(tx.conn())
            .await?
        }
    };
    rows.into_iter().map(PlacedRow::placed).collect()
}

/// How many runs fit, counted up to `most`.
///
/// # Errors
/// When the database does not answer.
pub async fn count(tx: &mut TenantTx, asked: &Asked, most: i64) -> Result<u64> {
    let count = of_fitting!(
        query_scalar,
        [],
        r#"select count(*) as "count!" from (select from runs r"#,
        " limit $22) fitting",
        tx,
        asked,
        most,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(count.unsigned_abs())
}

/// Where the text that is asked for stands in these runs, besides their titles.
///
/// # Errors
/// When the database does not answer.
pub async fn found_in(tx: &mut TenantTx, asked: &Asked, runs: &[RunId]) -> Result<HashMap<RunId, Vec<Part>>> {
    let Some((one, other)) = &asked.inside else { return Ok(HashMap::new()) };
    let org = tx.org();
    let runs: Vec<_> = runs.iter().map(|run| run.uuid()).collect();
    let rows = sqlx::query!(
        r#"
        with wanted as (select lower($3) as one, lower($4) as other),
        shown as (
            select id, input, output,
                   coalesce(finished_at < $5::timestamptz, false) as is_kept
            from runs where organization_id = $1 and id = any($2)
        )
        select s.id as "id!: RunId",
               case when s.is_kept then exists (
                   select from run_texts t
                   where t.organization_id = $1 and t.run_id = s.id and t.part = 'input' and (t.text like one or t.text like other)
               ) else coalesce(lower(coalesce(i.body, s.input)::text) like any (array[one, other]), false) end as "input!",
               case when s.is_kept then exists (
                   select from run_texts t
                   where t.organization_id = $1 and t.run_id = s.id and t.part = 'output' and (t.text like one or t.text like other)
               ) else coalesce(lower(coalesce(o.body, s.output)::text) like any (array[one, other]), false) end as "output!",
               case when s.is_kept then exists (
                   select from run_texts t
                   where t.organization_id = $1 and t.run_id = s.id and t.part = 'log' and (t.text like one or t.text like other)
               ) else exists (
                   select from run_events e
                   where e.organization_id = $1 and e.run_id = s.id and e.kind = 'log'
                     and lower(e.data ->> 'message') like any (array[one, other])
               ) end as "log!"
        from shown s
        cross join wanted
        left join artifacts i on i.organization_id = $1 and i.sha256 = decode(s.input ->> '$artifact', 'hex')
        left join artifacts o on o.organization_id = $1 and o.sha256 = decode(s.output ->> '$artifact', 'hex')
        "#,
        org.uuid(),
        &runs,
        one,
        other,
        asked.upto,
    )
    .fetch_all(tx.conn())
    .await?;
    let parts = rows.into_iter().map(|row| {
        let parts = [(row.input, Part::Input), (row.output, Part::Output), (row.log, Part::Log)];
        (row.id, parts.into_iter().filter(|(found, _)| *found).map(|(_, part)| part).collect())
    });
    Ok(parts.collect())
}

/// What a list of runs can be narrowed to.
#[derive(Debug)]
pub struct Choices {
    /// Workflows that are not archived, by name.
    pub workflows: Vec<(WorkflowId, String)>,
    /// Agents that are not archived: their keys and names.
    pub agents: Vec<(String, String)>,
    /// Labels of the newest runs that have some.
    pub labels: Vec<String>,
}

/// What a list of runs can be narrowed to.
///
/// # Errors
/// When the database does not answer.
pub async fn choices(tx: &mut TenantTx) -> Result<Choices> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select 'workflow' as "kind!", id::text as "key!", name as "name!" from workflows
        where organization_id = $1 and status <> 'archived'
        union all
        select 'agent', a.key, a.name from agents a
        where a.organization_id = $1 and a.status <> 'archived'
        union all
        select distinct 'label', label, label from (
            select labels from runs
            where organization_id = $1 and labels <> '{}'
            order by created_at desc, id desc limit 500
        ) newest, unnest(newest.labels) as label
        order by 1, 3
        "#,
        org.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    let mut choices = Choices { workflows: Vec::new(), agents: Vec::new(), labels: Vec::new() };
    for row in rows {
        match row.kind.as_str() {
            "workflow" => {
                let id: Uuid = row.key.parse().map_err(crate::kernel::Error::internal)?;
                choices.workflows.push((WorkflowId::from_uuid(id), row.name));
            }
            "agent" => choices.agents.push((row.key, row.name)),
            _ => choices.labels.push(row.key),
        }
    }
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_a_range_of_ids() {
        let id = RunId::new();
        let text = id.to_string();
        for length in [8, 12, 30] {
            let (first, last) = id_range(&text[..length]).unwrap();
            assert!(first <= id && id <= last, "{length}");
        }
        assert_eq!(id_range("run_"), None);
        assert_eq!(id_range("refund"), None);
        assert_eq!(id_range("'; drop table runs"), None);
    }

    #[test]
    fn a_text_is_searched_as_it_stands_in_json_and_means_no_pattern_itself() {
        assert_eq!(in_json("say \"hi\" \\ ü"), "say \\\"hi\\\" \\\\ ü");
        assert_eq!(pattern("50%_a\\"), "%50\\%\\_a\\\\%");
    }
}
