//! Events from the outside, and the steps that wait for them. An event and a wait find each other whichever comes first:
//! each is committed before it is looked for the other, and the looking is done by one at a time for a key.

use serde_json::Value;
use sqlx::PgPool;

use super::{Claim, Signal, external, values};
use crate::{
    db::{self, TenantTx},
    engine::state::StepId,
    kernel::{EventId, OrgId, Result, RunId},
};

/// Keeps an event. It reaches nobody before [`deliver`] is called, after the caller's commit.
///
/// # Errors
/// When the database does not answer.
pub async fn keep_event(
    tx: &mut TenantTx,
    id: EventId,
    key: &str,
    data: &Value,
    sent_by: &str,
    lasts_s: u32,
) -> Result<()> {
    let org = tx.org();
    let data = values::pack(tx.conn(), org, data).await?;
    sqlx::query!(
        "insert into inbound_events (organization_id, id, key, data, sent_by, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        org.uuid(),
        id.uuid(),
        key,
        data,
        sent_by,
        f64::from(lasts_s),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Brings the events of a key to the steps that wait for it, the oldest event first: each event goes to all that wait at
/// that moment. Returns the runs that were told. Done again it does nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn deliver(pool: &PgPool, org: OrgId, key: &str) -> Result<Vec<RunId>> {
    let mut tx = db::begin(pool).await?;
    // One at a time for a key, until the commit.
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", format!("event {org} {key}"))
        .execute(&mut *tx)
        .await?;
    let mut told = Vec::new();
    loop {
        let taken = sqlx::query!(
            r#"with event as (
                 select id from inbound_events
                  where organization_id = $1 and key = $2 and delivered_at is null and expires_at > now()
                  order by created_at, id limit 1
               ),
               waits as (
                 update event_waits w set event_id = event.id
                   from event
                  where w.organization_id = $1 and w.key = $2 and w.event_id is null
                    and exists (
                      select from runs r where r.organization_id = $1 and r.id = w.run_id
                         and r.state not in ('succeeded', 'failed', 'cancelled')
                    )
                    -- Noted and not written yet, or waiting.
                    and not exists (
                      select from steps s where s.organization_id = $1 and s.run_id = w.run_id and s.id = w.step_id
                         and s.state in ('succeeded', 'failed', 'skipped', 'cancelled')
                    )
                 returning w.run_id, w.step_id
               ),
               marked as (
                 update inbound_events e set delivered_at = now()
                   from event
                  where e.organization_id = $1 and e.id = event.id and exists (select from waits)
               )
               select run_id as "run_id!", step_id as "step_id!" from waits"#,
            org.uuid(),
            key,
        )
        .fetch_all(&mut *tx)
        .await?;
        if taken.is_empty() {
            break;
        }
        for row in taken {
            let run = RunId::from_uuid(row.run_id);
            let signal = Signal::Event { step: StepId::from_text(row.step_id) };
            external::signal_run(&mut tx, org, run, &signal, &[]).await?;
            told.push(run);
        }
    }
    tx.commit().await?;
    Ok(told)
}

/// Notes that a step waits for an event, and looks whether one is there. Returns the runs that were told, and the event's
/// data if one came for this step: now, or to an owner that was lost before it could take it in.
///
/// # Errors
/// When the database does not answer.
pub async fn expect_event(
    pool: &PgPool,
    claim: Claim,
    step: &StepId,
    key: &str,
) -> Result<(Vec<RunId>, Option<Value>)> {
    sqlx::query!(
        "insert into event_waits (organization_id, run_id, step_id, key) values ($1, $2, $3, $4)
         on conflict (organization_id, run_id, step_id) do nothing",
        claim.org.uuid(),
        claim.run.uuid(),
        step.as_str(),
        key,
    )
    .execute(pool)
    .await?;
    let told = deliver(pool, claim.org, key).await?;
    let came = sqlx::query_scalar!(
        "select e.data
           from event_waits w
           join inbound_events e on e.organization_id = w.organization_id and e.id = w.event_id
          where w.organization_id = $1 and w.run_id = $2 and w.step_id = $3",
        claim.org.uuid(),
        claim.run.uuid(),
        step.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    let came = match came {
        Some(data) => Some(values::unpack(&mut *pool.acquire().await?, claim.org, data).await?),
        None => None,
    };
    Ok((told, came))
}

/// The events that have come for a run's waiting steps.
///
/// # Errors
/// When the database does not answer.
pub async fn received_events(pool: &PgPool, claim: Claim) -> Result<Vec<(StepId, Value)>> {
    let mut connection = pool.acquire().await?;
    let rows = sqlx::query!(
        "select w.step_id, e.data
           from event_waits w
           join inbound_events e on e.organization_id = w.organization_id and e.id = w.event_id
          where w.organization_id = $1 and w.run_id = $2",
        claim.org.uuid(),
        claim.run.uuid(),
    )
    .fetch_all(pool)
    .await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let data = values::unpack(&mut connection, claim.org, row.data).await?;
        events.push((StepId::from_text(row.step_id), data));
    }
    Ok(events)
}

/// The keys of events that are there together with steps that wait for them: a process died between noting and telling.
///
/// # Errors
/// When the database does not answer.
pub async fn undelivered(pool: &PgPool) -> Result<Vec<(OrgId, String)>> {
    let rows = sqlx::query!(
        "select distinct w.organization_id, w.key
           from event_waits w
           join inbound_events e on e.organization_id = w.organization_id and e.key = w.key
           join runs r on r.organization_id = w.organization_id and r.id = w.run_id
           left join steps s on s.organization_id = w.organization_id and s.run_id = w.run_id and s.id = w.step_id
          where w.event_id is null and e.delivered_at is null and e.expires_at > now()
            and r.state not in ('succeeded', 'failed', 'cancelled')
            and coalesce(s.state, 'waiting') not in ('succeeded', 'failed', 'skipped', 'cancelled')
          limit 1000",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (OrgId::from_uuid(row.organization_id), row.key)).collect())
}
