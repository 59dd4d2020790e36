//! What tools ask the database besides the features' tables.

use crate::{
    db::TenantTx,
    kernel::{Result, Timestamp},
};

/// The database's clock, the one that all nodes share.
pub(super) async fn now(tx: &mut TenantTx) -> Result<Timestamp> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(tx.conn()).await?)
}
