//! How a node comes by work: runs that nobody owns and whose time has come, fairly between organizations.

use sqlx::PgPool;
use uuid::Uuid;

use super::Claim;
use crate::{
    db,
    kernel::{NodeId, OrgId, Result, RunId},
};

/// How many of the due runs a node looks at, the longest due first, before it goes from organization to organization.
const WINDOW: i64 = 128;

/// What a node has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many runs it takes at most.
    pub limit: usize,
    /// The organization that has much of the node already: it comes last, and gets so many at most.
    pub last: Option<(OrgId, usize)>,
    /// How many runs of an organization may be at work at once on all nodes, where it has no limit of its own.
    pub per_organization: Option<u32>,
}

impl Room {
    /// Room for so many runs of anybody.
    #[must_use]
    pub const fn of(limit: usize) -> Self {
        Self { limit, last: None, per_organization: None }
    }
}

/// Whose turn it is, as a node remembers it from one claim to the next.
///
/// While all that is due fits into a window, the window is shared out. When more is due, and so perhaps hidden behind the
/// many runs of one organization, the node goes round: a few runs of each organization that has any, beginning behind the
/// one that was served last.
#[derive(Debug, Default)]
pub struct Round {
    /// Whether it goes round.
    crowded: bool,
    /// The organization that was served last.
    served: Uuid,
    /// Whether the last look left nothing that was due.
    took_all: bool,
}

/// What one look found.
#[derive(Default)]
struct Found {
    claims: Vec<Claim>,
    /// Organizations with a limit, and how many runs it is their turn for.
    limited: Vec<(OrgId, i64)>,
    served: Option<Uuid>,
    seen: i64,
}

impl Found {
    fn is_less_than(&self, limit: usize) -> bool {
        let limited: i64 = self.limited.iter().map(|(_, runs)| runs).sum();
        (self.claims.len() as i64 + limited) < limit as i64
    }
}

impl Round {
    /// Whether the last claim left nothing that was due: no run that ends makes room for another one.
    #[must_use]
    pub fn took_all(&self) -> bool {
        self.took_all
    }

    /// Takes runs that nobody owns and whose time has come: in turn between organizations, and of one organization by
    /// priority and then by how long they have been due. So a run that wakes often is always behind those that wait.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn claim(&mut self, pool: &PgPool, node: NodeId, room: &Room) -> Result<Vec<Claim>> {
        let mut found = Found::default();
        if !self.crowded {
            found = look(pool, node, room, None).await?;
            self.crowded = found.seen >= WINDOW;
        }
        if self.crowded {
            found = look(pool, node, room, Some(self.served)).await?;
            self.crowded = !found.is_less_than(room.limit);
        }
        self.served = found.served.unwrap_or(self.served);
        self.took_all = !self.crowded && found.claims.len() as i64 == found.seen;
        let mut claims = found.claims;
        for (org, runs) in found.limited {
            match claim_limited(pool, node, org, runs, room.per_organization).await {
                Ok(more) => claims.extend(more),
                // What was taken before is ours all the same.
                Err(error) => tracing::warn!(%org, %error, "claiming for an organization with a limit failed"),
            }
        }
        Ok(claims)
    }
}

async fn look(pool: &PgPool, node: NodeId, room: &Room, behind: Option<Uuid>) -> Result<Found> {
    let rows = sqlx::query_file!(
        "src/engine/store/claim.sql",
        node.uuid(),
        room.limit as i64,
        WINDOW,
        room.last.map(|(org, _)| org.uuid()) as _,
        room.last.map_or(0, |(_, most)| most as i64),
        limit_of(room.per_organization) as _,
        behind as _,
    )
    .fetch_all(pool)
    .await?;
    let mut found = Found::default();
    let mut last = 0;
    for row in rows {
        match (row.organization_id, row.id, row.fence) {
            (Some(org), Some(run), Some(fence)) => {
                found.claims.push(Claim { org: OrgId::from_uuid(org), run: RunId::from_uuid(run), fence });
                if row.number > last {
                    (last, found.served) = (row.number, Some(org));
                }
            }
            (Some(org), ..) => found.limited.push((OrgId::from_uuid(org), row.number)),
            (None, ..) => found.seen = row.number,
        }
    }
    Ok(found)
}

/// Takes runs of an organization that has a limit. One node at a time counts and takes; while another one is at it, this
/// one leaves it be.
async fn claim_limited(pool: &PgPool, node: NodeId, org: OrgId, runs: i64, default: Option<u32>) -> Result<Vec<Claim>> {
    let mut tx = db::begin(pool).await?;
    // A statement of its own: the next one sees what whoever held the lock before has committed.
    let alone = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended($1, 0)) as "alone!""#,
        format!("running {org}"),
    )
    .fetch_one(&mut *tx)
    .await?;
    if !alone {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "with due as (
           select id from runs
            where organization_id = $2 and owner is null and wake_at <= now()
              and state not in ('succeeded', 'failed', 'cancelled')
              and exists (select from nodes where id = $1 and lease_until > clock_timestamp())
            order by priority desc, wake_at
            limit (
              select greatest(0, least($3, coalesce(o.max_running, $4) - (
                       select count(*) from nodes n join runs r on r.owner = n.id where r.organization_id = $2
                     )))
                from organizations o where o.id = $2
            )
              for update skip locked
         )
         update runs r
            set owner = $1, fence = r.fence + 1, wake_at = null
           from due
          where r.organization_id = $2 and r.id = due.id
         returning r.id, r.fence",
        node.uuid(),
        org.uuid(),
        runs,
        limit_of(default) as _,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|row| Claim { org, run: RunId::from_uuid(row.id), fence: row.fence }).collect())
}

fn limit_of(limit: Option<u32>) -> Option<i32> {
    limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX))
}
