//! What services do to runs, inside of their own transaction: start, signal, retry. Each ends with the caller's commit
//! and then [`crate::engine::handle::Engine::committed`].

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Claim, Group, groups, values};
use crate::{
    db::TenantTx,
    engine::{
        journal::Event,
        machine::Machine,
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
    pub plan: Plan,
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
}

/// A run that was started in the hands of a node of this process.
#[derive(Debug)]
pub struct Fresh {
    /// That it is the node's.
    pub claim: Claim,
    /// The run; nothing where it has to be read.
    pub machine: Option<Box<Machine>>,
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

/// Writes a run, in the hands of `node` if one is named, alive, and allowed to; else the next free node takes it up. A run
/// whose group is full is held until it has its turn. Durable with the caller's commit, after which [`crate::engine::handle::Engine::started`] is to be told.
///
/// # Errors
/// When the database does not answer.
pub async fn start_run(tx: &mut TenantTx, run: &NewRun, node: Option<NodeId>) -> Result<Option<Fresh>> {
    let org = tx.org();
    let plan = serde_json::to_value(&run.plan).map_err(Error::internal)?;
    let (plan_hash, plan_bytes) = values::address(&plan.to_string())?;
    let input = values::pack(tx.conn(), org, &run.input).await?;
    // A year at most, so that the sum stays a date.
    let deadline_s = run.deadline_s.map(|seconds| seconds.min(366 * 86_400) as f64);
    let event = Event::RunQueued { by: run.started_by_name.clone() };
    if let Some(group) = &run.group {
        groups::lock(tx.conn(), org, &group.key).await?;
        groups::set_limit(tx.conn(), org, group).await?;
    }
    let row = sqlx::query!(
        r#"with plan as (
           insert into artifacts (organization_id, sha256, bytes, body) values ($1, $5, $19, $20)
           on conflict (organization_id, sha256) do nothing
         ),
         place as (
           select (
             select n.id from nodes n, organizations o
              where n.id = $15 and n.lease_until > clock_timestamp()
                -- Where runs are counted, a claim does it, or an admission.
                and o.id = $1 and o.max_running is null and $17::text is null
           ) as node
         ),
         made as (
           insert into runs
             (organization_id, id, workflow_id, workflow_version, plan_sha256, title, trigger, started_by,
              started_by_name, retry_of, input, deadline_at, last_seq, priority,
              concurrency_key, concurrency_limit, held, owner, fence, wake_at)
           select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + make_interval(secs => $12), 1, $16,
                  $17, $18::integer, $17 is not null, node, (node is not null)::integer,
                  case
                    when node is not null then null
                    -- Held until it is admitted, at most until its deadline has surely passed: then it is failed.
                    when $17 is not null then now() + make_interval(secs => $12 + 1)
                    else now()
                  end
             from place
           returning owner, fence, input, deadline_at
         ),
         told as (
           insert into run_events (organization_id, run_id, seq, kind, data) values ($1, $2, 1, $13, $14)
         )
         select owner is not null as "owned!", fence, input, deadline_at from made"#,
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
        event.name(),
        serde_json::to_value(&event).map_err(Error::internal)?,
        node.map(NodeId::uuid),
        run.priority.rank(),
        run.group.as_ref().map(|group| group.key.as_str()) as _,
        run.group.as_ref().map(|group| i32::try_from(group.limit).unwrap_or(i32::MAX)) as _,
        plan_bytes,
        plan,
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
    // Steps that are taken over, and inputs that stand elsewhere, are read by whoever works on it.
    let is_whole = run.retry_of.is_none() && row.input.get("$artifact").is_none();
    let machine = is_whole.then(|| {
        let plan = Arc::new(run.plan.clone());
        let by = run.started_by_name.clone();
        // The input as the database gives it back: what a later owner finds.
        Box::new(Machine::new(org, run.id, row.fence, plan, by, row.input, row.deadline_at))
    });
    Ok(Some(Fresh { claim, machine }))
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
                  detail - 'failures' - 'mending' - 'asked' - 'again' - 'locks' - 'lock' - 'spent' - 'granted' - 'approval',
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
