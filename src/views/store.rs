//! The table of saved views.

use super::SavedView;
use crate::{
    db::TenantTx,
    kernel::{Result, UserId},
};

/// A person's views of a page, by name.
pub(super) async fn list(tx: &mut TenantTx, user: UserId, page: &str) -> Result<Vec<SavedView>> {
    let org = tx.org();
    Ok(sqlx::query_as!(
        SavedView,
        "select name, query from saved_views
         where organization_id = $1 and user_id = $2 and page = $3
         order by lower(name), name",
        org.uuid(),
        user.uuid(),
        page,
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Keeps a view; one of the same name is replaced.
pub(super) async fn put(tx: &mut TenantTx, user: UserId, page: &str, view: &SavedView) -> Result<()> {
    let org = tx.org();
    sqlx::query!(
        "insert into saved_views (organization_id, user_id, page, name, query) values ($1, $2, $3, $4, $5)
         on conflict (organization_id, user_id, page, name) do update set query = excluded.query",
        org.uuid(),
        user.uuid(),
        page,
        view.name,
        view.query,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a view another name. Whether there was one.
pub(super) async fn rename(tx: &mut TenantTx, user: UserId, page: &str, name: &str, to: &str) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "update saved_views set name = $5
         where organization_id = $1 and user_id = $2 and page = $3 and name = $4",
        org.uuid(),
        user.uuid(),
        page,
        name,
        to,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a view. Whether there was one.
pub(super) async fn remove(tx: &mut TenantTx, user: UserId, page: &str, name: &str) -> Result<bool> {
    let org = tx.org();
    let done = sqlx::query!(
        "delete from saved_views where organization_id = $1 and user_id = $2 and page = $3 and name = $4",
        org.uuid(),
        user.uuid(),
        page,
        name,
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}
