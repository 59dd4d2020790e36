//! All tools that an organization's workflows and agents may name, wherever they come from.

use std::collections::BTreeMap;

use crate::{agents, db::TenantTx, engine::plan::ToolSpec, kernel::Result, workflows};

/// The tools that there are, by name.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn known(tx: &mut TenantTx) -> Result<BTreeMap<String, ToolSpec>> {
    let mut all = super::built_in();
    let others = agents::service::as_tools(tx).await?.into_iter().chain(workflows::service::as_tools(tx).await?);
    all.extend(others.map(|tool| (tool.name.clone(), tool)));
    Ok(all)
}
