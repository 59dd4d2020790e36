//! What tools ask the database besides the features' tables.

use crate::{
    db::TenantTx,
    kernel::{Result, Timestamp},
};

/// The only hosts that the organization's tools may call; none named, all.
pub(super) async fn allowed_domains(tx: &mut TenantTx) -> Result<Vec<String>> {
    let org = tx.org().uuid();
    let found = sqlx::query_scalar!("select allowed_domains from organizations where id = $1", org);
    Ok(found.fetch_optional(tx.conn()).await?.unwrap_or_default())
}

/// The database's clock, the one that all nodes share.
pub(super) async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(tx.conn()).await?)
}
