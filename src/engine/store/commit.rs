//! The write of owned runs: many runs' decisions in one statement, which is one transaction.

use std::{collections::HashMap, sync::Arc, time::Instant};

use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::{Claim, gates, values};
use crate::{
    db,
    engine::{
        counters::Counters,
        journal::{Event, StoredEvent, Usage},
        machine::{NewApproval, Step},
        state::{RunState, StepError, StepId, WaitingOn},
    },
    kernel::{Error, NodeId, OrgId, Result, RunId, Timestamp},
};

/// One run's part of a commit: all that one decision changes.
#[derive(Debug)]
pub struct Commit {
    /// The run, and under which fence.
    pub claim: Claim,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Steps to be written.
    pub steps: Vec<Step>,
    /// Approvals to be opened.
    pub approvals: Vec<NewApproval>,
    /// Steps whose pending approvals are withdrawn.
    pub withdrawn: Vec<StepId>,
    /// The run's state from now on.
    pub state: RunState,
    /// What it waits for.
    pub waiting_on: Option<WaitingOn>,
    /// Its output, once it succeeded.
    pub output: Option<Value>,
    /// Why it failed.
    pub error: Option<StepError>,
    /// What its totals grow by.
    pub usage: Usage,
    /// The last signal that was read.
    pub signals_seen: i64,
    /// Whether a signal that was not read refuses the write.
    pub needs_sync: bool,
    /// Whether the run is let go, and when it wakes by itself.
    pub release: Option<Option<Timestamp>>,
}

/// What became of one run's part.
#[derive(Debug)]
pub enum Committed {
    /// It is written; the events have their numbers.
    Written(Arc<[StoredEvent]>),
    /// It is not: the run belongs to another, or a signal came in between. Load it anew.
    Refused,
}

/// The columns of a commit's statement.
#[derive(Default)]
struct Columns {
    orgs: Vec<uuid::Uuid>,
    runs: Vec<uuid::Uuid>,
    fences: Vec<i64>,
    counts: Vec<i64>,
    states: Vec<String>,
    waiting: Vec<Option<String>>,
    outputs: Vec<Option<Value>>,
    errors: Vec<Option<Value>>,
    tokens_in: Vec<i64>,
    tokens_out: Vec<i64>,
    costs: Vec<i64>,
    seen: Vec<i64>,
    synced: Vec<bool>,
    released: Vec<bool>,
    wakes: Vec<Option<Timestamp>>,
    journal: Journal,
}

/// The columns of events and of steps.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) event_runs: Vec<uuid::Uuid>,
    pub(super) event_places: Vec<i64>,
    pub(super) event_kinds: Vec<String>,
    pub(super) event_steps: Vec<Option<String>>,
    pub(super) event_data: Vec<Value>,
    pub(super) step_runs: Vec<uuid::Uuid>,
    pub(super) step_ids: Vec<String>,
    pub(super) step_parents: Vec<Option<String>>,
    pub(super) step_nodes: Vec<String>,
    pub(super) step_kinds: Vec<String>,
    pub(super) step_names: Vec<String>,
    pub(super) step_ordinals: Vec<i32>,
    pub(super) step_states: Vec<String>,
    pub(super) step_attempts: Vec<i32>,
    pub(super) step_inputs: Vec<Option<Value>>,
    pub(super) step_outputs: Vec<Option<Value>>,
    pub(super) step_errors: Vec<Option<Value>>,
    pub(super) step_details: Vec<Value>,
    pub(super) step_tokens_in: Vec<i64>,
    pub(super) step_tokens_out: Vec<i64>,
    pub(super) step_costs: Vec<i64>,
    pub(super) step_queued: Vec<Timestamp>,
    pub(super) step_wakes: Vec<Option<Timestamp>>,
}

/// Writes many runs' decisions in one transaction: one statement, and two more only where people are asked, or asked no
/// more. The answer has one entry for each, in order.
///
/// # Errors
/// When the database did not confirm: then it is *unknown* whether it was written, and every run of it must be loaded
/// anew.
pub async fn commit(pool: &PgPool, node: NodeId, commits: &[Commit], counters: &Counters) -> Result<Vec<Committed>> {
    let asks = |commit: &Commit| !commit.approvals.is_empty() || !commit.withdrawn.is_empty();
    if !commits.iter().any(asks) {
        return write(&mut *pool.acquire().await?, node, commits, counters).await;
    }
    let mut tx = db::begin(pool).await?;
    let outcomes = write(&mut tx, node, commits, counters).await?;
    let is_written = |outcome: &Committed| matches!(outcome, Committed::Written(_));
    let written = || commits.iter().zip(&outcomes).filter(|(_, outcome)| is_written(outcome)).map(|(commit, _)| commit);
    gates::open(&mut tx, written()).await?;
    gates::withdraw(&mut tx, written()).await?;
    let begun = Instant::now();
    tx.commit().await?;
    counters.database.add_time(begun.elapsed());
    Ok(outcomes)
}

async fn write(
    connection: &mut PgConnection,
    node: NodeId,
    commits: &[Commit],
    counters: &Counters,
) -> Result<Vec<Committed>> {
    let begun = Instant::now();
    let mut columns = Columns::default();
    for commit in commits {
        gather(connection, &mut columns, commit).await?;
    }
    #[cfg(agentflow_fault = "no_fence")]
    super::broken::take_it_anyway(connection, node, commits).await?;
    #[cfg(agentflow_fault = "serial_feed")]
    let numbers = super::broken::number_too_early(connection, commits).await?;
    #[cfg(agentflow_fault = "serial_feed")]
    columns.renumber(commits, &numbers);
    let c = columns;
    let gathered = Instant::now();
    let written = apply(connection, node, &c).await?;
    counters.serialise.add_time(gathered - begun);
    counters.database.add_time(gathered.elapsed());
    counters.commits.add(1);
    counters.decisions.add(commits.len() as u64);
    counters.events.add(c.journal.event_runs.len() as u64);
    counters.steps.add(c.journal.step_runs.len() as u64);
    #[cfg(agentflow_fault = "serial_feed")]
    super::broken::end(connection).await?;
    #[cfg(agentflow_fault = "serial_feed")]
    let written: HashMap<_, _> = commits
        .iter()
        .zip(numbers)
        .filter_map(|(commit, (base, _))| {
            let run = commit.claim.run.uuid();
            Some((run, (base, written.get(&run)?.1)))
        })
        .collect();
    Ok(commits
        .iter()
        .map(|commit| match written.get(&commit.claim.run.uuid()) {
            None => Committed::Refused,
            Some((base, at)) => Committed::Written(
                (base + 1..)
                    .zip(&commit.events)
                    .map(|(seq, event)| StoredEvent { seq, at: *at, event: event.clone() })
                    .collect(),
            ),
        })
        .collect())
}

/// For each run that was written: the number of its last event before, and the moment.
async fn apply(
    connection: &mut PgConnection,
    node: NodeId,
    c: &Columns,
) -> Result<HashMap<uuid::Uuid, (i64, Timestamp)>> {
    let j = &c.journal;
    let rows = sqlx::query_file!(
        "src/engine/store/commit.sql",
        node.uuid(),
        &c.orgs,
        &c.runs,
        &c.fences,
        &c.counts,
        &c.states,
        &c.waiting as _,
        &c.outputs as _,
        &c.errors as _,
        &c.tokens_in,
        &c.tokens_out,
        &c.costs,
        &c.seen,
        &c.synced,
        &c.released,
        &c.wakes as _,
        &j.event_runs,
        &j.event_places,
        &j.event_kinds,
        &j.event_steps as _,
        &j.event_data,
        &j.step_runs,
        &j.step_ids,
        &j.step_parents as _,
        &j.step_nodes,
        &j.step_kinds,
        &j.step_names,
        &j.step_ordinals,
        &j.step_states,
        &j.step_attempts,
        &j.step_inputs as _,
        &j.step_outputs as _,
        &j.step_errors as _,
        &j.step_details,
        &j.step_tokens_in,
        &j.step_tokens_out,
        &j.step_costs,
        &j.step_queued,
        &j.step_wakes as _,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, (row.base, row.at))).collect())
}

#[cfg(agentflow_fault = "serial_feed")]
impl Columns {
    /// The statement counts on from the run's last event: places that lead to the numbers that were given before.
    fn renumber(&mut self, commits: &[Commit], numbers: &[(i64, i64)]) {
        self.counts.iter_mut().for_each(|count| *count = 0);
        let back =
            commits.iter().zip(numbers).flat_map(|(commit, (base, last))| vec![base - last; commit.events.len()]);
        self.journal.event_places.iter_mut().zip(back).for_each(|(place, back)| *place += back);
    }
}

async fn gather(connection: &mut PgConnection, c: &mut Columns, commit: &Commit) -> Result<()> {
    let Claim { org, run, fence } = commit.claim;
    c.orgs.push(org.uuid());
    c.runs.push(run.uuid());
    c.fences.push(fence);
    c.counts.push(commit.events.len() as i64);
    c.states.push(commit.state.to_string());
    c.waiting.push(commit.waiting_on.map(|on| on.to_string()));
    c.outputs.push(pack(connection, org, commit.output.as_ref()).await?);
    c.errors.push(commit.error.as_ref().map(serde_json::to_value).transpose().map_err(Error::internal)?);
    c.tokens_in.push(commit.usage.tokens_in.cast_signed());
    c.tokens_out.push(commit.usage.tokens_out.cast_signed());
    c.costs.push(commit.usage.cost.micros());
    c.seen.push(commit.signals_seen);
    c.synced.push(commit.needs_sync);
    c.released.push(commit.release.is_some());
    c.wakes.push(commit.release.flatten());
    c.journal.add(connection, org, run, &commit.events, &commit.steps).await
}

impl Journal {
    /// Adds what a decision writes of a run.
    pub(super) async fn add(
        &mut self,
        connection: &mut PgConnection,
        org: OrgId,
        run: RunId,
        events: &[Event],
        steps: &[Step],
    ) -> Result<()> {
        for (place, event) in (1..).zip(events) {
            self.event_runs.push(run.uuid());
            self.event_places.push(place);
            self.event_kinds.push(event.name().to_owned());
            self.event_steps.push(event.step().map(|step| step.as_str().to_owned()));
            self.event_data.push(serde_json::to_value(event).map_err(Error::internal)?);
        }
        for step in steps {
            self.step_runs.push(run.uuid());
            self.step_ids.push(step.id.to_string());
            self.step_parents.push(step.id.parent().map(|parent| parent.to_string()));
            self.step_nodes.push(step.node.clone());
            self.step_kinds.push(step.kind.to_string());
            self.step_names.push(step.name.clone());
            self.step_ordinals.push(step.ordinal);
            self.step_states.push(step.state.to_string());
            self.step_attempts.push(step.attempt.cast_signed());
            self.step_inputs.push(pack(connection, org, step.input.as_ref()).await?);
            self.step_outputs.push(pack(connection, org, step.output.as_ref()).await?);
            self.step_errors.push(step.error.as_ref().map(serde_json::to_value).transpose().map_err(Error::internal)?);
            self.step_details.push(serde_json::to_value(&step.detail).map_err(Error::internal)?);
            self.step_tokens_in.push(step.usage.tokens_in.cast_signed());
            self.step_tokens_out.push(step.usage.tokens_out.cast_signed());
            self.step_costs.push(step.usage.cost.micros());
            self.step_queued.push(step.queued_at);
            self.step_wakes.push(step.wake_at);
        }
        Ok(())
    }
}

async fn pack(connection: &mut PgConnection, org: OrgId, value: Option<&Value>) -> Result<Option<Value>> {
    match value {
        None => Ok(None),
        Some(value) => values::pack(connection, org, value).await.map(Some),
    }
}
