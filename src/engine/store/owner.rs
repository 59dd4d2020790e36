//! What the process that owns runs does, under the engine's role. Every write names the owner and its fence, and asks
//! that the owner's lease has not run out; what does not match is refused, never overwritten.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgPool, postgres::types::PgInterval};

use super::{Signal, values};
use crate::{
    approvals::ApprovalKind,
    engine::{
        journal::{Event, StoredEvent, Usage},
        machine::{Applied, Detail, Machine, NewApproval, Step},
        plan::Plan,
        state::{RunState, StepError, StepId, StepKind, StepState, WaitingOn},
    },
    kernel::{ApprovalId, Error, Money, NodeId, OrgId, Result, RunId, Timestamp},
};

/// A run that this node has just come to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The organization.
    pub org: OrgId,
    /// The run.
    pub run: RunId,
    /// The number that every write must name.
    pub fence: i64,
}

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
    /// Whether pending approvals are withdrawn.
    pub withdraws: bool,
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

/// Makes a node known and returns the database's clock.
///
/// # Errors
/// When the database does not answer.
pub async fn register(pool: &PgPool, node: NodeId, host: &str, lease_ms: i64) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(
        r#"insert into nodes (id, host, lease_until) values ($1, $2, clock_timestamp() + $3)
           on conflict (id) do update set lease_until = excluded.lease_until
           returning clock_timestamp() as "now!""#,
        node.uuid(),
        host,
        interval(lease_ms),
    )
    .fetch_one(pool)
    .await?)
}

/// Prolongs a node's lease. `None` when the node is not known any more: its runs have gone to others.
///
/// # Errors
/// When the database does not answer.
pub async fn beat(pool: &PgPool, node: NodeId, lease_ms: i64) -> Result<Option<Timestamp>> {
    Ok(sqlx::query_scalar!(
        r#"update nodes set lease_until = clock_timestamp() + $2
            where id = $1 and lease_until > clock_timestamp()
        returning clock_timestamp() as "now!""#,
        node.uuid(),
        interval(lease_ms),
    )
    .fetch_optional(pool)
    .await?)
}

/// Takes up to `limit` runs that nobody owns and whose time has come, the longest waiting first.
///
/// # Errors
/// When the database does not answer.
pub async fn claim(pool: &PgPool, node: NodeId, limit: i64) -> Result<Vec<Claim>> {
    let rows = sqlx::query!(
        "with due as (
           select organization_id, id from runs
            where owner is null and wake_at <= now()
              and exists (select from nodes where id = $1 and lease_until > clock_timestamp())
            order by wake_at
            limit $2
              for update skip locked
         )
         update runs r
            set owner = $1, fence = r.fence + 1, wake_at = null
           from due
          where r.organization_id = due.organization_id and r.id = due.id
         returning r.organization_id, r.id, r.fence",
        node.uuid(),
        limit,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Claim {
            org: OrgId::from_uuid(row.organization_id),
            run: RunId::from_uuid(row.id),
            fence: row.fence,
        })
        .collect())
}

/// Reads a run and its steps. `None` when the claim does not hold any more.
///
/// # Errors
/// When the database does not answer, or holds what cannot be read.
pub async fn load(pool: &PgPool, node: NodeId, claim: Claim) -> Result<Option<Machine>> {
    let mut connection = pool.acquire().await?;
    // One snapshot of the run and its steps.
    let mut tx = connection.begin().await?;
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    let row = sqlx::query!(
        "select plan_sha256, started_by_name, state, waiting_on, input, tokens_in, tokens_out, cost_micros, started_at,
                deadline_at, signals_seen
           from runs
          where organization_id = $1 and id = $2 and owner = $3 and fence = $4
            for share",
        org,
        run,
        node.uuid(),
        claim.fence,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let plan = sqlx::query_scalar!(
        "select body from artifacts where organization_id = $1 and sha256 = $2",
        org,
        row.plan_sha256,
    )
    .fetch_one(&mut *tx)
    .await?;
    let plan: Plan = serde_json::from_value(plan).map_err(Error::internal)?;
    let input = values::unpack(&mut tx, claim.org, row.input).await?;
    let state = RunState::parse(&row.state)
        .ok_or_else(|| Error::internal(format!("runs.state of {} is {}", claim.run, row.state)))?;
    let steps = load_steps(&mut tx, claim).await?;
    tx.commit().await?;
    let next_ordinal = steps.values().map(|step| step.ordinal + 1).max().unwrap_or(0);
    let recovered = state == RunState::Running
        && row.started_at.is_some()
        && steps.values().any(|step| step.state == StepState::Running);
    Ok(Some(Machine {
        org: claim.org,
        run: claim.run,
        fence: claim.fence,
        plan: Arc::new(plan),
        started_by: row.started_by_name,
        input,
        state,
        waiting_on: row.waiting_on.as_deref().and_then(WaitingOn::parse),
        started: row.started_at.is_some(),
        recovered,
        deadline_at: row.deadline_at,
        output: None,
        error: None,
        usage: Usage {
            tokens_in: row.tokens_in.cast_unsigned(),
            tokens_out: row.tokens_out.cast_unsigned(),
            cost: Money(row.cost_micros),
        },
        steps,
        next_ordinal,
        signals_seen: row.signals_seen,
        evaluating: HashMap::new(),
        in_flight: BTreeSet::new(),
        draining: false,
        maps: HashMap::new(),
    }))
}

async fn load_steps(connection: &mut sqlx::PgConnection, claim: Claim) -> Result<HashMap<StepId, Step>> {
    let rows = sqlx::query!(
        "select id, node_id, kind, name, ordinal, state, attempt, input, output, error, detail, tokens_in, tokens_out,
                cost_micros, queued_at, wake_at
           from steps where organization_id = $1 and run_id = $2",
        claim.org.uuid(),
        claim.run.uuid(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut steps = HashMap::with_capacity(rows.len());
    for row in rows {
        let bad = |column: &str| Error::internal(format!("steps.{column} of {}/{}", claim.run, row.id));
        let mut whole = [row.input, row.output];
        for value in whole.iter_mut().flatten() {
            *value = values::unpack(connection, claim.org, value.take()).await?;
        }
        let [input, output] = whole;
        let id = StepId::from_text(row.id.clone());
        steps.insert(
            id.clone(),
            Step {
                id,
                node: row.node_id,
                kind: StepKind::parse(&row.kind).ok_or_else(|| bad("kind"))?,
                name: row.name,
                ordinal: row.ordinal,
                state: StepState::parse(&row.state).ok_or_else(|| bad("state"))?,
                attempt: row.attempt.cast_unsigned(),
                input,
                output,
                error: row.error.map(serde_json::from_value).transpose().map_err(|_| bad("error"))?,
                detail: serde_json::from_value::<Detail>(row.detail).map_err(|_| bad("detail"))?,
                usage: Usage {
                    tokens_in: row.tokens_in.cast_unsigned(),
                    tokens_out: row.tokens_out.cast_unsigned(),
                    cost: Money(row.cost_micros),
                },
                queued_at: row.queued_at,
                wake_at: row.wake_at,
            },
        );
    }
    Ok(steps)
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
    withdraws: Vec<bool>,
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
}

/// Writes many runs' decisions in one statement, which is one transaction. The answer has one entry for each, in order.
///
/// # Errors
/// When the database did not confirm: then it is *unknown* whether it was written, and every run of it must be loaded
/// anew.
pub async fn commit(pool: &PgPool, node: NodeId, commits: &[Commit]) -> Result<Vec<Committed>> {
    let mut connection = pool.acquire().await?;
    let mut columns = Columns::default();
    for commit in commits {
        gather(&mut connection, &mut columns, commit).await?;
    }
    let c = columns;
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
        &c.withdraws,
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
    )
    .fetch_all(&mut *connection)
    .await?;
    let written: HashMap<_, _> = rows.into_iter().map(|row| (row.id, (row.base, row.at))).collect();
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
    c.withdraws.push(commit.withdraws);
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
        c.gate_kinds.push(kind_word(gate.kind).to_owned());
        c.gate_titles.push(gate.title.clone());
        c.gate_messages.push(gate.message.clone());
        c.gate_hashes.push(Sha256::digest(gate.payload.to_string().as_bytes()).to_vec());
        c.gate_payloads.push(gate.payload.clone());
        c.gate_impacts.push(gate.impact.clone());
        c.gate_reversible.push(gate.reversible);
        c.gate_roles.push(gate.role.map(|role| role.as_str().to_owned()));
        c.gate_askers.push(gate.requested_by.clone());
        c.gate_expires.push(gate.expires_at);
        c.gate_on_expiry.push(gate.on_expiry.as_str().to_owned());
    }
    Ok(())
}

const fn kind_word(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::Approval => "approval",
        ApprovalKind::Tool => "tool",
        ApprovalKind::Question => "question",
    }
}

async fn pack(connection: &mut sqlx::PgConnection, org: OrgId, value: Option<&Value>) -> Result<Option<Value>> {
    match value {
        None => Ok(None),
        Some(value) => values::pack(connection, org, value).await.map(Some),
    }
}

/// Lets go of a run without a decision, as at the end of the process: whoever claims it goes on at once.
///
/// # Errors
/// When the database does not answer.
pub async fn give_back(pool: &PgPool, node: NodeId, claim: Claim) -> Result<()> {
    sqlx::query!(
        "update runs set owner = null, wake_at = now()
          where organization_id = $1 and id = $2 and owner = $3 and fence = $4",
        claim.org.uuid(),
        claim.run.uuid(),
        node.uuid(),
        claim.fence,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Frees the runs of nodes whose lease has run out, and forgets those nodes. Returns how many runs it freed.
///
/// # Errors
/// When the database does not answer.
pub async fn reap(pool: &PgPool) -> Result<u64> {
    // Locking the node's row keeps its own heartbeat from prolonging a lease that is being taken away.
    let dead =
        sqlx::query_scalar!("select id from nodes where lease_until < clock_timestamp()",).fetch_all(pool).await?;
    let mut freed = 0;
    for node in dead {
        freed += sqlx::query!(
            "with dead as (
               select id from nodes where id = $1 and lease_until < clock_timestamp() for update skip locked
             )
             update runs set owner = null, wake_at = now(), crashes = crashes + 1
              where owner in (select id from dead)",
            node,
        )
        .execute(pool)
        .await?
        .rows_affected();
        sqlx::query!(
            "delete from nodes
              where id = $1 and lease_until < clock_timestamp() and not exists (select from runs where owner = $1)",
            node,
        )
        .execute(pool)
        .await?;
    }
    Ok(freed)
}

/// Takes a node off the list at the end of its process, and frees what it still owns.
///
/// # Errors
/// When the database does not answer.
pub async fn retire(pool: &PgPool, node: NodeId) -> Result<()> {
    sqlx::query!("update runs set owner = null, wake_at = now() where owner = $1", node.uuid()).execute(pool).await?;
    sqlx::query!("delete from nodes where id = $1", node.uuid()).execute(pool).await?;
    Ok(())
}

/// The decisions of a run that have begun to act, those whose deadline has passed included, and when the next one will.
/// From here on they are final: nobody can take one back.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_approvals(pool: &PgPool, node: NodeId, claim: Claim) -> Result<(Vec<Applied>, Option<Timestamp>)> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    let owned = sqlx::query_scalar!(
        r#"select true as "owned!" from runs
            where organization_id = $1 and id = $2 and owner = $3 and fence = $4 for share"#,
        org,
        run,
        node.uuid(),
        claim.fence,
    )
    .fetch_optional(&mut *tx)
    .await?;
    if owned.is_none() {
        return Ok((Vec::new(), None));
    }
    sqlx::query!(
        "update approvals
            set state = 'expired', decided_at = now(), effective_at = now(), applied_at = now(),
                decided_by_name = 'The deadline'
          where organization_id = $1 and run_id = $2 and state = 'pending' and expires_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update approvals set applied_at = now()
          where organization_id = $1 and run_id = $2 and state in ('approved', 'rejected')
            and applied_at is null and effective_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
    let rows = sqlx::query!(
        r#"select id, step_id, state, on_expiry, decided_by_name, reason, payload, edited_payload
             from approvals
            where organization_id = $1 and run_id = $2 and applied_at is not null
            order by applied_at, id"#,
        org,
        run,
    )
    .fetch_all(&mut *tx)
    .await?;
    let next = sqlx::query_scalar!(
        "select min(effective_at) from approvals
          where organization_id = $1 and run_id = $2 and state in ('approved', 'rejected') and applied_at is null",
        org,
        run,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    let applied = rows
        .into_iter()
        .map(|row| Applied {
            id: ApprovalId::from_uuid(row.id),
            step: StepId::from_text(row.step_id),
            approved: row.state == "approved" || (row.state == "expired" && row.on_expiry == "approve"),
            expired: row.state == "expired",
            by: row.decided_by_name.unwrap_or_else(|| "Somebody".to_owned()),
            reason: row.reason,
            payload: row.edited_payload.unwrap_or(row.payload),
        })
        .collect();
    Ok((applied, next))
}

/// The signals of a run after a number, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn signals_after(pool: &PgPool, claim: Claim, seen: i64) -> Result<Vec<(i64, Signal)>> {
    let rows = sqlx::query!(
        "select number, data from run_signals
          where organization_id = $1 and run_id = $2 and number > $3 order by number",
        claim.org.uuid(),
        claim.run.uuid(),
        seen,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(|row| Ok((row.number, serde_json::from_value(row.data).map_err(Error::internal)?))).collect()
}

/// The runs of a node that have signals which were not read.
///
/// # Errors
/// When the database does not answer.
pub async fn signalled(pool: &PgPool, node: NodeId) -> Result<Vec<RunId>> {
    let ids = sqlx::query_scalar!("select id from runs where owner = $1 and signals > signals_seen", node.uuid())
        .fetch_all(pool)
        .await?;
    Ok(ids.into_iter().map(RunId::from_uuid).collect())
}

/// All runs of a node, with their fences.
///
/// # Errors
/// When the database does not answer.
pub async fn owned(pool: &PgPool, node: NodeId) -> Result<Vec<Claim>> {
    let rows = sqlx::query!("select organization_id, id, fence from runs where owner = $1", node.uuid())
        .fetch_all(pool)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Claim {
            org: OrgId::from_uuid(row.organization_id),
            run: RunId::from_uuid(row.id),
            fence: row.fence,
        })
        .collect())
}

/// Tells the other processes which runs have news. A hint: they read the tables.
///
/// # Errors
/// When the database does not answer.
pub async fn notify(pool: &PgPool, payload: &str) -> Result<()> {
    sqlx::query!("select pg_notify('agentflow_events', $1)", payload).execute(pool).await?;
    Ok(())
}

fn interval(milliseconds: i64) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: milliseconds * 1_000 }
}
