//! What people do with REST tools. The only door to their tables.

use serde_json::Value;

use super::{
    CustomTool, CustomToolConfig, CustomToolDetail, Trial,
    call::{self, Caller, Evaluator},
    is_tool_name, store,
};
use crate::{
    access::{Grant, right},
    agents::service::stale,
    db::TenantTx,
    engine::plan::{Flow, ToolSource, ToolSpec},
    guardrails::Domains,
    kernel::{CustomToolId, Error, FieldError, Result, text},
    mcp, schema, tools,
};

/// The most tools of its own that an organization may have.
const MOST: i64 = 500;

/// All tools that are not archived, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<CustomTool>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// One tool, at its newest or another version.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::View>, id: CustomToolId, version: Option<i32>) -> Result<CustomToolDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let tool = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let shown = version.unwrap_or(tool.version);
    let config = store::version(&mut tx, id, shown).await?.ok_or_else(unknown)?;
    let versions = store::versions(&mut tx, id).await?;
    Ok(CustomToolDetail { tool, shown, config, versions })
}

/// A new tool: a draft, which is offered to nobody until a version of it is deployed.
///
/// # Errors
/// `invalid`, with the fields at fault.
pub async fn create(grant: &Grant<right::Build>, name: &str, config: CustomToolConfig) -> Result<CustomTool> {
    let name = name.trim();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let (config, mut faults) = checked(config);
    if !is_tool_name(name) {
        let message = "Enter 2 to 41 lower-case letters, digits and underscores, a letter first: crm_lookup.";
        faults.push(FieldError { field: "name".to_owned(), message: message.to_owned() });
    }
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    if store::count(&mut tx).await? >= MOST {
        let message = format!("An organization has at most {MOST} tools of its own. Archive one first.");
        return Err(Error::conflict("tools.too_many", message));
    }
    let id = CustomToolId::new();
    let is_taken = tools::find(name).is_some() || mcp::service::has_alias(&mut tx, name).await?;
    if is_taken || !store::insert(&mut tx, id, name, &config, grant.actor()).await? {
        return Err(Error::invalid("name", "Another tool has this name. Choose a different one."));
    }
    let tool = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(tool)
}

/// A new version, made from version `base`. Runs go on with the deployed one.
///
/// # Errors
/// `invalid` with the fields at fault; `stale` when somebody saved a newer version meanwhile.
pub async fn save(
    grant: &Grant<right::Build>,
    id: CustomToolId,
    base: i32,
    config: CustomToolConfig,
) -> Result<CustomTool> {
    let (config, faults) = checked(config);
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let latest = store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let current = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if latest != base {
        let by = store::versions(&mut tx, id).await?.into_iter().next();
        return Err(stale("tools.stale", base, latest, by.as_ref()));
    }
    if current.config != config {
        store::save(&mut tx, id, latest + 1, &config, grant.actor()).await?;
    }
    let tool = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(tool)
}

/// Makes a version the one that runs use.
///
/// # Errors
/// `not_found`.
pub async fn deploy(grant: &Grant<right::Deploy>, id: CustomToolId, version: i32) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    store::version(&mut tx, id, version).await?.ok_or_else(unknown)?;
    store::deploy(&mut tx, id, version).await?;
    tx.commit().await
}

/// Takes a tool out of use. Runs that have begun keep it; one that is deployed needs the right to deploy.
///
/// # Errors
/// `not_found`; `forbidden`.
pub async fn archive(grant: &Grant<right::Build>, id: CustomToolId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let tool = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if tool.deployed_version.is_some() {
        grant.grant::<right::Deploy>()?;
    }
    store::archive(&mut tx, id).await?;
    tx.commit().await
}

/// Really calls a tool as it is typed, saved or not, and tells what went out, what came back, and what a run would get.
///
/// # Errors
/// `invalid`, with the fields at fault. What goes wrong with the call is told in the answer.
pub async fn test(grant: &Grant<right::Build>, config: CustomToolConfig, arguments: Value) -> Result<Trial> {
    let (config, faults) = checked(config);
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let now = tools::store::now(&mut tx).await?;
    let domains = Domains::default().and(&tools::store::allowed_domains(&mut tx).await?);
    drop(tx);
    let deps = grant.deps();
    let caller = Caller {
        egress: &deps.egress,
        vault: &deps.vault,
        org: grant.org_id(),
        domains,
        evaluator: Evaluator { expressions: &deps.expressions, now, scope: None },
    };
    let name = format!("{} (a test by {})", config.title, grant.actor().name());
    Ok(caller.test(&name, &config, arguments).await)
}

/// The tools that runs may use.
pub(crate) async fn specs(tx: &mut TenantTx) -> Result<Vec<ToolSpec>> {
    Ok(deployed(tx).await?.iter().map(spec).collect())
}

/// The same with all that is known of them.
pub(crate) async fn deployed(tx: &mut TenantTx) -> Result<Vec<CustomTool>> {
    store::deployed(tx).await
}

/// Whether a tool that is not archived has this name.
pub(crate) async fn has_name(tx: &mut TenantTx, name: &str) -> Result<bool> {
    store::has_name(tx, name).await
}

fn spec(tool: &CustomTool) -> ToolSpec {
    let config = &tool.config;
    ToolSpec {
        name: tool.name.clone(),
        description: config.description.clone(),
        parameters: config.parameters.clone(),
        output: config.output.clone(),
        effect: config.effect,
        flow: Flow { untrusted: true, outbound: true, private: config.credential.is_some() },
        source: ToolSource::Custom { id: tool.id, version: tool.version },
        timeout_s: config.timeout_s,
        at_most_once: false,
        repeatable: false,
        cost: config.cost,
    }
}

/// A configuration as it is kept, and what is wrong with it.
fn checked(mut config: CustomToolConfig) -> (CustomToolConfig, Vec<FieldError>) {
    config.title = config.title.trim().to_owned();
    config.description = config.description.trim().to_owned();
    config.url = config.url.trim().to_owned();
    config.result = config.result.trim().to_owned();
    let mut faults = config.faults();
    let mut fault = |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
    for (field, message) in call::check(&config) {
        fault(&field, message);
    }
    for (field, schema) in [("parameters_schema", &config.parameters), ("output", &config.output)] {
        if !schema.is_null()
            && let Err(message) = schema::check_schema(schema)
        {
            fault(field, message);
        }
    }
    let all = serde_json::to_value(&config).unwrap_or_default();
    for (field, _) in all.as_object().into_iter().flatten().filter(|(_, value)| text::has_nul(value)) {
        fault(field, text::NUL_REFUSED.to_owned());
    }
    (config, faults)
}

fn unknown() -> Error {
    Error::not_found("tool")
}
