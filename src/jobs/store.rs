//! The queue's own schema, who may do what in it, and asking for a job.
//!
//! These statements are not checked against a database when they are compiled: the schema is the library's, and is made
//! after ours.

use graphile_worker::{Schema, WorkerUtils};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::Job;
use crate::{
    db::TenantTx,
    kernel::{Error, Result},
};

/// Who may do what in the library's schema.
const RIGHTS: &str = include_str!("rights.sql");

/// Why the queue cannot be made or brought to this version.
pub(crate) type PrepareQueueError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the queue, or brings it to this version. Its caller keeps other processes from doing the same meanwhile.
pub(crate) async fn prepare(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), PrepareQueueError> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let migrated = WorkerUtils::new(pool.clone(), Schema::default()).migrate().await;
    pool.close().await;
    migrated?;
    // Done once for each revision of the schema and of the rights; the schema's comment says for which.
    let revision: i32 =
        sqlx::query_scalar("select max(id) from graphile_worker.migrations").fetch_one(&mut *connection).await?;
    let hash: String = Sha256::digest(RIGHTS).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let wanted = format!("AgentFlow's job queue; revision {revision}, rights {hash}");
    let done: Option<String> =
        sqlx::query_scalar("select obj_description('graphile_worker'::regnamespace, 'pg_namespace')")
            .fetch_one(&mut *connection)
            .await?;
    if done.as_deref() != Some(&wanted) {
        let mut tx = connection.begin().await?;
        sqlx::raw_sql(RIGHTS).execute(&mut *tx).await?;
        // The text is made of a number and of digits alone.
        let comment = format!("comment on schema graphile_worker is '{}'", wanted.replace('\'', "''"));
        sqlx::raw_sql(sqlx::AssertSqlSafe(comment)).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Asks for a job of the transaction's organization. It is done after the commit; without one, nothing was asked.
///
/// # Errors
/// When the database does not answer.
pub async fn enqueue<J: Job>(tx: &mut TenantTx, job: &J) -> Result<()> {
    let org = tx.org().uuid();
    let payload = json!({ "organization": org, "job": job });
    sqlx::query(
        "select from graphile_worker.add_job(
             $1, payload => $2::json, max_attempts => $3, job_key => $4, job_key_mode => 'preserve_run_at')",
    )
    .bind(J::NAME)
    .bind(payload)
    .bind(J::MAX_ATTEMPTS)
    .bind(format!("{}/{org}/{}", J::NAME, job.key()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How many jobs have failed as often as they may, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn failed_for_good(keeper: &PgPool) -> Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "select t.identifier, count(*)
         from graphile_worker._private_jobs j
         join graphile_worker._private_tasks t on t.id = j.task_id
         where j.attempts >= j.max_attempts and j.locked_at is null
         group by t.identifier
         order by t.identifier",
    )
    .fetch_all(keeper)
    .await
    .map_err(Error::from)
}
