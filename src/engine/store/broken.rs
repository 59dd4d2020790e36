//! Three mistakes that an engine can make, each behind a flag of the compiler that no ordinary build has:
//! `cargo xtask faults --prove` builds the server with one of them at a time and expects the tests to notice.
//!
//! - `no_fence`: an owner writes without being asked whether the run is still its own.
//! - `early_ack`: a write is confirmed, and acted on, before it is committed (in [`crate::engine::writer`]).
//! - `serial_feed`: events get their numbers as from a sequence, before the run is locked, and not under its lock.

#[cfg(not(debug_assertions))]
compile_error!("a build with a deliberate mistake is never one to use");

#[cfg(agentflow_fault = "no_fence")]
pub(super) use no_fence::take_it_anyway;
#[cfg(agentflow_fault = "serial_feed")]
pub(super) use serial_feed::{end, number_too_early};

#[cfg(agentflow_fault = "no_fence")]
mod no_fence {
    use sqlx::PgConnection;

    use crate::{
        engine::store::Commit,
        kernel::{NodeId, Result},
    };

    /// Whoever writes owns the run: as if the statement did not ask for owner, fence and lease.
    pub async fn take_it_anyway(connection: &mut PgConnection, node: NodeId, commits: &[Commit]) -> Result<()> {
        let alive = "insert into nodes (id, host, lease_until) values ($1, 'broken', now() + interval '3 seconds')
                     on conflict (id) do update set lease_until = greatest(nodes.lease_until, excluded.lease_until)";
        sqlx::query(alive).bind(node.uuid()).execute(&mut *connection).await?;
        for commit in commits {
            sqlx::query("update runs set owner = $1, fence = $2 where id = $3")
                .bind(node.uuid())
                .bind(commit.claim.fence)
                .bind(commit.claim.run.uuid())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

#[cfg(agentflow_fault = "serial_feed")]
mod serial_feed {
    use std::time::Duration;

    use sqlx::PgConnection;

    use crate::{engine::store::Commit, kernel::Result};

    /// Gives the events of each run their numbers now, and only then begins the transaction that writes them. Gives the
    /// number before the first of each run, and how far the run has come by then.
    pub async fn number_too_early(connection: &mut PgConnection, commits: &[Commit]) -> Result<Vec<(i64, i64)>> {
        let mut bases = Vec::new();
        for commit in commits {
            let base: Option<i64> =
                sqlx::query_scalar("update runs set last_seq = last_seq + $1 where id = $2 returning last_seq - $1")
                    .bind(commit.events.len() as i64)
                    .bind(commit.claim.run.uuid())
                    .fetch_optional(&mut *connection)
                    .await?;
            bases.push(base.unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
        sqlx::raw_sql("begin").execute(&mut *connection).await?;
        let mut found = Vec::new();
        for (commit, base) in commits.iter().zip(bases) {
            let last: Option<i64> = sqlx::query_scalar("select last_seq from runs where id = $1 for update")
                .bind(commit.claim.run.uuid())
                .fetch_optional(&mut *connection)
                .await?;
            found.push((base, last.unwrap_or_default()));
        }
        Ok(found)
    }

    /// The transaction that writes them ends.
    pub async fn end(connection: &mut PgConnection) -> Result<()> {
        sqlx::raw_sql("commit").execute(connection).await?;
        Ok(())
    }
}
