//! Named locks. A step asks for all of its names at once and has the same place in each of their queues; it gets them when
//! at each of them it is the first that waits and nobody holds it. So nobody waits in a circle, and nobody is passed over.
//! One at a time for an organization looks and grants. A holder counts until its step or run ends, or its time is over.

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};

use super::{Claim, Signal, external};
use crate::{
    db,
    engine::{
        machine::{LockAnswer, LockGrant},
        state::StepId,
    },
    kernel::{OrgId, Result, RunId, Timestamp},
};

/// The most that a holder is cut off before its time is over, so that it has let go before the next one begins although
/// its process knows the database's clock only nearly.
const MARGIN: TimeDelta = TimeDelta::seconds(1);

/// What a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockWish {
    /// The names, each once.
    pub names: Vec<String>,
    /// Seconds that it may hold them.
    pub limit_s: u32,
}

/// Asks for a step's locks, or asks once more. Returns the runs that were told meanwhile, and what the step got.
///
/// # Errors
/// When the database does not answer.
pub async fn ask_for_locks(
    pool: &PgPool,
    claim: Claim,
    step: &StepId,
    wish: &LockWish,
) -> Result<(Vec<RunId>, LockAnswer)> {
    let mut tx = db::begin(pool).await?;
    one_at_a_time(&mut tx, claim.org).await?;
    let (org, run) = (claim.org.uuid(), claim.run.uuid());
    // What it asked for under other names, or held for too long, is over: by the same measure as for its owner, who would
    // ask again and again for as long as it was told of a grant that it cannot use.
    let freed = sqlx::query_scalar!(
        r#"with mine as (
             select name, expires_at - least((expires_at - granted_at) / 10, make_interval(secs => $5)) as until
               from locks where organization_id = $1 and run_id = $2 and step_id = $3
           )
           delete from locks
            where organization_id = $1 and run_id = $2 and step_id = $3
              and (exists (select from mine
                            where name <> all($4) or until <= clock_timestamp() + make_interval(secs => $6))
                   or (select count(*) from mine) <> cardinality($4::text[]))
        returning name"#,
        org,
        run,
        step.as_str(),
        &wish.names,
        seconds(MARGIN),
        seconds(LockGrant::TOO_LATE),
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "with next as materialized (select nextval('lock_numbers') as place)
         insert into locks (organization_id, run_id, step_id, name, place, limit_s)
         select $1, $2, $3, wanted.name, next.place, $5
           from unnest($4::text[]) as wanted (name) cross join next
         on conflict (organization_id, run_id, step_id, name) do nothing",
        org,
        run,
        step.as_str(),
        &wish.names,
        i32::try_from(wish.limit_s).unwrap_or(i32::MAX),
    )
    .execute(&mut *tx)
    .await?;
    let mut names = freed;
    names.extend(wish.names.iter().cloned());
    let mut told = Vec::new();
    let mut first = grant_next(&mut tx, claim.org, &names, Some((claim.run, step))).await?;
    tx.commit().await?;
    while let Some(run) = first {
        told.extend((run != claim.run).then_some(run));
        first = grant_next_alone(pool, claim.org, &names, Some((claim.run, step))).await?;
    }
    let mine = sqlx::query!(
        r#"select fence, granted_at, expires_at from locks
            where organization_id = $1 and run_id = $2 and step_id = $3 and fence is not null limit 1"#,
        org,
        run,
        step.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    if let Some(row) = mine
        && let (Some(fence), Some(since), Some(expires)) = (row.fence, row.granted_at, row.expires_at)
    {
        return Ok((told, LockAnswer::Granted(grant(fence, since, expires))));
    }
    let before = sqlx::query!(
        r#"select mine.name, held.run_id as "holder?"
             from locks mine
             left join locks held on held.organization_id = mine.organization_id and held.name = mine.name
                  and held.fence is not null
            where mine.organization_id = $1 and mine.run_id = $2 and mine.step_id = $3
            order by held.run_id is null, mine.name limit 1"#,
        org,
        run,
        step.as_str(),
    )
    .fetch_optional(pool)
    .await?;
    let (name, holder) = before.map_or_else(Default::default, |row| (row.name, row.holder.map(RunId::from_uuid)));
    Ok((told, LockAnswer::Queued { name, holder }))
}

/// Lets go of all that a step holds or waits for, and hands it to whoever is next. Returns the runs that were told.
///
/// # Errors
/// When the database does not answer.
pub async fn unlock(pool: &PgPool, claim: Claim, step: &StepId) -> Result<Vec<RunId>> {
    let mut tx = db::begin(pool).await?;
    one_at_a_time(&mut tx, claim.org).await?;
    let names = sqlx::query_scalar!(
        "delete from locks where organization_id = $1 and run_id = $2 and step_id = $3 returning name",
        claim.org.uuid(),
        claim.run.uuid(),
        step.as_str(),
    )
    .fetch_all(&mut *tx)
    .await?;
    let first = grant_next(&mut tx, claim.org, &names, None).await?;
    tx.commit().await?;
    let Some(first) = first else { return Ok(Vec::new()) };
    let mut told = vec![first];
    while let Some(run) = grant_next_alone(pool, claim.org, &names, None).await? {
        told.push(run);
    }
    Ok(told)
}

/// Hands names that nobody holds any more to whoever is next. Returns the runs that were told.
///
/// # Errors
/// When the database does not answer.
pub async fn pass_on(pool: &PgPool, org: OrgId, names: &[String]) -> Result<Vec<RunId>> {
    let mut told = Vec::new();
    while let Some(run) = grant_next_alone(pool, org, names, None).await? {
        told.push(run);
    }
    Ok(told)
}

/// The steps of a run that have asked for locks, and what they hold; nothing while they stand in the queue.
///
/// # Errors
/// When the database does not answer.
pub async fn held_locks(pool: &PgPool, claim: Claim) -> Result<Vec<(StepId, Option<LockGrant>)>> {
    let rows = sqlx::query!(
        "select distinct on (step_id) step_id, fence, granted_at, expires_at
           from locks
          where organization_id = $1 and run_id = $2
          order by step_id, fence nulls last",
        claim.org.uuid(),
        claim.run.uuid(),
    )
    .fetch_all(pool)
    .await?;
    let asked = rows.into_iter().map(|row| {
        let held = row.fence.zip(row.granted_at).zip(row.expires_at);
        (StepId::from_text(row.step_id), held.map(|((fence, since), expires)| grant(fence, since, expires)))
    });
    Ok(asked.collect())
}

/// The names that steps wait for and nobody holds any more: a process died before it let go, or a holder's time is over.
/// What is left of steps and runs that have ended is swept away on the way.
///
/// # Errors
/// When the database does not answer.
pub async fn forsaken_locks(pool: &PgPool) -> Result<Vec<(OrgId, Vec<String>)>> {
    let rows = sqlx::query!(
        r#"select w.organization_id, array_agg(distinct w.name) as "names!"
             from locks w
             join runs r on r.organization_id = w.organization_id and r.id = w.run_id
             left join steps s on s.organization_id = w.organization_id and s.run_id = w.run_id and s.id = w.step_id
            where w.fence is null
              and r.state not in ('succeeded', 'failed', 'cancelled', 'cancelling', 'paused')
              and coalesce(s.state, 'queued') not in ('succeeded', 'failed', 'skipped', 'cancelled')
              and not exists (
                select from locks h
                  join runs hr on hr.organization_id = h.organization_id and hr.id = h.run_id
                  left join steps hs
                    on hs.organization_id = h.organization_id and hs.run_id = h.run_id and hs.id = h.step_id
                 where h.organization_id = w.organization_id and h.name = w.name and h.expires_at > clock_timestamp()
                   and hr.state not in ('succeeded', 'failed', 'cancelled')
                   and coalesce(hs.state, 'queued') not in ('succeeded', 'failed', 'skipped', 'cancelled')
              )
            group by w.organization_id
            limit 1000"#,
    )
    .fetch_all(pool)
    .await?;
    // What has ended never counts again, so nobody needs to be kept from looking meanwhile.
    sqlx::query!(
        "delete from locks where (organization_id, run_id, step_id, name) in (
           select l.organization_id, l.run_id, l.step_id, l.name
             from locks l
             join runs r on r.organization_id = l.organization_id and r.id = l.run_id
             left join steps s on s.organization_id = l.organization_id and s.run_id = l.run_id and s.id = l.step_id
            where r.state in ('succeeded', 'failed', 'cancelled')
               or s.state in ('succeeded', 'failed', 'skipped', 'cancelled')
            limit 1000
         )",
    )
    .execute(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (OrgId::from_uuid(row.organization_id), row.names)).collect())
}

/// Until the end of the transaction nobody else of the organization asks for locks or lets go of them.
async fn one_at_a_time(tx: &mut PgConnection, org: OrgId) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", format!("locks {org}")).execute(tx).await?;
    Ok(())
}

/// The same in a transaction of its own: several runs told in one could wait for each other with a write of the owners'.
async fn grant_next_alone(
    pool: &PgPool,
    org: OrgId,
    names: &[String],
    asker: Option<(RunId, &StepId)>,
) -> Result<Option<RunId>> {
    let mut tx = db::begin(pool).await?;
    one_at_a_time(&mut tx, org).await?;
    let granted = grant_next(&mut tx, org, names, asker).await?;
    tx.commit().await?;
    Ok(granted)
}

/// Of the steps that are first at one of these names, the one that has waited longest and finds all of its names free gets
/// them, and its run is told, unless it is the one that asks.
async fn grant_next(
    tx: &mut PgConnection,
    org: OrgId,
    names: &[String],
    asker: Option<(RunId, &StepId)>,
) -> Result<Option<RunId>> {
    if names.is_empty() {
        return Ok(None);
    }
    let next = sqlx::query!(
        r#"with first as (
             select distinct q.run_id, q.step_id, q.place
               from unnest($2::text[]) as wanted (name)
               cross join lateral (
                 select l.run_id, l.step_id, l.place
                   from locks l
                   join runs r on r.organization_id = l.organization_id and r.id = l.run_id
                   left join steps s
                     on s.organization_id = l.organization_id and s.run_id = l.run_id and s.id = l.step_id
                  where l.organization_id = $1 and l.name = wanted.name and l.fence is null
                    -- A run that is held keeps its place and lets others by.
                    and r.state not in ('succeeded', 'failed', 'cancelled', 'cancelling', 'paused')
                    and coalesce(s.state, 'queued') not in ('succeeded', 'failed', 'skipped', 'cancelled')
                  order by l.place limit 1
               ) q
           )
           select f.run_id as "run_id!", f.step_id as "step_id!"
             from first f
            where not exists (
                select from locks mine
                  join locks other on other.organization_id = mine.organization_id and other.name = mine.name
                   and (other.run_id, other.step_id) <> (mine.run_id, mine.step_id)
                  join runs r on r.organization_id = other.organization_id and r.id = other.run_id
                  left join steps s
                    on s.organization_id = other.organization_id and s.run_id = other.run_id and s.id = other.step_id
                 where mine.organization_id = $1 and mine.run_id = f.run_id and mine.step_id = f.step_id
                   and r.state not in ('succeeded', 'failed', 'cancelled')
                   and coalesce(s.state, 'queued') not in ('succeeded', 'failed', 'skipped', 'cancelled')
                   and case when other.fence is null
                         then other.place < f.place and r.state not in ('cancelling', 'paused')
                         else other.expires_at > clock_timestamp() end
            )
            order by f.place limit 1"#,
        org.uuid(),
        names,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(next) = next else { return Ok(None) };
    // Holders that do not count any more make room.
    sqlx::query!(
        "delete from locks gone using locks mine
          where mine.organization_id = $1 and mine.run_id = $2 and mine.step_id = $3
            and gone.organization_id = $1 and gone.name = mine.name and gone.fence is not null",
        org.uuid(),
        next.run_id,
        next.step_id,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "with number as materialized (select nextval('lock_numbers') as fence, clock_timestamp() as now)
         update locks set fence = number.fence, granted_at = number.now,
                          expires_at = number.now + make_interval(secs => limit_s)
           from number
          where organization_id = $1 and run_id = $2 and step_id = $3",
        org.uuid(),
        next.run_id,
        next.step_id,
    )
    .execute(&mut *tx)
    .await?;
    let (run, step) = (RunId::from_uuid(next.run_id), StepId::from_text(next.step_id));
    if asker != Some((run, &step)) {
        external::signal_run(tx, org, run, &Signal::Event { step }, &[]).await?;
    }
    Ok(Some(run))
}

fn grant(fence: i64, since: Timestamp, expires: Timestamp) -> LockGrant {
    let margin = ((expires - since) / 10).min(MARGIN);
    LockGrant { fence, since, until: expires - margin }
}

fn seconds(time: TimeDelta) -> f64 {
    time.num_milliseconds() as f64 / 1_000.0
}
