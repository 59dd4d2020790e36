//! All tools that an organization's workflows and agents may name, wherever they come from.

use std::collections::BTreeMap;

use super::{Listed, catalog, custom};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    engine::plan::ToolSpec,
    kernel::Result,
    mcp,
};

/// The tools that there are, by name. Of two with one name the built-in one comes first, then the organization's own: no
/// server can take the place of either.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn known(tx: &mut TenantTx) -> Result<BTreeMap<String, ToolSpec>> {
    let mut all = super::built_in();
    let (own, served) = (custom::service::specs(tx).await?, mcp::service::specs(tx).await?);
    for spec in own.into_iter().chain(served) {
        all.entry(spec.name.clone()).or_insert(spec);
    }
    Ok(all)
}

/// The same for people, in the order of their sources.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Listed>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let built_in = catalog().iter().map(|tool| Listed {
        name: tool.name.clone(),
        title: tool.title.clone(),
        description: tool.description.clone(),
        effect: tool.effect,
        from: "Built in".to_owned(),
    });
    let own = custom::service::deployed(&mut tx).await?.into_iter().map(|tool| Listed {
        name: tool.name,
        title: tool.config.title,
        description: tool.config.description,
        effect: tool.config.effect,
        from: "REST".to_owned(),
    });
    let mut all: Vec<Listed> = Vec::new();
    for tool in built_in.chain(own).chain(mcp::service::offered(&mut tx).await?) {
        if !all.iter().any(|there| there.name == tool.name) {
            all.push(tool);
        }
    }
    Ok(all)
}
