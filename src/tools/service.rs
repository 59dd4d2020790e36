//! All tools that an organization's workflows and agents may name, wherever they come from.

use std::collections::BTreeMap;

use crate::{db::TenantTx, engine::plan::ToolSpec, kernel::Result};

/// The tools that there are, by name.
///
/// # Errors
/// When the database does not answer.
#[expect(clippy::unused_async, reason = "the tools that an organization has made itself are read from the database")]
pub(crate) async fn known(_tx: &mut TenantTx) -> Result<BTreeMap<String, ToolSpec>> {
    Ok(super::built_in())
}
