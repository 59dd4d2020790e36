//! Why runs that could begin or go on do not.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    db::TenantTx,
    kernel::{Result, RunId},
};

/// Why a run that could begin or go on does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// So many runs of its group, the most there may be, are under way.
    Group {
        /// How many are under way.
        running: i64,
        /// How many may be.
        limit: i32,
        /// `<workflow>`, or `<workflow>/<key>`.
        group: String,
    },
    /// No node is alive.
    NoWorker,
    /// So many runs of the organization, the most there may be, are at work.
    Organization(i64),
    /// There is no room for it yet.
    Busy,
}

/// Why those of these runs that are queued, or have something to go on with, do not, and have not for a moment. `most` is how many runs of an
/// organization without a limit of its own may be at work.
///
/// # Errors
/// When the database does not answer.
pub async fn because(tx: &mut TenantTx, runs: &[Uuid], most: Option<u32>) -> Result<HashMap<RunId, Because>> {
    let org = tx.org();
    let rows = sqlx::query!(
        r#"
        select r.id as "id: RunId", r.held, r.concurrency_key as group, r.concurrency_limit as limit,
               case when r.held then (
                 select count(*) from runs u
                 where u.organization_id = $1 and u.concurrency_key = r.concurrency_key and not u.held
                   and u.state not in ('succeeded', 'failed', 'cancelled')
               ) end as running,
               exists (select from nodes where lease_until > clock_timestamp()) as "alive!",
               o.max_running as most,
               (select count(*) from nodes n join runs u on u.owner = n.id where u.organization_id = $1) as "working!"
        from runs r
        join organizations o on o.id = r.organization_id
        where r.organization_id = $1
          and r.id = any($2)
          and r.owner is null
          and case r.state
            when 'queued' then r.held or r.created_at < now() - interval '1 second'
            when 'waiting' then r.wake_at < now() - interval '1 second'
          end
        "#,
        org.uuid(),
        runs,
    )
    .fetch_all(tx.conn())
    .await?;
    let why = rows.into_iter().map(|row| {
        let most = row.most.map(i64::from).or(most.map(i64::from));
        let why = match (row.held, row.group, row.limit) {
            (true, Some(group), Some(limit)) => Because::Group { running: row.running.unwrap_or(0), limit, group },
            _ if !row.alive => Because::NoWorker,
            _ => match most.filter(|most| row.working >= *most) {
                Some(most) => Because::Organization(most),
                None => Because::Busy,
            },
        };
        (row.id, why)
    });
    Ok(why.collect())
}
