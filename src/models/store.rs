//! Statements on the models that organizations name for classes of tasks.

use sqlx::PgPool;

use crate::{
    db::TenantTx,
    kernel::{OrgId, Result},
};

/// The models that an organization has named for a class. Read on behalf of runs, under the engine's role.
pub(super) async fn of_class(pool: &PgPool, org: OrgId, class: &str) -> Result<Option<Vec<String>>> {
    Ok(sqlx::query_scalar!(
        "select models from model_classes where organization_id = $1 and class = $2",
        org.uuid(),
        class,
    )
    .fetch_optional(pool)
    .await?)
}

/// All that the organization has named, by class.
pub(super) async fn of_classes(tx: &mut TenantTx) -> Result<Vec<(String, Vec<String>)>> {
    let rows = sqlx::query!("select class, models from model_classes where organization_id = $1", tx.org().uuid())
        .fetch_all(tx.conn())
        .await?;
    Ok(rows.into_iter().map(|row| (row.class, row.models)).collect())
}

/// Names models for a class.
pub(super) async fn set_class(tx: &mut TenantTx, class: &str, models: &[String]) -> Result<()> {
    sqlx::query!(
        "insert into model_classes (organization_id, class, models) values ($1, $2, $3)
         on conflict (organization_id, class) do update set models = excluded.models, updated_at = now()",
        tx.org().uuid(),
        class,
        models,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Goes back to the usual models of a class.
pub(super) async fn clear_class(tx: &mut TenantTx, class: &str) -> Result<()> {
    sqlx::query!("delete from model_classes where organization_id = $1 and class = $2", tx.org().uuid(), class)
        .execute(tx.conn())
        .await?;
    Ok(())
}
