//! A run's approvals as its owner sees them: opened and withdrawn by its writes; when it looks, decisions begin to act
//! and deadlines pass.

use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Claim, Commit, values};
use crate::{
    access::Role,
    db,
    engine::{
        machine::{Applied, Escalated, Ruling},
        state::StepId,
    },
    kernel::{ApprovalId, Error, NodeId, Result, Timestamp},
};

/// The columns of approvals that are opened.
#[derive(Default)]
struct Columns {
    orgs: Vec<Uuid>,
    ids: Vec<Uuid>,
    runs: Vec<Uuid>,
    steps: Vec<String>,
    kinds: Vec<String>,
    titles: Vec<String>,
    messages: Vec<String>,
    payloads: Vec<Value>,
    hashes: Vec<Vec<u8>>,
    impacts: Vec<String>,
    reversible: Vec<bool>,
    roles: Vec<Option<String>>,
    askers: Vec<String>,
    expires: Vec<Option<Timestamp>>,
    on_expiry: Vec<String>,
    details: Vec<Value>,
    people: Vec<Value>,
    quorums: Vec<i32>,
    not_own: Vec<bool>,
    escalate_to: Vec<Option<String>>,
    deadlines: Vec<Option<i64>>,
}

/// Opens the approvals of decisions that have just been written, in their transaction. A step asks once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn open<'c>(tx: &mut PgConnection, written: impl Iterator<Item = &'c Commit>) -> Result<()> {
    let mut c = Columns::default();
    for (claim, gate) in written.flat_map(|commit| commit.approvals.iter().map(|gate| (commit.claim, gate))) {
        c.orgs.push(claim.org.uuid());
        c.ids.push(gate.id.uuid());
        c.runs.push(claim.run.uuid());
        c.steps.push(gate.step.to_string());
        c.kinds.push(gate.kind.as_str().to_owned());
        c.titles.push(gate.title.clone());
        c.messages.push(gate.message.clone());
        c.hashes.push(values::digest(&gate.payload));
        c.payloads.push(gate.payload.clone());
        c.impacts.push(gate.impact.clone());
        c.reversible.push(gate.reversible);
        c.roles.push(gate.role.map(|role| role.as_str().to_owned()));
        c.askers.push(gate.requested_by.clone());
        c.expires.push(gate.expires_at);
        c.on_expiry.push(gate.on_expiry.as_str().to_owned());
        c.details.push(serde_json::to_value(&gate.details).map_err(Error::internal)?);
        c.people.push(Value::from(gate.rules.people.clone()));
        c.quorums.push(gate.rules.quorum.cast_signed());
        c.not_own.push(gate.rules.not_own);
        c.escalate_to.push(gate.rules.escalate.map(|(role, _)| role.as_str().to_owned()));
        c.deadlines.push(gate.rules.escalate.map(|(_, seconds)| seconds));
    }
    if c.ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into approvals (
           organization_id, id, run_id, step_id, kind, title, message, payload, payload_sha256, impact, reversible,
           decider_role, requested_by, expires_at, on_expiry, details, decider_emails, quorum, not_own, escalate_to,
           deadline_s
         )
         select
           t.organization_id, t.id, t.run_id, t.step_id, t.kind, t.title, t.message, t.payload, t.payload_sha256,
           t.impact, t.reversible, t.decider_role, t.requested_by, t.expires_at, t.on_expiry, t.details,
           array(select jsonb_array_elements_text(t.people)), t.quorum, t.not_own, t.escalate_to, t.deadline_s
           from unnest(
             $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[],
             $9::bytea[], $10::text[], $11::boolean[], $12::text[], $13::text[], $14::timestamptz[], $15::text[],
             $16::jsonb[], $17::jsonb[], $18::integer[], $19::boolean[], $20::text[], $21::bigint[]
           ) as t (
             organization_id, id, run_id, step_id, kind, title, message, payload, payload_sha256, impact, reversible,
             decider_role, requested_by, expires_at, on_expiry, details, people, quorum, not_own, escalate_to, deadline_s
           )
         on conflict (organization_id, run_id, step_id) do nothing",
        &c.orgs,
        &c.ids,
        &c.runs,
        &c.steps,
        &c.kinds,
        &c.titles,
        &c.messages,
        &c.payloads,
        &c.hashes,
        &c.impacts,
        &c.reversible,
        &c.roles as _,
        &c.askers,
        &c.expires as _,
        &c.on_expiry,
        &c.details,
        &c.people,
        &c.quorums,
        &c.not_own,
        &c.escalate_to as _,
        &c.deadlines as _,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Withdraws what stopped steps have asked and nobody has decided, in the transaction of the decisions that stopped them.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn withdraw<'c>(tx: &mut PgConnection, written: impl Iterator<Item = &'c Commit>) -> Result<()> {
    let (mut orgs, mut runs, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for (claim, step) in written.flat_map(|commit| commit.withdrawn.iter().map(|step| (commit.claim, step))) {
        orgs.push(claim.org.uuid());
        runs.push(claim.run.uuid());
        steps.push(step.to_string());
    }
    if steps.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update approvals a
            set state = 'withdrawn', decided_at = now(), applied_at = now()
           from unnest($1::uuid[], $2::uuid[], $3::text[]) as t (organization_id, run_id, step_id)
          where a.organization_id = t.organization_id and a.run_id = t.run_id and a.step_id = t.step_id
            and a.state = 'pending'",
        &orgs,
        &runs,
        &steps,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What has become of a run's approvals.
#[derive(Debug, Default)]
pub struct Settled {
    /// The decisions that have begun to act, those of deadlines included. They are final: nobody can take one back.
    pub applied: Vec<Applied>,
    /// Those that a deadline has handed over and that still wait. All of them, each time: an owner that was lost may not
    /// have written down what it heard.
    pub escalated: Vec<Escalated>,
    /// When the next decision begins to act.
    pub next: Option<Timestamp>,
}

/// Lets what is due happen to a run's approvals, and tells what has become of them.
///
/// # Errors
/// When the database does not answer.
pub async fn settle_approvals(pool: &PgPool, node: NodeId, claim: Claim) -> Result<Settled> {
    let mut tx = db::begin(pool).await?;
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
        return Ok(Settled::default());
    }
    // The first deadline of those that are handed over; at the second they are rejected like others.
    sqlx::query!(
        "update approvals
            set decider_role = coalesce(escalate_to, 'admin'), decider_emails = '{}', on_expiry = 'reject',
                escalated_at = now(), expires_at = now() + make_interval(secs => coalesce(deadline_s, 86400)),
                noticed_at = null
          where organization_id = $1 and run_id = $2 and state = 'pending' and on_expiry = 'escalate'
            and expires_at <= now()",
        org,
        run,
    )
    .execute(&mut *tx)
    .await?;
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
        r#"select id, step_id, state, asks_changes, skips, on_expiry, decided_by_name, reason, payload, edited_payload
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
    let handed_over = sqlx::query!(
        r#"select id, step_id, decider_role, expires_at as "expires_at!" from approvals
            where organization_id = $1 and run_id = $2 and state = 'pending' and escalated_at is not null
              and expires_at is not null
            order by escalated_at, id"#,
        org,
        run,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let escalated = handed_over.into_iter().map(|row| Escalated {
        id: ApprovalId::from_uuid(row.id),
        step: StepId::from_text(row.step_id),
        to: row.decider_role.as_deref().and_then(Role::parse).unwrap_or(Role::Admin),
        until: row.expires_at,
    });
    let escalated = escalated.collect();
    let applied = rows
        .into_iter()
        .map(|row| Applied {
            id: ApprovalId::from_uuid(row.id),
            step: StepId::from_text(row.step_id),
            ruling: match (row.state.as_str(), row.on_expiry.as_str()) {
                ("approved", _) if row.skips => Ruling::Skipped,
                ("approved", _) | ("expired", "approve") => Ruling::Approved,
                _ if row.asks_changes => Ruling::ChangesRequested,
                _ => Ruling::Rejected,
            },
            expired: row.state == "expired",
            by: row.decided_by_name.unwrap_or_else(|| "Somebody".to_owned()),
            reason: row.reason,
            payload: row.edited_payload.unwrap_or(row.payload),
        })
        .collect();
    Ok(Settled { applied, escalated, next })
}
