//! What an agent's form offers. Server only.

use agentflow::{
    access::{Ctx, Grant, Permission, right},
    agents::form::AgentForm,
    kernel::Result,
    models::ModelInfo,
    tools,
};

use super::api::{AgentPage, ToolChoice};

/// The form of a new agent, with all that it offers.
pub async fn empty_page(cx: &Ctx) -> Result<AgentPage> {
    let blank = agentflow::agents::blank();
    Ok(AgentPage {
        agent: None,
        shown: 0,
        form: AgentForm::of(&blank),
        versions: Vec::new(),
        used_by: Vec::new(),
        models: models(cx),
        tools: tool_choices(&cx.grant()?).await?,
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// The models that there are, the sandbox labelled as such.
fn models(cx: &Ctx) -> Vec<(String, String)> {
    let label = |model: &ModelInfo| {
        if model.sandbox { model.label.clone() } else { format!("{} ({})", model.label, model.provider) }
    };
    cx.deps().models.available().iter().map(|model| (model.id.clone(), label(model))).collect()
}

/// The tools that there are for the organization.
pub async fn tool_choices(grant: &Grant<right::View>) -> Result<Vec<ToolChoice>> {
    let all = tools::service::list(grant).await?.into_iter();
    Ok(all
        .map(|tool| ToolChoice {
            name: tool.name,
            title: tool.title,
            description: tool.description,
            effect: tool.effect,
        })
        .collect())
}
