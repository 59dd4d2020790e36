//! All tools that an organization's workflows and agents may name, wherever they come from.

use std::collections::BTreeMap;

use super::{Listed, custom};
use crate::{
    access::{Grant, right},
    agents,
    db::TenantTx,
    engine::plan::ToolSpec,
    kernel::{Money, Result},
    mcp, workflows,
};

/// The tools that there are, by name. Of two with one name the built-in one comes first, then the organization's own: no
/// server can take the place of either.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn known(tx: &mut TenantTx) -> Result<BTreeMap<String, ToolSpec>> {
    let mut all = super::built_in();
    let (own, served) = (custom::service::specs(tx).await?, mcp::service::specs(tx).await?);
    let called = agents::service::as_tools(tx).await?.into_iter().chain(workflows::service::as_tools(tx).await?);
    for spec in own.into_iter().chain(served).chain(called.map(|(_, spec)| spec)) {
        all.entry(spec.name.clone()).or_insert(spec);
    }
    Ok(all)
}

/// The same for people, in the order of their sources, without those that agents alone may call.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Listed>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    listed(grant, &mut tx).await
}

/// The tools that agents may call: those of steps, and the other agents and workflows.
///
/// # Errors
/// When the database does not answer.
pub async fn for_agents(grant: &Grant<right::View>) -> Result<Vec<Listed>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let mut all = listed(grant, &mut tx).await?;
    let agents = agents::service::as_tools(&mut tx).await?.into_iter().map(|named| called("Agent", named));
    let workflows = workflows::service::as_tools(&mut tx).await?.into_iter().map(|named| called("Workflow", named));
    all.extend(agents.chain(workflows));
    Ok(all)
}

fn called(from: &str, (name, spec): (String, ToolSpec)) -> Listed {
    let title = format!("{from}: {name}");
    let (from, cost) = (from.to_owned(), Money::ZERO);
    Listed { name: spec.name, title, description: spec.description, effect: spec.effect, from, cost }
}

/// The tools that are part of the product, as they are set up here.
#[must_use]
pub fn built_in(grant: &Grant<right::View>) -> Vec<Listed> {
    let listed = grant.deps().tools.catalog().into_iter().map(|tool| Listed {
        name: tool.name,
        title: if tool.set_up.is_some() { format!("{} (not set up)", tool.title) } else { tool.title },
        // Of one that cannot be called it is said what has to be done first.
        description: tool.set_up.map_or(tool.description.clone(), |how| format!("{} {how}", tool.description)),
        effect: tool.effect,
        from: "Built in".to_owned(),
        cost: tool.cost,
    });
    listed.collect()
}

async fn listed(grant: &Grant<right::View>, tx: &mut TenantTx) -> Result<Vec<Listed>> {
    let own = custom::service::deployed(tx).await?.into_iter().map(|tool| Listed {
        name: tool.name,
        title: tool.config.title,
        description: tool.config.description,
        effect: tool.config.effect,
        from: "REST".to_owned(),
        cost: tool.config.cost,
    });
    let mut all: Vec<Listed> = Vec::new();
    for tool in built_in(grant).into_iter().chain(own).chain(mcp::service::offered(tx).await?) {
        if !all.iter().any(|there| there.name == tool.name) {
            all.push(tool);
        }
    }
    Ok(all)
}
