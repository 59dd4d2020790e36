//! What an agent's pages show and offer. Server only.

use std::collections::BTreeMap;

use agentflow::{
    access::{Ctx, Grant, Permission, right},
    agents::{Agent, AgentDetail, form::AgentForm, record::Record},
    kernel::Result,
    models::ModelInfo,
    tools::{self, Listed},
};

use super::api::{AgentHead, AgentPage, AgentRow, ToolChoice};

/// The task classes, as they are chosen. Each stands for a list of models.
const TASK_CLASSES: [(&str, &str); 5] = [
    ("class/routine", "Task class: routine work — the cheapest that fits"),
    ("class/complex_reasoning", "Task class: complex reasoning — the most capable"),
    ("class/creative", "Task class: creative work — the best writer"),
    ("class/safety_critical", "Task class: safety-critical work — the most careful"),
    ("class/research", "Task class: research — one that looks things up"),
];

/// The form of a new agent, with all that it offers.
pub async fn empty_page(cx: &Ctx) -> Result<AgentPage> {
    let blank = agentflow::agents::blank();
    Ok(AgentPage {
        head: None,
        agent: None,
        shown: 0,
        form: AgentForm::of(&blank),
        versions: Vec::new(),
        used_by: Vec::new(),
        models: models(cx).await?,
        tools: tools::service::for_agents(&cx.grant()?).await?.into_iter().map(choice).collect(),
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// What all pages of an agent begin with.
pub fn head(cx: &Ctx, detail: &AgentDetail) -> AgentHead {
    let agent = &detail.agent;
    AgentHead {
        id: agent.id,
        name: agent.config.name.clone(),
        status: agent.status,
        version: agent.version,
        deployed_version: agent.deployed_version,
        former: detail.former,
        versions: detail.versions.len(),
        cases: detail.cases,
        can_build: cx.role().may(Permission::Build),
        can_try: cx.role().may(Permission::Operate),
        can_deploy: cx.role().may(Permission::Deploy),
    }
}

/// A line of the list of agents.
pub fn row(agent: Agent, records: &mut BTreeMap<String, Record>) -> AgentRow {
    let config = agent.config;
    AgentRow {
        id: agent.id,
        record: records.remove(&agent.key).unwrap_or_default(),
        key: agent.key,
        name: config.name,
        role: config.role,
        model: config.model,
        about: config.capabilities.about,
        tags: config.capabilities.tags.into_iter().collect(),
        status: agent.status,
        version: agent.version,
        deployed_version: agent.deployed_version,
        updated_at: agent.updated_at,
    }
}

/// The models that there are, the sandbox labelled as such, and then the task classes.
async fn models(cx: &Ctx) -> Result<Vec<(String, String)>> {
    let label = |model: &ModelInfo| {
        if model.sandbox { model.label.clone() } else { format!("{} ({})", model.label, model.provider) }
    };
    let available = cx.deps().models.available(cx.org_id()).await?;
    let models = available.iter().map(|model| (model.id.clone(), label(model)));
    Ok(models.chain(TASK_CLASSES.map(|(id, label)| (id.to_owned(), label.to_owned()))).collect())
}

/// The tools that steps of a workflow may call.
pub async fn tool_choices(grant: &Grant<right::View>) -> Result<Vec<ToolChoice>> {
    Ok(tools::service::list(grant).await?.into_iter().map(choice).collect())
}

fn choice(tool: Listed) -> ToolChoice {
    let description = match tool.cost.is_zero() {
        true => tool.description,
        false => format!("{}. A call costs {}.", tool.description.trim_end_matches('.'), tool.cost),
    };
    ToolChoice { name: tool.name, title: tool.title, description, effect: tool.effect }
}
