//! What people do with workflows, and what a run is made of. The only door to their tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    MAX_GRAPH_BYTES, NewWorkflow, Runnable, Workflow, WorkflowDetail, WorkflowVersion,
    compile::{self, agents_of},
    edit::Edit,
    faults_of_words, store, yaml,
};
use crate::{
    access::{Actor, Ctx, Grant, Permission, right},
    agents::{self, Agent},
    db::TenantTx,
    engine::plan::{
        Alternative, Flow, Graph, MAX_DEPTH, Node, NodeKind, Plan, SubWorkflow, ToolEffect, ToolSource, ToolSpec,
        validate::{Fault, Known, validate},
    },
    kernel::{Error, FieldError, Kind, Result, WorkflowId, text},
    schema, tools,
};

/// What the name of a workflow as a tool begins with; its id follows, since names change.
const WORKFLOW_TOOL: &str = "workflow_";

/// All workflows that are not archived, the last saved first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(grant: &Grant<right::View>) -> Result<Vec<Workflow>> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::list(&mut tx).await
}

/// One workflow.
///
/// # Errors
/// `not_found`.
pub async fn find(grant: &Grant<right::View>, id: WorkflowId) -> Result<Workflow> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::find(&mut tx, id).await?.ok_or_else(unknown)
}

/// A workflow at one of its versions (the newest if none is named), with what is wrong with it now.
///
/// # Errors
/// `not_found`.
pub async fn detail(grant: &Grant<right::View>, id: WorkflowId, at: Option<i32>) -> Result<WorkflowDetail> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let shown = store::version(&mut tx, id, at.unwrap_or(workflow.version)).await?.ok_or_else(unknown)?;
    let faults = faults(&mut tx, &shown.graph).await?;
    let versions = store::versions(&mut tx, id).await?;
    let agents = agents::service::references(&mut tx).await?;
    Ok(WorkflowDetail { workflow, shown, faults, versions, agents })
}

/// One version of a workflow.
///
/// # Errors
/// `not_found`.
pub async fn version(grant: &Grant<right::View>, id: WorkflowId, version: i32) -> Result<WorkflowVersion> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::version(&mut tx, id, version).await?.ok_or_else(unknown)
}

/// A new workflow with its first version, and the agents that it brings. A version that cannot run yet is a draft.
///
/// # Errors
/// `invalid`, with the fields at fault.
pub async fn create(grant: &Grant<right::Build>, new: NewWorkflow) -> Result<Workflow> {
    let NewWorkflow { name, description, mut graph, agents, deploy } = new;
    let name = name.trim().to_owned();
    if let Some(error) = Error::invalid_fields(faults_of_words(&name, &description)) {
        return Err(error);
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    bring_agents(&mut tx, grant, &mut graph, agents).await?;
    can_be_kept(&graph)?;
    let valid = faults(&mut tx, &graph).await?.is_empty();
    let id = WorkflowId::new();
    let first = store::NewVersion { version: 1, graph: &graph, valid, note: "Created", by: grant.actor() };
    store::insert(&mut tx, id, &name, &description, &first).await?;
    if deploy && valid && grant.role().may(Permission::Deploy) {
        store::deploy(&mut tx, id, 1).await?;
    }
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(workflow)
}

/// A workflow out of a file, with the agents that the file brings.
///
/// # Errors
/// `too_large`; `invalid`, with step, field and line of each fault that can be told.
pub async fn import(grant: &Grant<right::Build>, file: &str) -> Result<Workflow> {
    create(grant, yaml::import(file)?).await
}

/// A name like the wanted one that no workflow has: what a template or an imported file is called at first.
///
/// # Errors
/// When the database does not answer.
pub async fn free_name(grant: &Grant<right::View>, wanted: &str) -> Result<String> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let wanted = text::shortened(wanted, 70);
    let taken: BTreeSet<String> =
        store::names_like(&mut tx, &wanted).await?.into_iter().map(|name| name.to_lowercase()).collect();
    let mut name = wanted.clone();
    let mut number = 2_u32;
    while taken.contains(&name.to_lowercase()) {
        name = format!("{wanted} {number}");
        number += 1;
    }
    Ok(name)
}

/// Creates the agents that are not there yet. Where a new one gets another key, the graph is told.
async fn bring_agents(
    tx: &mut TenantTx,
    ctx: &Ctx,
    graph: &mut Graph,
    agents: BTreeMap<String, agents::AgentConfig>,
) -> Result<()> {
    let there = agents::service::keys(tx).await?;
    for (key, config) in agents {
        if there.contains(&key) {
            continue;
        }
        let made = agents::service::create_named(tx, ctx, &key, config).await.map_err(|mut error| {
            for entry in &mut error.fields {
                entry.field = format!("agents.{key}.{}", entry.field);
            }
            error
        })?;
        if made != key {
            rename_agent(&mut graph.nodes, &key, &made, 0);
        }
    }
    Ok(())
}

fn rename_agent(nodes: &mut [Node], from: &str, to: &str, depth: usize) {
    for node in nodes {
        match &mut node.kind {
            NodeKind::Agent { agent, .. } if agent == from => to.clone_into(agent),
            _ => {}
        }
        for alternative in &mut node.alternatives {
            match alternative {
                Alternative::Agent(agent) if agent == from => to.clone_into(agent),
                _ => {}
            }
        }
        if let Some(inner) = node.kind.inner_mut().filter(|_| depth <= MAX_DEPTH) {
            rename_agent(inner, from, to, depth + 1);
        }
    }
}

/// Makes a change and saves it as a new version. It was thought out on version `base`; when somebody saved a newer one
/// meanwhile, it is made on that one if its part of the graph is untouched.
///
/// # Errors
/// `stale` where the same part was changed; `invalid` where the change does not fit.
pub async fn edit(grant: &Grant<right::Build>, id: WorkflowId, base: i32, edit: &Edit) -> Result<Workflow> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let latest = store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let newest = store::version(&mut tx, id, latest).await?.ok_or_else(unknown)?;
    if latest != base {
        let older = store::version(&mut tx, id, base).await?.ok_or_else(unknown)?;
        if !edit.is_untouched(&older.graph, &newest.graph) {
            let lines = store::versions(&mut tx, id).await?;
            return Err(agents::service::stale("workflows.stale", base, latest, lines.first()));
        }
    }
    let (graph, note) = edit.apply(&newest.graph)?;
    if graph != newest.graph {
        can_be_kept(&graph)?;
        let valid = faults(&mut tx, &graph).await?.is_empty();
        let note = text::shortened(&note, 290);
        let next = store::NewVersion { version: latest + 1, graph: &graph, valid, note: &note, by: grant.actor() };
        store::save(&mut tx, id, &next).await?;
    }
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(workflow)
}

/// Saves a whole graph as a new version.
///
/// # Errors
/// `stale` when somebody saved a newer version meanwhile.
pub async fn save(
    grant: &Grant<right::Build>,
    id: WorkflowId,
    base: i32,
    graph: Graph,
    note: String,
) -> Result<Workflow> {
    edit(grant, id, base, &Edit::Replace { graph: Box::new(graph), note }).await
}

/// Brings an older version back, as a new one.
///
/// # Errors
/// `not_found`; `stale` when somebody saved a newer version meanwhile.
pub async fn restore(grant: &Grant<right::Build>, id: WorkflowId, base: i32, version: i32) -> Result<Workflow> {
    let older = {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        store::version(&mut tx, id, version).await?.ok_or_else(unknown)?
    };
    save(grant, id, base, older.graph, format!("Brought back version {version}")).await
}

/// Another name and description.
///
/// # Errors
/// `invalid`, with the fields at fault.
pub async fn describe(grant: &Grant<right::Build>, id: WorkflowId, name: &str, description: &str) -> Result<()> {
    let name = name.trim();
    if let Some(error) = Error::invalid_fields(faults_of_words(name, description)) {
        return Err(error);
    }
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::describe(&mut tx, id, name, description).await? {
        return Err(unknown());
    }
    tx.commit().await
}

/// Makes a version the one that runs use.
///
/// # Errors
/// `invalid`, naming each fault by its node, where it cannot run.
pub async fn deploy(grant: &Grant<right::Deploy>, id: WorkflowId, version: i32) -> Result<Workflow> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    store::lock(&mut tx, id).await?.ok_or_else(unknown)?;
    let wanted = store::version(&mut tx, id, version).await?.ok_or_else(unknown)?;
    let faults = faults(&mut tx, &wanted.graph).await?;
    if !faults.is_empty() {
        return Err(faulty("workflows.faults", &faults));
    }
    agents::service::specs(&mut tx, &agents_of(&wanted.graph), false).await?;
    compile::all_named(&mut tx, id, &wanted.graph).await?;
    store::deploy(&mut tx, id, version).await?;
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(workflow)
}

/// Takes a workflow out of use. Runs that have begun go on.
///
/// # Errors
/// `not_found`.
pub async fn archive(grant: &Grant<right::Build>, id: WorkflowId) -> Result<()> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if !store::archive(&mut tx, id).await? {
        return Err(unknown());
    }
    tx.commit().await
}

/// What a run of this workflow is made of: the named version, else the deployed one, else the newest that can run. Any
/// but the deployed one is a test.
///
/// # Errors
/// `not_found`; `invalid` at `version` where there is no such version; `conflict` where there is nothing that can run.
pub async fn plan_for_run(tx: &mut TenantTx, id: WorkflowId, at: Option<i32>) -> Result<Runnable> {
    let workflow = store::find(tx, id).await?.ok_or_else(unknown)?;
    let version = version_to_run(tx, &workflow, at).await?.ok_or_else(|| {
        Error::conflict(
            "workflows.not_runnable",
            "No version of this workflow can run yet. Open it and correct what the list of problems names.",
        )
    })?;
    compile::plan_of(tx, workflow, version).await
}

/// A workflow with the version that a run would run: the named one, else the deployed one, else the newest that can run,
/// else the newest. `valid` says whether a run of it can start now.
///
/// # Errors
/// `not_found`; `invalid` at `version` where there is no such version.
pub async fn to_run(
    grant: &Grant<right::View>,
    id: WorkflowId,
    at: Option<i32>,
) -> Result<(Workflow, WorkflowVersion)> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let found = version_to_run(&mut tx, &workflow, at).await?;
    let version = found.unwrap_or(workflow.version);
    let mut shown = store::version(&mut tx, id, version).await?.ok_or_else(|| no_version(version))?;
    shown.valid = found.is_some() && faults(&mut tx, &shown.graph).await?.is_empty();
    Ok((workflow, shown))
}

async fn version_to_run(tx: &mut TenantTx, workflow: &Workflow, at: Option<i32>) -> Result<Option<i32>> {
    match at.or(workflow.deployed_version) {
        None => store::newest_valid(tx, workflow.id).await,
        version => Ok(version),
    }
}

/// The workflow that an agent's trials are runs of. It is made at the first, and stands in no list.
pub(crate) async fn for_trials(tx: &mut TenantTx, agent: &Agent, by: &Actor) -> Result<WorkflowId> {
    if let Some(id) = store::of_trials(tx, agent.id).await? {
        return Ok(id);
    }
    let graph = agents::trial::graph(&agent.key)?;
    let name = format!("Trials of {}", agent.key);
    store::insert_for_trials(tx, WorkflowId::new(), agent.id, &name, &graph, by).await?;
    store::of_trials(tx, agent.id).await?.ok_or_else(unknown)
}

/// Puts into a plan all that its graph names.
///
/// # Errors
/// `conflict` where something is missing, or it is too much.
pub(crate) async fn complete(tx: &mut TenantTx, plan: Plan, drafts: bool) -> Result<Plan> {
    compile::complete(tx, plan, drafts).await
}

/// The deployed workflows as tools for agents, with their names.
pub(crate) async fn as_tools(tx: &mut TenantTx) -> Result<Vec<(String, ToolSpec)>> {
    let workflows = store::deployed(tx).await?;
    Ok(workflows
        .into_iter()
        .map(|deployed| {
            let what = match deployed.description.trim_end_matches('.') {
                "" => String::new(),
                what => format!(": {what}"),
            };
            let spec = ToolSpec {
                name: format!("{WORKFLOW_TOOL}{}", deployed.id.to_string().trim_start_matches("wf_")),
                description: format!("Runs the workflow {}{what}. Gives its output.", deployed.name),
                parameters: deployed.input,
                // Its steps may do anything, and nobody looks at each of them.
                effect: ToolEffect::Write,
                flow: Flow { outbound: true, ..Flow::default() },
                source: ToolSource::Workflow { workflow: SubWorkflow::key(&deployed.id.to_string(), None) },
                timeout_s: 3_600,
                ..ToolSpec::default()
            };
            (deployed.name, spec)
        })
        .collect())
}

/// The names of the workflows whose newest or deployed version names an agent.
pub(crate) async fn naming_agent(tx: &mut TenantTx, key: &str) -> Result<Vec<String>> {
    store::naming_agent(tx, key).await
}

/// A workflow's newest (or another) version with the agents that it needs: what a file carries.
///
/// # Errors
/// `not_found`.
pub async fn with_agents(grant: &Grant<right::View>, id: WorkflowId, at: Option<i32>) -> Result<NewWorkflow> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let workflow = store::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let graph = store::version(&mut tx, id, at.unwrap_or(workflow.version)).await?.ok_or_else(unknown)?.graph;
    let agents = agents::service::configs(&mut tx, &agents_of(&graph)).await?;
    Ok(NewWorkflow { name: workflow.name, description: workflow.description, graph, agents, deploy: true })
}

/// What is wrong with a graph, given the agents, tools and workflows that there are.
pub(super) async fn faults(tx: &mut TenantTx, graph: &Graph) -> Result<Vec<Fault>> {
    let agents = agents::service::keys(tx).await?;
    let tools = tools::service::known(tx).await?;
    let workflows = compile::inputs_of_named(tx, graph).await?;
    Ok(faults_given(graph, &agents, &tools, &workflows))
}

/// The same for given agents, tools and workflows.
#[must_use]
pub fn faults_given(
    graph: &Graph,
    agents: &BTreeSet<String>,
    tools: &BTreeMap<String, ToolSpec>,
    workflows: &BTreeMap<String, Value>,
) -> Vec<Fault> {
    let known = Known {
        agents,
        tools,
        workflows,
        check: &schema::check,
        check_schema: &|schema| schema::check_schema(schema).err(),
    };
    validate(graph, &known)
}

pub(super) fn faulty(code: &str, faults: &[Fault]) -> Error {
    let fields = faults
        .iter()
        .map(|fault| FieldError {
            field: match &fault.node {
                Some(node) => format!("nodes.{node}.{}", fault.field),
                None => fault.field.clone(),
            },
            message: fault.message.clone(),
        })
        .collect();
    let words = match faults {
        [_] => "1 problem keeps this workflow from running.".to_owned(),
        more => format!("{} problems keep this workflow from running.", more.len()),
    };
    let mut error = Error::new(Kind::Invalid, code, words);
    error.fields = fields;
    error
}

/// Refuses a graph that is too large, or has the one character that the database has not.
fn can_be_kept(graph: &Graph) -> Result<()> {
    let mut faults = Vec::new();
    let mut check = |prefix: &str, value: serde_json::Value| {
        for (key, _) in value.as_object().into_iter().flatten().filter(|(_, field)| text::has_nul(field)) {
            faults.push(FieldError { field: format!("{prefix}{key}"), message: text::NUL_REFUSED.to_owned() });
        }
    };
    check("", serde_json::json!({ "title": graph.title, "input": graph.input }));
    for node in &graph.nodes {
        check(&format!("nodes.{}.", node.id), serde_json::to_value(node).map_err(Error::internal)?);
    }
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    let bytes = serde_json::to_vec(graph).map_err(Error::internal)?.len();
    if bytes > MAX_GRAPH_BYTES {
        let message = format!("The workflow has {} KB; {} KB are the most.", bytes / 1024, MAX_GRAPH_BYTES / 1024);
        return Err(Error::new(Kind::TooLarge, "workflows.too_large", message));
    }
    Ok(())
}

pub(super) fn unknown() -> Error {
    Error::not_found("workflow")
}

pub(super) fn no_version(version: i32) -> Error {
    Error::invalid("version", format!("There is no version {version} of this workflow."))
}
