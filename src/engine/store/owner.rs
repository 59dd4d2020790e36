//! What the process that owns runs does, under the engine's role. Every write names the owner and its fence, and asks
//! that the owner's lease has not run out; what does not match is refused, never overwritten.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sqlx::{PgConnection, PgPool, postgres::types::PgInterval};

use super::{Signal, values};
use crate::{
    engine::{
        journal::Usage,
        machine::{Detail, Machine, Step},
        plan::Plan,
        state::{RunState, StepId, StepKind, StepState, WaitingOn},
    },
    kernel::{Error, Money, NodeId, OrgId, Result, RunId, Timestamp},
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

/// Plans by organization and content.
type PlansByContent = HashMap<(OrgId, Vec<u8>), Arc<Plan>>;

/// Plans that were read: the runs of a workflow share one.
#[derive(Debug, Default)]
pub struct Plans(Mutex<PlansByContent>);

impl Plans {
    /// Plans that are kept at most.
    const KEPT: usize = 256;

    fn known(&self) -> MutexGuard<'_, PlansByContent> {
        // The map is whole after a panic elsewhere: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, connection: &mut PgConnection, org: OrgId, hash: Vec<u8>) -> Result<Arc<Plan>> {
        let key = (org, hash);
        if let Some(plan) = self.known().get(&key) {
            return Ok(plan.clone());
        }
        let body = sqlx::query_scalar!(
            "select body from artifacts where organization_id = $1 and sha256 = $2",
            org.uuid(),
            key.1,
        )
        .fetch_one(connection)
        .await?;
        let plan = Arc::new(serde_json::from_value(body).map_err(Error::internal)?);
        let mut known = self.known();
        if known.len() >= Self::KEPT {
            known.clear();
        }
        known.insert(key, Arc::clone(&plan));
        Ok(plan)
    }
}

/// A run as its owner finds it.
#[derive(Debug)]
pub struct Loaded {
    /// The run and its steps.
    pub machine: Machine,
    /// Whether there are signals that were not read.
    pub has_signals: bool,
}

/// Waits until whoever writes a run is done. A write of this very owner whose outcome is not known may still be under
/// way: a read before its end would not see it.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_writes(pool: &PgPool, claim: Claim) -> Result<()> {
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    sqlx::query!("select id from runs where organization_id = $1 and id = $2 for share", org, run)
        .fetch_optional(pool)
        .await?;
    Ok(())
}

/// Reads a run and its steps. `None` when the claim does not hold any more.
///
/// No transaction holds the two together: only the owner writes steps, so when they are newer than the run, the run has
/// gone to another owner, and whatever is decided from this reading is refused.
///
/// # Errors
/// When the database does not answer, or holds what cannot be read.
pub async fn load(pool: &PgPool, node: NodeId, claim: Claim, plans: &Plans) -> Result<Option<Loaded>> {
    let mut connection = pool.acquire().await?;
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    let row = sqlx::query!(
        r#"select plan_sha256, started_by_name, state, waiting_on, input, tokens_in, tokens_out, cost_micros,
                  started_at, deadline_at, signals_seen, crashes, suspect, signals > signals_seen as "has_signals!",
                  started_at is null and retry_of is null as "is_new!"
             from runs
            where organization_id = $1 and id = $2 and owner = $3 and fence = $4"#,
        org,
        run,
        node.uuid(),
        claim.fence,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let plan = plans.find(&mut connection, claim.org, row.plan_sha256).await?;
    let input = values::unpack(&mut connection, claim.org, row.input).await?;
    let state = RunState::parse(&row.state)
        .ok_or_else(|| Error::internal(format!("runs.state of {} is {}", claim.run, row.state)))?;
    // A run that nobody has begun has no steps, unless it takes some over.
    let steps = if row.is_new { HashMap::new() } else { load_steps(&mut connection, claim).await? };
    let next_ordinal = steps.values().map(|step| step.ordinal + 1).max().unwrap_or(0);
    let recovered = state == RunState::Running
        && row.started_at.is_some()
        && steps.values().any(|step| step.state == StepState::Running);
    let machine = Machine {
        state,
        waiting_on: row.waiting_on.as_deref().and_then(WaitingOn::parse),
        started: row.started_at.is_some(),
        recovered,
        crashes: row.crashes.cast_unsigned(),
        suspect: row.suspect.map(StepId::from_text),
        usage: Usage {
            tokens_in: row.tokens_in.cast_unsigned(),
            tokens_out: row.tokens_out.cast_unsigned(),
            cost: Money(row.cost_micros),
        },
        steps,
        next_ordinal,
        signals_seen: row.signals_seen,
        ..Machine::new(claim.org, claim.run, claim.fence, plan, row.started_by_name, input, row.deadline_at)
    };
    Ok(Some(Loaded { machine, has_signals: row.has_signals }))
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

/// Lets go of a run for a while, without a decision: until its deadline at most, and not at all when it is to be stopped.
///
/// # Errors
/// When the database does not answer.
pub async fn postpone(pool: &PgPool, node: NodeId, claim: Claim, pause_ms: i64) -> Result<()> {
    sqlx::query!(
        "update runs
            set owner = null,
                wake_at = case when state = 'cancelling' then now() else least(now() + $5, deadline_at) end
          where organization_id = $1 and id = $2 and owner = $3 and fence = $4",
        claim.org.uuid(),
        claim.run.uuid(),
        node.uuid(),
        claim.fence,
        interval(pause_ms),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that a suspected call of a run goes out. `false`: the run is not this node's any more.
///
/// # Errors
/// When the database does not answer.
pub async fn note_suspect(pool: &PgPool, node: NodeId, claim: Claim, step: &StepId) -> Result<bool> {
    let noted = sqlx::query!(
        "update runs set suspect = $5, suspect_fence = $4
          where organization_id = $1 and id = $2 and owner = $3 and fence = $4",
        claim.org.uuid(),
        claim.run.uuid(),
        node.uuid(),
        claim.fence,
        step.as_str(),
    )
    .execute(pool)
    .await?;
    Ok(noted.rows_affected() > 0)
}

/// Whether a run is this node's.
///
/// # Errors
/// When the database does not answer.
pub async fn is_owner(pool: &PgPool, node: NodeId, claim: Claim) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from runs where organization_id = $1 and id = $2 and owner = $3 and fence = $4
           ) as "is!""#,
        claim.org.uuid(),
        claim.run.uuid(),
        node.uuid(),
        claim.fence,
    )
    .fetch_one(pool)
    .await?)
}

/// Frees the runs of nodes whose lease has run out, and forgets those nodes. Returns how many runs it freed.
///
/// What an owner before the lost one noted of a suspect is forgotten. Of several that were lost one after the other, the
/// first alone had come to a call.
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
             update runs
                set owner = null, wake_at = now(), crashes = crashes + 1,
                    suspect = case when crashes > 0 or suspect_fence = fence then suspect end
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
    // From here on no run is started in its hands. One that is being started just now holds the node's row until its
    // commit: then the row cannot go, and the run is freed by the second try.
    sqlx::query!("update nodes set lease_until = clock_timestamp() where id = $1", node.uuid()).execute(pool).await?;
    let mut gone = Ok(());
    for _ in 0..2 {
        sqlx::query!("update runs set owner = null, wake_at = now() where owner = $1", node.uuid())
            .execute(pool)
            .await?;
        gone = sqlx::query!("delete from nodes where id = $1", node.uuid()).execute(pool).await.map(drop);
        if gone.is_ok() {
            break;
        }
    }
    Ok(gone?)
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
