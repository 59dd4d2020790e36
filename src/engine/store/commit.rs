//! The write of owned runs: many runs' decisions in one statement, which is one transaction.

use std::{collections::HashMap, sync::Arc, time::Instant};

use serde_json::Value;
use sqlx::PgPool;

use super::{Claim, values};
use crate::{
    engine::{
        counters::Counters,
        journal::{Event, StoredEvent, Usage},
        machine::{NewApproval, Step},
        state::{RunState, StepError, StepId, WaitingOn},
    },
    kernel::{Error, NodeId, OrgId, Result, Timestamp},
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
    event_runs: Vec<uuid::Uuid>,
    event_places: Vec<i64>,
    event_kinds: Vec<String>,
    event_steps: Vec<Option<String>>,
    event_data: Vec<Value>,
    step_runs: Vec<uuid::Uuid>,
    step_ids: Vec<String>,
    step_parents: Vec<Option<String>>,
    step_nodes: Vec<String>,
    step_kinds: Vec<String>,
    step_names: Vec<String>,
    step_ordinals: Vec<i32>,
    step_states: Vec<String>,
    step_attempts: Vec<i32>,
    step_inputs: Vec<Option<Value>>,
    step_outputs: Vec<Option<Value>>,
    step_errors: Vec<Option<Value>>,
    step_details: Vec<Value>,
    step_tokens_in: Vec<i64>,
    step_tokens_out: Vec<i64>,
    step_costs: Vec<i64>,
    step_queued: Vec<Timestamp>,
    step_wakes: Vec<Option<Timestamp>>,
    gate_runs: Vec<uuid::Uuid>,
    gate_ids: Vec<uuid::Uuid>,
    gate_steps: Vec<String>,
    gate_kinds: Vec<String>,
    gate_titles: Vec<String>,
    gate_messages: Vec<String>,
    gate_payloads: Vec<Value>,
    gate_hashes: Vec<Vec<u8>>,
    gate_impacts: Vec<String>,
    gate_reversible: Vec<bool>,
    gate_roles: Vec<Option<String>>,
    gate_askers: Vec<String>,
    gate_expires: Vec<Option<Timestamp>>,
    gate_on_expiry: Vec<String>,
    gate_details: Vec<Value>,
    withdrawn_runs: Vec<uuid::Uuid>,
    withdrawn_steps: Vec<String>,
    gate_people: Vec<Value>,
    gate_quorums: Vec<i32>,
    gate_not_own: Vec<bool>,
    gate_escalate_to: Vec<Option<String>>,
    gate_deadlines: Vec<Option<i64>>,
}

/// Writes many runs' decisions in one statement, which is one transaction. The answer has one entry for each, in order.
///
/// # Errors
/// When the database did not confirm: then it is *unknown* whether it was written, and every run of it must be loaded
/// anew.
pub async fn commit(pool: &PgPool, node: NodeId, commits: &[Commit], counters: &Counters) -> Result<Vec<Committed>> {
    let mut connection = pool.acquire().await?;
    let begun = Instant::now();
    let mut columns = Columns::default();
    for commit in commits {
        gather(&mut connection, &mut columns, commit).await?;
    }
    #[cfg(agentflow_fault = "no_fence")]
    super::broken::take_it_anyway(&mut connection, node, commits).await?;
    #[cfg(agentflow_fault = "serial_feed")]
    let numbers = super::broken::number_too_early(&mut connection, commits).await?;
    #[cfg(agentflow_fault = "serial_feed")]
    columns.renumber(commits, &numbers);
    let c = columns;
    let gathered = Instant::now();
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
        &c.event_runs,
        &c.event_places,
        &c.event_kinds,
        &c.event_steps as _,
        &c.event_data,
        &c.step_runs,
        &c.step_ids,
        &c.step_parents as _,
        &c.step_nodes,
        &c.step_kinds,
        &c.step_names,
        &c.step_ordinals,
        &c.step_states,
        &c.step_attempts,
        &c.step_inputs as _,
        &c.step_outputs as _,
        &c.step_errors as _,
        &c.step_details,
        &c.step_tokens_in,
        &c.step_tokens_out,
        &c.step_costs,
        &c.step_queued,
        &c.step_wakes as _,
        &c.gate_runs,
        &c.gate_ids,
        &c.gate_steps,
        &c.gate_kinds,
        &c.gate_titles,
        &c.gate_messages,
        &c.gate_payloads,
        &c.gate_hashes,
        &c.gate_impacts,
        &c.gate_reversible,
        &c.gate_roles as _,
        &c.gate_askers,
        &c.gate_expires as _,
        &c.gate_on_expiry,
        &c.gate_details,
        &c.withdrawn_runs,
        &c.withdrawn_steps,
        &c.gate_people,
        &c.gate_quorums,
        &c.gate_not_own,
        &c.gate_escalate_to as _,
        &c.gate_deadlines as _,
    )
    .fetch_all(&mut *connection)
    .await?;
    counters.serialise.add_time(gathered - begun);
    counters.database.add_time(gathered.elapsed());
    counters.commits.add(1);
    counters.decisions.add(commits.len() as u64);
    counters.events.add(c.event_runs.len() as u64);
    counters.steps.add(c.step_runs.len() as u64);
    #[cfg(agentflow_fault = "serial_feed")]
    super::broken::end(&mut connection).await?;
    let written: HashMap<_, _> = rows.into_iter().map(|row| (row.id, (row.base, row.at))).collect();
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

#[cfg(agentflow_fault = "serial_feed")]
impl Columns {
    /// The statement counts on from the run's last event: places that lead to the numbers that were given before.
    fn renumber(&mut self, commits: &[Commit], numbers: &[(i64, i64)]) {
        self.counts.iter_mut().for_each(|count| *count = 0);
        let back =
            commits.iter().zip(numbers).flat_map(|(commit, (base, last))| vec![base - last; commit.events.len()]);
        self.event_places.iter_mut().zip(back).for_each(|(place, back)| *place += back);
    }
}

async fn gather(connection: &mut sqlx::PgConnection, c: &mut Columns, commit: &Commit) -> Result<()> {
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
    for step in &commit.withdrawn {
        c.withdrawn_runs.push(run.uuid());
        c.withdrawn_steps.push(step.to_string());
    }
    for (place, event) in (1..).zip(&commit.events) {
        c.event_runs.push(run.uuid());
        c.event_places.push(place);
        c.event_kinds.push(event.name().to_owned());
        c.event_steps.push(event.step().map(|step| step.as_str().to_owned()));
        c.event_data.push(serde_json::to_value(event).map_err(Error::internal)?);
    }
    for step in &commit.steps {
        c.step_runs.push(run.uuid());
        c.step_ids.push(step.id.to_string());
        c.step_parents.push(step.id.parent().map(|parent| parent.to_string()));
        c.step_nodes.push(step.node.clone());
        c.step_kinds.push(step.kind.to_string());
        c.step_names.push(step.name.clone());
        c.step_ordinals.push(step.ordinal);
        c.step_states.push(step.state.to_string());
        c.step_attempts.push(step.attempt.cast_signed());
        c.step_inputs.push(pack(connection, org, step.input.as_ref()).await?);
        c.step_outputs.push(pack(connection, org, step.output.as_ref()).await?);
        c.step_errors.push(step.error.as_ref().map(serde_json::to_value).transpose().map_err(Error::internal)?);
        c.step_details.push(serde_json::to_value(&step.detail).map_err(Error::internal)?);
        c.step_tokens_in.push(step.usage.tokens_in.cast_signed());
        c.step_tokens_out.push(step.usage.tokens_out.cast_signed());
        c.step_costs.push(step.usage.cost.micros());
        c.step_queued.push(step.queued_at);
        c.step_wakes.push(step.wake_at);
    }
    for gate in &commit.approvals {
        c.gate_runs.push(run.uuid());
        c.gate_ids.push(gate.id.uuid());
        c.gate_steps.push(gate.step.to_string());
        c.gate_kinds.push(gate.kind.as_str().to_owned());
        c.gate_titles.push(gate.title.clone());
        c.gate_messages.push(gate.message.clone());
        c.gate_hashes.push(values::digest(&gate.payload));
        c.gate_payloads.push(gate.payload.clone());
        c.gate_impacts.push(gate.impact.clone());
        c.gate_reversible.push(gate.reversible);
        c.gate_roles.push(gate.role.map(|role| role.as_str().to_owned()));
        c.gate_askers.push(gate.requested_by.clone());
        c.gate_expires.push(gate.expires_at);
        c.gate_on_expiry.push(gate.on_expiry.as_str().to_owned());
        c.gate_details.push(serde_json::to_value(&gate.details).map_err(Error::internal)?);
        c.gate_people.push(Value::from(gate.rules.people.clone()));
        c.gate_quorums.push(gate.rules.quorum.cast_signed());
        c.gate_not_own.push(gate.rules.not_own);
        c.gate_escalate_to.push(gate.rules.escalate.map(|(role, _)| role.as_str().to_owned()));
        c.gate_deadlines.push(gate.rules.escalate.map(|(_, seconds)| seconds));
    }
    Ok(())
}

async fn pack(connection: &mut sqlx::PgConnection, org: OrgId, value: Option<&Value>) -> Result<Option<Value>> {
    match value {
        None => Ok(None),
        Some(value) => values::pack(connection, org, value).await.map(Some),
    }
}
