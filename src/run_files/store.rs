//! Statements on `run_files` and `run_file_writes`.

use super::{FilePath, RunFile};
use crate::{
    db::TenantTx,
    kernel::{Error, Result, RunId, Timestamp},
};

/// One writer of a run's files at a time, to the end of the transaction: the limits are counted exactly.
pub(super) async fn lock(tx: &mut TenantTx, run: RunId) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", format!("files/{run}"))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Notes that a step has written. False: it had before.
pub(super) async fn note(tx: &mut TenantTx, run: RunId, step: &str) -> Result<bool> {
    let org = tx.org().uuid();
    let noted = sqlx::query!(
        "insert into run_file_writes (organization_id, run_id, step_id) values ($1, $2, $3) on conflict do nothing",
        org,
        run.uuid(),
        step,
    )
    .execute(tx.conn())
    .await?;
    Ok(noted.rows_affected() == 1)
}

struct Row {
    path: String,
    size: i32,
    media_type: String,
    updated_at: Timestamp,
}

impl TryFrom<Row> for RunFile {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            path: FilePath::parse(&row.path).map_err(Error::internal)?,
            size: usize::try_from(row.size).map_err(Error::internal)?,
            media_type: row.media_type,
            updated_at: row.updated_at,
        })
    }
}

/// The files of a run, by path.
pub(super) async fn list(tx: &mut TenantTx, run: RunId) -> Result<Vec<RunFile>> {
    let org = tx.org().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select path, size, media_type, updated_at from run_files
         where organization_id = $1 and run_id = $2 order by path",
        org,
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(RunFile::try_from).collect()
}

/// A file with what is in it.
pub(super) async fn find(tx: &mut TenantTx, run: RunId, path: &FilePath) -> Result<Option<(RunFile, Vec<u8>)>> {
    let org = tx.org().uuid();
    let found = sqlx::query!(
        "select path, size, media_type, updated_at, content from run_files
         where organization_id = $1 and run_id = $2 and path = $3",
        org,
        run.uuid(),
        path.as_str(),
    )
    .fetch_optional(tx.conn())
    .await?;
    found
        .map(|row| {
            let file = Row { path: row.path, size: row.size, media_type: row.media_type, updated_at: row.updated_at };
            Ok((RunFile::try_from(file)?, row.content))
        })
        .transpose()
}

/// All files with what is in them.
pub(super) async fn all(tx: &mut TenantTx, run: RunId) -> Result<Vec<(FilePath, Vec<u8>)>> {
    let org = tx.org().uuid();
    let rows = sqlx::query!(
        "select path, content from run_files where organization_id = $1 and run_id = $2 order by path",
        org,
        run.uuid(),
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(|row| Ok((FilePath::parse(&row.path).map_err(Error::internal)?, row.content))).collect()
}

pub(super) async fn put(
    tx: &mut TenantTx,
    run: RunId,
    path: &FilePath,
    content: &[u8],
    media_type: &str,
) -> Result<RunFile> {
    let org = tx.org().uuid();
    let row = sqlx::query_as!(
        Row,
        "insert into run_files (organization_id, run_id, path, content, media_type) values ($1, $2, $3, $4, $5)
         on conflict (organization_id, run_id, path) do update
         set content = excluded.content, media_type = excluded.media_type, updated_at = now()
         returning path, size, media_type, updated_at",
        org,
        run.uuid(),
        path.as_str(),
        content,
        media_type,
    )
    .fetch_one(tx.conn())
    .await?;
    row.try_into()
}

pub(super) async fn remove(tx: &mut TenantTx, run: RunId, path: &FilePath) -> Result<bool> {
    let org = tx.org().uuid();
    let removed = sqlx::query!(
        "delete from run_files where organization_id = $1 and run_id = $2 and path = $3",
        org,
        run.uuid(),
        path.as_str(),
    )
    .execute(tx.conn())
    .await?;
    Ok(removed.rows_affected() > 0)
}

/// Gives a run the files of another one.
pub(super) async fn copy(tx: &mut TenantTx, from: RunId, to: RunId) -> Result<()> {
    let org = tx.org().uuid();
    sqlx::query!(
        "insert into run_files (organization_id, run_id, path, content, media_type, updated_at)
         select organization_id, $3, path, content, media_type, updated_at from run_files
         where organization_id = $1 and run_id = $2",
        org,
        from.uuid(),
        to.uuid(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether there is such a run.
pub(super) async fn exists(tx: &mut TenantTx, run: RunId) -> Result<bool> {
    let org = tx.org().uuid();
    let found = sqlx::query_scalar!(
        r#"select exists (select from runs where organization_id = $1 and id = $2) as "found!""#,
        org,
        run.uuid(),
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(found)
}
