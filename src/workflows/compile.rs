//! From a graph to the plan that a run keeps to its end: the agents, tools and workflows that it names, and those that
//! these name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Runnable, Workflow, service, store};
use crate::{
    agents,
    db::TenantTx,
    engine::plan::{Alternative, Graph, HTTP_TOOL, Node, NodeKind, Plan, SubWorkflow, ToolSource, walk},
    kernel::{Error, Kind, Result, WorkflowId},
    tools,
};

/// The most nodes of a run's plan, those of the workflows inside of it included.
const MAX_PLAN_NODES: usize = 2_000;
/// The most agents of a run's plan, those included that other agents may call.
const MAX_PLAN_AGENTS: usize = 100;

/// A version of a workflow with all that a run of it keeps.
///
/// # Errors
/// `invalid` at `version` where there is no such version; `conflict` where it cannot run.
pub(super) async fn plan_of(tx: &mut TenantTx, workflow: Workflow, version: i32) -> Result<Runnable> {
    if workflow.status == "archived" {
        return Err(Error::conflict("workflows.archived", "This workflow is archived, so it cannot be run."));
    }
    let found = store::version(tx, workflow.id, version).await?;
    let mut graph = found.ok_or_else(|| service::no_version(version))?.graph;
    let deployed = workflow.deployed_version == Some(version);
    // The same check again: an agent may be gone, or a tool, since the version was saved.
    let faults = service::faults(tx, &graph).await?;
    if !faults.is_empty() {
        let mut error = service::faulty("workflows.faults", &faults);
        error.kind = Kind::Conflict;
        return Err(error);
    }
    let workflows = all_named(tx, workflow.id, &graph).await?;
    if deployed {
        unpin(&mut graph.nodes);
    }
    let plan = complete(tx, Plan { graph, workflows, ..Plan::default() }, !deployed).await?;
    Ok(Runnable { id: workflow.id, name: workflow.name, version, deployed, plan })
}

/// Puts into a plan all that its graph names and that these name: agents, tools, and the agents and workflows that are
/// tools of agents. What is there already stays as it is. Agents that are not deployed serve only where `drafts` says so.
///
/// # Errors
/// `conflict` where something is missing, or it is too much.
pub(crate) async fn complete(tx: &mut TenantTx, mut plan: Plan, drafts: bool) -> Result<Plan> {
    let all = tools::service::known(tx).await?;
    loop {
        // What is inside runs as it is deployed.
        plan.workflows.values_mut().for_each(|sub| unpin(&mut sub.graph.nodes));
        let graphs: Vec<&Graph> = plan.workflows.values().map(|sub| &sub.graph).chain([&plan.graph]).collect();
        let mut named: BTreeSet<String> = graphs.iter().flat_map(|graph| agents_of(graph)).collect();
        let of_agents = plan.agents.values().flat_map(|agent| agent.tools.keys().cloned());
        let wanted: BTreeSet<String> = graphs.iter().flat_map(|graph| tools_of(graph)).chain(of_agents).collect();
        plan.tools = wanted.into_iter().filter_map(|name| Some((name.clone(), all.get(&name)?.clone()))).collect();
        let mut called = Vec::new();
        for tool in plan.tools.values() {
            match &tool.source {
                ToolSource::Agent { agent } => drop(named.insert(agent.clone())),
                ToolSource::Workflow { workflow } if !plan.workflows.contains_key(workflow) => {
                    called.push(workflow.clone());
                }
                _ => {}
            }
        }
        named.retain(|key| !plan.agents.contains_key(key));
        if named.is_empty() && called.is_empty() {
            return Ok(plan);
        }
        plan.agents.extend(agents::service::specs(tx, &named, drafts).await?);
        for workflow in called {
            let Ok(id) = workflow.parse::<WorkflowId>() else { continue };
            let Some(sub) = load(tx, id, None).await? else { continue };
            plan.workflows.extend(all_named(tx, id, &sub.graph).await?);
            plan.workflows.insert(workflow, sub);
        }
        let nodes: usize = plan.workflows.values().map(|sub| walk::size(&sub.graph.nodes).0).sum();
        if nodes > MAX_PLAN_NODES || plan.agents.len() > MAX_PLAN_AGENTS {
            let message = format!(
                "With all that its agents may call this has more than {MAX_PLAN_NODES} steps or {MAX_PLAN_AGENTS} \
                 agents. Take tools away from them."
            );
            return Err(Error::conflict("workflows.too_many_steps", message));
        }
    }
}

/// Pinned outputs are for designing: a deployed version does its work.
fn unpin(nodes: &mut [Node]) {
    for node in nodes {
        node.pinned = Value::Null;
        if let Some(inner) = node.kind.inner_mut() {
            unpin(inner);
        }
    }
}

/// The workflows that a graph names, and those that they name.
///
/// # Errors
/// `conflict`, when a workflow would run itself, or the whole has too many steps.
pub(super) async fn all_named(
    tx: &mut TenantTx,
    root: WorkflowId,
    graph: &Graph,
) -> Result<BTreeMap<String, SubWorkflow>> {
    let mut found: BTreeMap<String, SubWorkflow> = BTreeMap::new();
    let mut nodes = walk::size(&graph.nodes).0;
    let mut open = vec![(graph.clone(), vec![root])];
    while let Some((graph, chain)) = open.pop() {
        for (workflow, version) in workflows_of(&graph) {
            let Ok(id) = workflow.parse::<WorkflowId>() else { continue };
            if chain.contains(&id) {
                let message = "A workflow cannot run itself, not even by way of another one. Use a loop instead.";
                return Err(Error::conflict("workflows.recursive", message));
            }
            let key = SubWorkflow::key(&workflow, version);
            if found.contains_key(&key) {
                continue;
            }
            let Some(sub) = load(tx, id, version).await? else { continue };
            nodes += walk::size(&sub.graph.nodes).0;
            if nodes > MAX_PLAN_NODES {
                let message = format!("With the workflows inside of it this has more than {MAX_PLAN_NODES} steps.");
                return Err(Error::conflict("workflows.too_many_steps", message));
            }
            let mut longer = chain.clone();
            longer.push(id);
            open.push((sub.graph.clone(), longer));
            found.insert(key, sub);
        }
    }
    Ok(found)
}

/// The schemas of the inputs of the workflows that a graph names, by [`SubWorkflow::key`]. What cannot run is left out.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn inputs_of_named(tx: &mut TenantTx, graph: &Graph) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for (workflow, version) in workflows_of(graph) {
        let Ok(id) = workflow.parse() else { continue };
        if let Some(sub) = load(tx, id, version).await? {
            found.insert(SubWorkflow::key(&workflow, version), sub.graph.input);
        }
    }
    Ok(found)
}

/// A version of a workflow for use inside of another one: the named one, else the deployed one, else the newest that can
/// run.
async fn load(tx: &mut TenantTx, id: WorkflowId, version: Option<i32>) -> Result<Option<SubWorkflow>> {
    let Some(workflow) = store::find(tx, id).await?.filter(|workflow| workflow.status != "archived") else {
        return Ok(None);
    };
    let version = match version.or(workflow.deployed_version) {
        None => store::newest_valid(tx, id).await?,
        version => version,
    };
    let Some(version) = version else { return Ok(None) };
    let found = store::version(tx, id, version).await?.filter(|version| version.valid);
    Ok(found.map(|found| SubWorkflow { name: workflow.name, version, graph: found.graph }))
}

/// The workflows that a graph's own nodes run, with the versions that they name.
fn workflows_of(graph: &Graph) -> BTreeSet<(String, Option<i32>)> {
    let mut found = BTreeSet::new();
    walk::each(&graph.nodes, &mut |_, node| {
        if let NodeKind::Workflow { workflow, version, .. } = &node.kind {
            found.insert((workflow.clone(), *version));
        }
    });
    found
}

/// The keys of the agents that a graph names.
#[must_use]
pub fn agents_of(graph: &Graph) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk::each(&graph.nodes, &mut |_, node| {
        if let NodeKind::Agent { agent, .. } = &node.kind {
            found.insert(agent.clone());
        }
        found.extend(node.alternatives.iter().filter_map(|alternative| match alternative {
            Alternative::Agent(agent) => Some(agent.clone()),
            _ => None,
        }));
    });
    found
}

/// The names of the tools that a graph's own nodes call.
#[must_use]
pub fn tools_of(graph: &Graph) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk::each(&graph.nodes, &mut |_, node| {
        match &node.kind {
            NodeKind::Tool { tool, .. } => drop(found.insert(tool.clone())),
            NodeKind::Http(_) => drop(found.insert(HTTP_TOOL.to_owned())),
            _ => {}
        }
        found.extend(node.alternatives.iter().filter_map(|alternative| match alternative {
            Alternative::Tool(tool) => Some(tool.name.clone()),
            _ => None,
        }));
    });
    found
}
