//! Groups of runs of which only so many are under way at once. A run counts from its admission to its end; until then it is
//! held. Starts and admissions of a group happen one at a time, under its lock.

use sqlx::{PgConnection, PgPool};

use super::Claim;
use crate::{
    db,
    kernel::{OrgId, Result, RunId},
};

/// The group of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `<workflow>`, or `<workflow>/<key>`.
    pub key: String,
    /// The most of its runs that are under way at once.
    pub limit: u32,
}

/// The most runs that one admission lets in.
const AT_ONCE: i64 = 100;

/// From here to the commit nobody else starts or admits a run of this group.
pub(super) async fn lock(connection: &mut PgConnection, org: OrgId, key: &str) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", format!("group {org} {key}"))
        .execute(connection)
        .await?;
    Ok(())
}

/// The limit of the last start is that of all that are held: else those of a version with a lower one would wait for an
/// empty group for ever.
pub(super) async fn set_limit(connection: &mut PgConnection, org: OrgId, group: &Group) -> Result<()> {
    sqlx::query!(
        "update runs set concurrency_limit = $3
          where organization_id = $1 and concurrency_key = $2 and held
            and state not in ('succeeded', 'failed', 'cancelled')
            -- Those that are held all have the same one: most starts look at the first alone.
            and (
              select concurrency_limit from runs
               where organization_id = $1 and concurrency_key = $2 and held
                 and state not in ('succeeded', 'failed', 'cancelled')
               order by priority desc, created_at, id limit 1
            ) <> $3",
        org.uuid(),
        group.key,
        i32::try_from(group.limit).unwrap_or(i32::MAX),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets in as many of a group's held runs as there are places, by priority and then the oldest. Under the group's lock.
pub(super) async fn admit_next(connection: &mut PgConnection, org: OrgId, key: &str) -> Result<Vec<RunId>> {
    let admitted = sqlx::query_scalar!(
        "with waiting as (
           select id, concurrency_limit as most, row_number() over (order by priority desc, created_at, id) as place
             from runs
            where organization_id = $1 and concurrency_key = $2 and held and state = 'queued' and owner is null
              and state not in ('succeeded', 'failed', 'cancelled')
            order by priority desc, created_at, id
            limit $3
         ),
         under_way as (
           select count(*) as runs from runs
            where organization_id = $1 and concurrency_key = $2 and not held
              and state not in ('succeeded', 'failed', 'cancelled')
         )
         update runs r
            set held = false, wake_at = now()
           from waiting w, under_way u
          where r.organization_id = $1 and r.id = w.id and u.runs + w.place <= w.most
            -- It may be stopped just now.
            and r.state = 'queued' and r.owner is null
         returning r.id",
        org.uuid(),
        key,
        AT_ONCE,
    )
    .fetch_all(connection)
    .await?;
    Ok(admitted.into_iter().map(RunId::from_uuid).collect())
}

/// Lets in who is next in a group. Done again it does nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn admit(pool: &PgPool, org: OrgId, key: &str) -> Result<Vec<RunId>> {
    let mut tx = db::begin(pool).await?;
    lock(&mut tx, org, key).await?;
    let admitted = admit_next(&mut tx, org, key).await?;
    tx.commit().await?;
    Ok(admitted)
}

/// A run has ended: lets in who is next in its group, if it had one.
///
/// # Errors
/// When the database does not answer.
pub async fn admit_after(pool: &PgPool, claim: Claim) -> Result<Vec<RunId>> {
    let key = sqlx::query_scalar!(
        "select concurrency_key from runs where organization_id = $1 and id = $2",
        claim.org.uuid(),
        claim.run.uuid(),
    )
    .fetch_optional(pool)
    .await?;
    match key.flatten() {
        Some(key) => admit(pool, claim.org, &key).await,
        None => Ok(Vec::new()),
    }
}

/// Groups that hold runs although they have a place: a process died between the end of a run and the next admission.
///
/// # Errors
/// When the database does not answer.
pub async fn groups_with_room(pool: &PgPool) -> Result<Vec<(OrgId, String)>> {
    let rows = sqlx::query!(
        // From group to group by the index, however many runs each holds.
        r#"with recursive groups as (
           (
             select organization_id, concurrency_key from runs
              where concurrency_key is not null and state not in ('succeeded', 'failed', 'cancelled')
              order by organization_id, concurrency_key limit 1
           )
           union all
           select n.* from groups g cross join lateral (
             select organization_id, concurrency_key from runs
              where (organization_id, concurrency_key) > (g.organization_id, g.concurrency_key)
                and concurrency_key is not null and state not in ('succeeded', 'failed', 'cancelled')
              order by organization_id, concurrency_key limit 1
           ) n
         )
         select g.organization_id as "organization_id!", g.concurrency_key as "concurrency_key!"
           from groups g
           cross join lateral (
             select concurrency_limit as most from runs h
              where h.organization_id = g.organization_id and h.concurrency_key = g.concurrency_key and h.held
                and h.state = 'queued' and h.owner is null
                and h.state not in ('succeeded', 'failed', 'cancelled')
              order by h.priority desc, h.created_at, h.id limit 1
           ) h
          where h.most > (
            select count(*) from runs r
             where r.organization_id = g.organization_id and r.concurrency_key = g.concurrency_key and not r.held
               and r.state not in ('succeeded', 'failed', 'cancelled')
          )
          limit 1000"#,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (OrgId::from_uuid(row.organization_id), row.concurrency_key)).collect())
}
