//! What people do with agents. The only door to their tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Agent, AgentConfig, AgentDetail, AgentStatus, Deployment,
    compare::Comparison,
    record::{AgentRecord, Period, Record},
    store, trial,
};
use crate::{
    access::{Ctx, Grant, Permission, right},
    db::TenantTx,
    engine::plan::{AgentSpec, ToolEffect, ToolPermission, ToolSource, ToolSpec},
    kernel::{AgentId, Error, FieldError, Kind, Result, VersionLine, text},
    schema, tools,
    workflows::{self, AgentRef},
};

/// What the name of an agent as a tool begins with; its key follows.
const AGENT_TOOL: &str = "agent_";
/// The longest note, in characters.
const MAX_NOTE: usize = 200;

/// All agents that are not archived, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Agent>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx, false).await
}

/// The archived agents, by name.
///
/// # Errors
/// When the database does not answer.
pub async fn archived(grant: &Grant<right::View>) -> Result<Vec<Agent>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx, true).await
}

/// What came of the tasks of each agent that had any, by the agent's key. With what the agents declare themselves to be
/// good for, this is what work is given out by.
///
/// # Errors
/// When the database does not answer.
pub async fn registry(grant: &Grant<right::View>, period: Period) -> Result<BTreeMap<String, Record>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    Ok(store::record::of_all(&mut tx, period).await?.into_iter().collect())
}

/// What came of the tasks of one agent.
///
/// # Errors
/// `not_found`.
pub async fn record(grant: &Grant<right::View>, id: AgentId, period: Period) -> Result<AgentRecord> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    store::record::of_agent(&mut tx, &agent.key, period).await
}

/// One agent with its versions and the workflows that name it.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::View>, id: AgentId) -> Result<AgentDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let versions = store::versions(&mut tx, id).await?;
    let used_by = workflows::service::naming_agent(&mut tx, &agent.key).await?;
    let former = store::former(&mut tx, id).await?;
    let cases = store::cases::count(&mut tx, id).await?;
    Ok(AgentDetail { agent, versions, used_by, former, cases })
}

/// Which version was deployed when, the last first.
///
/// # Errors
/// When the database does not answer.
pub async fn deployments(grant: &Grant<right::View>, id: AgentId) -> Result<Vec<Deployment>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::deployments(&mut tx, id).await
}

/// What differs between two versions of an agent.
///
/// # Errors
/// `not_found`.
pub async fn compare(grant: &Grant<right::View>, id: AgentId, from: i32, to: i32) -> Result<Comparison> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let older = store::version(&mut tx, id, from).await?.ok_or_else(unknown)?;
    let newer = store::version(&mut tx, id, to).await?.ok_or_else(unknown)?;
    Ok(Comparison::of((from, &older), (to, &newer)))
}

/// What one version of an agent holds.
///
/// # Errors
/// `not_found`.
pub async fn version(grant: &Grant<right::View>, id: AgentId, version: i32) -> Result<AgentConfig> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::version(&mut tx, id, version).await?.ok_or_else(unknown)
}

/// A new agent. It is deployed at once when its author may deploy.
///
/// # Errors
/// `invalid`, with the fields at fault.
pub async fn create(grant: &Grant<right::Build>, config: AgentConfig) -> Result<Agent> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let name = config.name.clone();
    let (id, _) = create_in(&mut tx, grant, &name, config).await?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(agent)
}

/// The same inside of a transaction.
async fn create_in(tx: &mut TenantTx, ctx: &Ctx, wanted: &str, config: AgentConfig) -> Result<(AgentId, String)> {
    let config = checked(tx, config).await?;
    let id = AgentId::new();
    let wanted = match text::slug(wanted, 40) {
        empty if empty.is_empty() => "agent".to_owned(),
        slug => slug,
    };
    // Twice the same key at the same moment is possible, ten times is not.
    for _ in 0..10 {
        let key = free_key(&wanted, &store::keys_like(tx, &wanted).await?);
        if store::insert(tx, id, &key, &config, ctx.actor()).await? {
            if ctx.role().may(Permission::Deploy) {
                store::deploy(tx, id, 1, ctx.actor()).await?;
            }
            return Ok((id, key));
        }
    }
    Err(Error::conflict("agents.key_taken", "Several agents of this name are being created. Try again."))
}

/// A new agent that a template or file brings. It gets this key and name where they are free, else the next ones.
pub(crate) async fn create_named(tx: &mut TenantTx, ctx: &Ctx, key: &str, mut config: AgentConfig) -> Result<String> {
    let taken: BTreeSet<String> =
        store::list(tx, false).await?.into_iter().map(|agent| agent.config.name.to_lowercase()).collect();
    let name = text::shortened(config.name.trim(), 70);
    let mut number = 2_u32;
    while taken.contains(&config.name.trim().to_lowercase()) {
        config.name = format!("{name} {number}");
        number += 1;
    }
    Ok(create_in(tx, ctx, key, config).await?.1)
}

fn free_key(wanted: &str, taken: &[String]) -> String {
    let taken: BTreeSet<&str> = taken.iter().map(String::as_str).collect();
    if !taken.contains(wanted) {
        return wanted.to_owned();
    }
    // There are more numbers than taken keys.
    (2..).map(|number| format!("{wanted}-{number}")).find(|key| !taken.contains(key.as_str())).unwrap_or_default()
}

/// What a person wants to keep of an agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewVersion {
    /// The version that it was made from.
    pub base: i32,
    /// What it holds.
    pub config: AgentConfig,
    /// What was changed and why; empty: told from what differs.
    pub note: String,
}

/// A new version, deployed at once where somebody who may do so asks for it. What differs in nothing from the newest
/// version is no new one.
///
/// # Errors
/// `invalid` with the fields at fault; `stale` when somebody saved a newer version meanwhile.
pub async fn save(
    grant: &Grant<right::Build>,
    deploy: Option<&Grant<right::Deploy>>,
    id: AgentId,
    new: NewVersion,
) -> Result<Agent> {
    let NewVersion { base, config, note } = new;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let config = checked(&mut tx, config).await?;
    let note = note.trim();
    if note.chars().count() > MAX_NOTE {
        return Err(Error::invalid("note", format!("{MAX_NOTE} characters are the most for a note.")));
    } else if note.contains('\0') {
        return Err(Error::invalid("note", text::NUL_REFUSED));
    }
    let latest = store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let current = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if latest != base {
        let by = store::versions(&mut tx, id).await?.into_iter().next();
        return Err(stale("agents.stale", base, latest, by.as_ref()));
    }
    let mut version = latest;
    if current.config != config {
        version += 1;
        let told = config.changes_since(&current.config);
        store::save(&mut tx, id, version, &config, if note.is_empty() { &told } else { note }, grant.actor()).await?;
    }
    if let Some(deploy) = deploy.filter(|_| current.deployed_version != Some(version)) {
        store::deploy(&mut tx, id, version, deploy.actor()).await?;
    }
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(agent)
}

/// Makes an older version the newest one again: as a new version, so that nothing of what was is lost.
///
/// # Errors
/// `not_found`; `invalid` where what it holds cannot be used any more; `stale` when somebody saved meanwhile.
pub async fn restore(grant: &Grant<right::Build>, id: AgentId, base: i32, version: i32) -> Result<Agent> {
    let config = {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        store::version(&mut tx, id, version).await?.ok_or_else(unknown)?
    };
    save(grant, None, id, NewVersion { base, config, note: format!("Version {version} again") }).await
}

/// The error of a saver who came second. Nothing that was typed is lost: the form comes back with it.
pub(crate) fn stale(code: &str, base: i32, latest: i32, newest: Option<&VersionLine>) -> Error {
    let by = newest.map_or("Somebody", |line| line.saved_by.as_str());
    let message = format!(
        "{by} saved version {latest} while you were working on version {base}. What you typed is still here: compare \
         it with version {latest}, then save again to put yours on top of it."
    );
    let mut error = Error::new(Kind::Stale, code, message.clone());
    error.fields.push(FieldError { field: "base".to_owned(), message });
    error
}

/// Makes a version the one that workflows use.
///
/// # Errors
/// `not_found`; `invalid` where what it holds cannot be used any more.
pub async fn deploy(grant: &Grant<right::Deploy>, id: AgentId, version: i32) -> Result<Agent> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    deploy_in(tx, grant, id, version).await
}

/// Deploys what was deployed before version `from`.
///
/// # Errors
/// `not_found`; `conflict` when another version is deployed by now, or none was before; `invalid` where what the former
/// one holds cannot be used any more.
pub async fn roll_back(grant: &Grant<right::Deploy>, id: AgentId, from: i32) -> Result<Agent> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if agent.deployed_version != Some(from) {
        let now = agent.deployed_version.map_or_else(|| "No version".to_owned(), |now| format!("Version {now}"));
        let message = format!("{now} is deployed by now. Look at what it changed before you roll back.");
        return Err(Error::conflict("agents.deployed_meanwhile", message));
    }
    let Some(former) = store::former(&mut tx, id).await? else {
        let message = "No other version was deployed before. Deploy the one that you want.";
        return Err(Error::conflict("agents.no_former", message));
    };
    deploy_in(tx, grant, id, former).await
}

async fn deploy_in(mut tx: TenantTx, grant: &Grant<right::Deploy>, id: AgentId, version: i32) -> Result<Agent> {
    usable(&mut tx, id, version).await?;
    let before = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if before.deployed_version == Some(version) {
        return Ok(before);
    }
    store::deploy(&mut tx, id, version, grant.actor()).await?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(agent)
}

/// Switches an agent on or off, takes it out of use, or brings it back. Runs that have begun keep it.
///
/// # Errors
/// `not_found`; `conflict` for taking it out of use while a workflow names it; `invalid` for bringing it back when
/// another agent has its name by now.
pub async fn set_status(grant: &Grant<right::Build>, id: AgentId, status: AgentStatus) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    if agent.status == status {
        return Ok(());
    }
    if status == AgentStatus::Archived {
        let used_by = workflows::service::naming_agent(&mut tx, &agent.key).await?;
        if !used_by.is_empty() {
            let names = used_by.iter().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(", ");
            return Err(Error::conflict(
                "agents.in_use",
                format!("This agent works in {names}. Take it out of there first, then archive it."),
            ));
        }
    }
    store::set_status(&mut tx, id, status).await?;
    tx.commit().await
}

/// The keys that workflows may name.
pub(crate) async fn keys(tx: &mut TenantTx) -> Result<BTreeSet<String>> {
    Ok(store::keys(tx).await?.into_iter().collect())
}

/// The agents that workflows may name, by name.
pub(crate) async fn references(tx: &mut TenantTx) -> Result<Vec<AgentRef>> {
    let all = store::list(tx, false).await?.into_iter();
    Ok(all.map(|agent| AgentRef { id: agent.id, key: agent.key, name: agent.config.name }).collect())
}

/// Agents as files carry them, by key.
pub(crate) async fn configs(tx: &mut TenantTx, keys: &BTreeSet<String>) -> Result<BTreeMap<String, AgentConfig>> {
    let keys: Vec<String> = keys.iter().cloned().collect();
    Ok(store::for_run(tx, &keys).await?.into_iter().map(|agent| (agent.key, agent.config)).collect())
}

/// An agent that can be tried.
pub(crate) async fn for_trial(tx: &mut TenantTx, id: AgentId) -> Result<Agent> {
    let agent = store::find(tx, id).await?.ok_or_else(unknown)?;
    if agent.status == AgentStatus::Archived {
        return Err(Error::conflict("agents.archived", "This agent is archived. Bring it back to try it."));
    }
    Ok(agent)
}

/// The tools with which an agent changes or sends something, by their names: of these that it is given, and of all that it
/// may call through them.
///
/// # Errors
/// `not_found`; `conflict` where something that it may call cannot run.
pub async fn changes_with(
    grant: &Grant<right::View>,
    id: AgentId,
    tools: impl IntoIterator<Item = String>,
) -> Result<BTreeSet<String>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let agent = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let tools = tools.into_iter().map(|name| (name, ToolPermission::Policy)).collect();
    let spec = AgentConfig { tools, ..agent.config.clone() }.spec(agent.version);
    trial::changes_with(&mut tx, &agent, spec).await
}

/// What one version of an agent holds.
pub(crate) async fn config_at(tx: &mut TenantTx, id: AgentId, version: i32) -> Result<AgentConfig> {
    store::version(tx, id, version).await?.ok_or_else(unknown)
}

/// What others read of an agent when they choose whom to hand a part of a task to.
fn told_to_others(agent: &store::Callable) -> String {
    let sentence = |text: &str| text.trim().trim_end_matches('.').to_owned();
    let what = match sentence(&agent.role) {
        role if role.is_empty() => String::new(),
        role => format!(", {role}"),
    };
    let mut told = format!("Hands a part of the task to the agent {}{what}.", agent.name);
    let about = sentence(&agent.capabilities.about);
    if !about.is_empty() {
        told.push_str(&format!(" {about}."));
    }
    let tags: Vec<&str> = agent.capabilities.tags.iter().map(String::as_str).collect();
    if !tags.is_empty() {
        told.push_str(&format!(" Good for: {}.", tags.join(", ")));
    }
    told.push_str(" It knows only what you write.");
    told
}

/// The deployed agents as tools for the others, with their names.
pub(crate) async fn as_tools(tx: &mut TenantTx) -> Result<Vec<(String, ToolSpec)>> {
    let agents = store::deployed(tx).await?;
    Ok(agents
        .into_iter()
        .map(|agent| {
            let description = told_to_others(&agent);
            let store::Callable { key, name, .. } = agent;
            let spec = ToolSpec {
                name: format!("{AGENT_TOOL}{key}"),
                description,
                parameters: json!({
                    "type": "object",
                    "properties": {
                        "prompt": {
                            "type": "string", "minLength": 1, "maxLength": 100_000,
                            "description": "The task, with everything that is needed to do it."
                        }
                    },
                    "required": ["prompt"],
                    "additionalProperties": false
                }),
                // What it does to the world is done by its own tools, each with its own permission.
                effect: ToolEffect::Read,
                source: ToolSource::Agent { agent: key },
                timeout_s: 3_600,
                ..ToolSpec::default()
            };
            (name, spec)
        })
        .collect())
}

/// The agents that a run keeps, by key: the deployed versions. Drafts serve only where `drafts` says so.
pub(crate) async fn specs(
    tx: &mut TenantTx,
    keys: &BTreeSet<String>,
    drafts: bool,
) -> Result<BTreeMap<String, AgentSpec>> {
    let wanted: Vec<String> = keys.iter().cloned().collect();
    let mut found = BTreeMap::new();
    for agent in store::for_run(tx, &wanted).await? {
        if !agent.active {
            return Err(Error::conflict(
                "agents.inactive",
                format!("The agent “{}” is switched off. Switch it on, then try again.", agent.config.name),
            ));
        }
        if !agent.deployed && !drafts {
            return Err(Error::conflict(
                "agents.not_deployed",
                format!("The agent “{}” has no deployed version. Deploy it, then try again.", agent.config.name),
            ));
        }
        found.insert(agent.key, agent.config.spec(agent.version));
    }
    if let Some(missing) = keys.iter().find(|key| !found.contains_key(*key)) {
        return Err(Error::conflict(
            "agents.missing",
            format!("The agent “{missing}” does not exist any more. Choose another one in the workflow."),
        ));
    }
    Ok(found)
}

/// Holds an agent's row until the transaction ends.
///
/// # Errors
/// `not_found`.
pub(super) async fn held(tx: &mut TenantTx, id: AgentId) -> Result<()> {
    store::lock(tx, id).await?.map(drop).ok_or_else(unknown)
}

/// What a version holds, if it can still be used. It was right when it was saved; what it names may be gone by now.
pub(super) async fn usable(tx: &mut TenantTx, id: AgentId, version: i32) -> Result<AgentConfig> {
    let config = store::version(tx, id, version).await?.ok_or_else(unknown)?;
    checked(tx, config).await.map_err(|mut error| {
        // The entries at fault stand in another form, so each is told in a sentence.
        let faults: Vec<String> = error.fields.drain(..).map(|entry| entry.message).collect();
        if !faults.is_empty() {
            let faults = faults.join(" ");
            error.message = format!("Version {version} cannot be used as it is. {faults} Change it, then deploy that.");
        }
        error
    })
}

/// A configuration that makes sense, or what is wrong with it field by field.
pub(crate) async fn checked(tx: &mut TenantTx, mut config: AgentConfig) -> Result<AgentConfig> {
    config.name = config.name.trim().to_owned();
    config.role = config.role.trim().to_owned();
    let mut faults = config.faults();
    let all = serde_json::to_value(&config).map_err(Error::internal)?;
    for (field, _) in all.as_object().into_iter().flatten().filter(|(_, value)| text::has_nul(value)) {
        faults.push(FieldError { field: field.clone(), message: text::NUL_REFUSED.to_owned() });
    }
    let known = tools::service::known(tx).await?;
    for name in config.tools.keys().filter(|name| !known.contains_key(*name)) {
        let message = format!("There is no tool “{name}”.");
        faults.push(FieldError { field: format!("tools.{name}"), message });
    }
    if config.output_schema.is_object()
        && let Err(message) = schema::check_schema(&config.output_schema)
    {
        faults.push(FieldError { field: "output_schema".to_owned(), message });
    }
    Error::invalid_fields(faults).map_or(Ok(config), Err)
}

fn unknown() -> Error {
    Error::not_found("agent")
}

#[cfg(test)]
mod tests {
    use super::{free_key, store::Callable, told_to_others};
    use crate::agents::Capabilities;

    #[test]
    fn others_read_what_an_agent_is_good_for() {
        let mut agent = Callable {
            key: "clerk".to_owned(),
            name: "Clerk".to_owned(),
            role: "bookkeeper.".to_owned(),
            capabilities: Capabilities {
                tags: ["billing", "refunds"].map(str::to_owned).into(),
                about: "Answers customers about their invoices.".to_owned(),
            },
        };
        assert_eq!(
            told_to_others(&agent),
            "Hands a part of the task to the agent Clerk, bookkeeper. Answers customers about their invoices. Good for: \
             billing, refunds. It knows only what you write."
        );
        agent.capabilities = Capabilities::default();
        agent.role.clear();
        assert_eq!(
            told_to_others(&agent),
            "Hands a part of the task to the agent Clerk. It knows only what you write."
        );
    }

    #[test]
    fn a_taken_key_gets_the_next_number() {
        let taken = ["support".to_owned(), "support-2".to_owned()];
        assert_eq!(free_key("support", &taken), "support-3");
        assert_eq!(free_key("sales", &taken), "sales");
    }
}
