//! What services do to runs, inside of their own transaction: start, signal, retry. Each ends with the caller's commit
//! and then [`crate::engine::handle::Engine::committed`].

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Claim, Group, commit::Journal, groups, values};
use crate::{
    db::TenantTx,
    engine::{
        journal::{Event, StoredEvent},
        machine::{Effect, Machine, Step},
        plan::Plan,
        reuse::Reuse,
        state::{Priority, RunState, StepId},
    },
    kernel::{ApprovalId, Error, NodeId, OrgId, Result, RunId, Timestamp, WorkflowId},
};

/// A run to be started. The caller has checked the input and the permission.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Its workflow.
    pub workflow: WorkflowId,
    /// The version that it runs.
    pub workflow_version: i32,
    /// What it executes.
    pub plan: Arc<Plan>,
    /// Its title.
    pub title: String,
    /// `person`, `api`, `test` or `retry`.
    pub trigger: &'static str,
    /// Who started it: [`crate::access::Actor::reference`].
    pub started_by: String,
    /// The name to show.
    pub started_by_name: String,
    /// Its input.
    pub input: Value,
    /// Seconds in which it must end.
    pub deadline_s: Option<u64>,
    /// The run that it retries.
    pub retry_of: Option<RunId>,
    /// Whether it goes before other runs of its organization.
    pub priority: Priority,
    /// The group of which only so many runs are under way at once.
    pub group: Option<Group>,
    /// What it is found by again.
    pub labels: Vec<String>,
}

impl NewRun {
    /// Seconds in which it must end: a year at most, so that the sum stays a date.
    #[must_use]
    pub fn lasts_s(&self) -> Option<u32> {
        self.deadline_s.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX).min(366 * 86_400))
    }
}

/// What a run that is about to be started does first, decided before it is written and written along with it.
#[derive(Debug)]
pub struct First {
    /// The run as it is afterwards.
    pub machine: Box<Machine>,
    /// What happens, in order.
    pub events: Vec<Event>,
    /// The steps that come to be by it.
    pub steps: Vec<Step>,
    /// What its owner is to do once it is written.
    pub effects: Vec<Effect>,
}

/// The node in whose hands a run is about to be started, and what it does first; nothing where it has to be read for that.
#[derive(Debug)]
pub struct Begin {
    /// The node.
    pub node: NodeId,
    /// What it does.
    pub first: Option<First>,
}

/// A run that was started in the hands of a node of this process.
#[derive(Debug)]
pub struct Fresh {
    /// That it is the node's.
    pub claim: Claim,
    /// The run, and what is to be done; nothing where it has to be read.
    pub work: Option<(Box<Machine>, Vec<Effect>)>,
    /// Its events so far.
    pub events: Vec<StoredEvent>,
}

/// What the outside tells a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Signal {
    /// Stop.
    Cancel {
        /// Who stops it.
        by: String,
    },
    /// Hold it.
    Pause {
        /// Who holds it.
        by: String,
    },
    /// Let it go on.
    Resume {
        /// Who lets it.
        by: String,
    },
    /// An event came for a step, or the locks that it waits for.
    Event {
        /// The step that waits for it.
        step: StepId,
    },
    /// An approval was decided.
    Approval {
        /// Which.
        id: ApprovalId,
        /// When the decision begins to act.
        at: Timestamp,
    },
}

/// Writes a run, in the hands of the node that begins it if that is alive and the organization's runs are not counted;
/// else the next free node takes it up. A run whose group is full is held until it has its turn. Durable with the caller's
/// commit, after which [`crate::engine::handle::Engine::started`] is to be told.
///
/// # Errors
/// When the database does not answer.
pub async fn start_run(tx: &mut TenantTx, run: &NewRun, begin: Option<Begin>) -> Result<Option<Fresh>> {
    let org = tx.org();
    let plan = serde_json::to_value(&run.plan).map_err(Error::internal)?;
    let (plan_hash, plan_bytes) = values::address(&plan.to_string())?;
    let input = values::pack(tx.conn(), org, &run.input).await?;
    let deadline_s = run.lasts_s().map(f64::from);
    let queued = Event::RunQueued { by: run.started_by_name.clone() };
    let (node, first) = begin.map_or((None, None), |begin| (Some(begin.node), begin.first));
    let mut journal = Journal::default();
    if let Some(first) = &first {
        journal.add(tx.conn(), org, run.id, &first.events, &first.steps).await?;
    }
    let j = journal;
    if let Some(group) = &run.group {
        groups::lock(tx.conn(), org, &group.key).await?;
        groups::set_limit(tx.conn(), org, group).await?;
    }
    let row = sqlx::query_file!(
        "src/engine/store/start.sql",
        org.uuid(),
        run.id.uuid(),
        run.workflow.uuid(),
        run.workflow_version,
        plan_hash,
        run.title,
        run.trigger,
        run.started_by,
        run.started_by_name,
        run.retry_of.map(RunId::uuid),
        input,
        deadline_s,
        queued.name(),
        serde_json::to_value(&queued).map_err(Error::internal)?,
        node.map(NodeId::uuid),
        run.priority.rank(),
        run.group.as_ref().map(|group| group.key.as_str()) as _,
        run.group.as_ref().map(|group| i32::try_from(group.limit).unwrap_or(i32::MAX)) as _,
        plan_bytes,
        plan,
        first.is_some(),
        &j.event_places,
        &j.event_kinds,
        &j.event_steps as _,
        &j.event_data,
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
        &j.step_queued,
        &j.step_wakes as _,
        &run.labels,
    )
    .fetch_one(tx.conn())
    .await?;
    if let Some(group) = &run.group {
        groups::admit_next(tx.conn(), org, &group.key).await?;
    }
    if !row.owned {
        return Ok(None);
    }
    let claim = Claim { org, run: run.id, fence: row.fence };
    let mut events = vec![queued];
    let work = first.map(|mut first| {
        first.machine.deadline_at = row.deadline_at;
        events.extend(first.events);
        (first.machine, first.effects)
    });
    let events = (1..).zip(events).map(|(seq, event)| StoredEvent { seq, at: row.at, event }).collect();
    Ok(Some(Fresh { claim, work, events }))
}

/// Tells a run something, under its row's lock: appends the events, numbers the signal, wakes the run. `None` when there
/// is no such run or it has ended: then nothing was written. A cancel also makes the state `cancelling`.
///
/// # Errors
/// When the database does not answer.
pub async fn signal(tx: &mut TenantTx, run: RunId, signal: &Signal, events: &[Event]) -> Result<Option<RunState>> {
    let org = tx.org();
    signal_run(tx.conn(), org, run, signal, events).await
}

/// Writes into a run's journal what happens around it and does not wake it. `false` when there is no such run or it has
/// ended: then nothing was written.
///
/// # Errors
/// When the database does not answer.
pub async fn tell(tx: &mut TenantTx, run: RunId, events: &[Event]) -> Result<bool> {
    let org = tx.org();
    let last = sqlx::query_scalar!(
        "update runs set last_seq = last_seq + $3
          where organization_id = $1 and id = $2 and state not in ('succeeded', 'failed', 'cancelled')
        returning last_seq",
        org.uuid(),
        run.uuid(),
        events.len() as i64,
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(last) = last else { return Ok(false) };
    for (seq, event) in (last - events.len() as i64 + 1..).zip(events) {
        append(tx.conn(), org, run, seq, event).await?;
    }
    Ok(true)
}

/// [`signal`] in a transaction of the engine's.
pub(super) async fn signal_run(
    connection: &mut PgConnection,
    org: OrgId,
    run: RunId,
    signal: &Signal,
    events: &[Event],
) -> Result<Option<RunState>> {
    let (cancels, at) = match signal {
        Signal::Cancel { .. } => (true, None),
        Signal::Approval { at, .. } => (false, Some(*at)),
        Signal::Pause { .. } | Signal::Resume { .. } | Signal::Event { .. } => (false, None),
    };
    let row = sqlx::query!(
        r#"update runs
              set last_seq = last_seq + $3,
                  signals = signals + 1,
                  state = case when $4 then 'cancelling' else state end,
                  waiting_on = case when $4 then null else waiting_on end,
                  -- An owner hears of it at once; a sleeping run is woken when the signal begins to act.
                  -- One that is held hears of it when it is let in, but for the wish to stop.
                  wake_at = case when owner is null and (not held or $4) then least(coalesce(wake_at, 'infinity'), coalesce($5, now())) else wake_at end
            where organization_id = $1 and id = $2
              and state not in ('succeeded', 'failed', 'cancelled')
              and not ($4 and state = 'cancelling')
        returning last_seq, signals, state"#,
        org.uuid(),
        run.uuid(),
        events.len() as i64,
        cancels,
        at,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let data = serde_json::to_value(signal).map_err(Error::internal)?;
    sqlx::query!(
        "insert into run_signals (organization_id, run_id, number, data) values ($1, $2, $3, $4)",
        org.uuid(),
        run.uuid(),
        row.signals,
        data,
    )
    .execute(&mut *connection)
    .await?;
    let first = row.last_seq - events.len() as i64 + 1;
    for (seq, event) in (first..).zip(events) {
        append(connection, org, run, seq, event).await?;
    }
    Ok(RunState::parse(&row.state))
}

/// Copies the recorded steps that a new run takes over from another one, in the transaction that starts it.
///
/// # Errors
/// When the database does not answer.
pub async fn take_over(tx: &mut TenantTx, from: RunId, to: RunId, reuse: &Reuse) -> Result<()> {
    if reuse.kept.is_empty() {
        return Ok(());
    }
    let texts = |ids: &BTreeSet<StepId>| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
    let org = tx.org();
    sqlx::query!(
        r#"insert into steps
             (organization_id, run_id, id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output,
              detail, queued_at, started_at, finished_at)
           select $1, $3::uuid, id, parent_id, node_id, kind, name, ordinal, state, attempt, input, output,
                  detail || '{"reused": true}', queued_at, started_at, finished_at
             from steps where organization_id = $1 and run_id = $2 and id = any($4)
           union all
           select $1, $3::uuid, id, parent_id, node_id, kind, name, ordinal, 'running', 1, input, null,
                  (detail - 'failures' - 'mending' - 'asked' - 'again' - 'locks' - 'lock' - 'spent' - 'granted' - 'approval')
                      #- '{task,given_up}',
                  now(), now(), null
             from steps where organization_id = $1 and run_id = $2 and id = any($5)"#,
        org.uuid(),
        from.uuid(),
        to.uuid(),
        &texts(&reuse.kept),
        &texts(&reuse.reopened),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn append(connection: &mut PgConnection, org: OrgId, run: RunId, seq: i64, event: &Event) -> Result<()> {
    let data = serde_json::to_value(event).map_err(Error::internal)?;
    sqlx::query!(
        "insert into run_events (organization_id, run_id, seq, kind, step_id, data) values ($1, $2, $3, $4, $5, $6)",
        org.uuid(),
        run.uuid(),
        seq,
        event.name(),
        event.step().map(|step| step.as_str().to_owned()),
        data,
    )
    .execute(connection)
    .await?;
    Ok(())
}
