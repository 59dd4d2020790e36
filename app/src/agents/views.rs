//! What an agent's form offers. Server only.

use agentflow::{
    access::{Ctx, Permission},
    agents::form::AgentForm,
    kernel::Result,
    models::ModelInfo,
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
        models: models(cx).await?,
        tools: tool_choices(),
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    })
}

/// The models that there are, the sandbox labelled as such.
async fn models(cx: &Ctx) -> Result<Vec<(String, String)>> {
    let label = |model: &ModelInfo| {
        if model.sandbox { model.label.clone() } else { format!("{} ({})", model.label, model.provider) }
    };
    let models = cx.deps().models.available(cx.org_id()).await?;
    Ok(models.iter().map(|model| (model.id.clone(), label(model))).collect())
}

/// The tools that there are.
pub fn tool_choices() -> Vec<ToolChoice> {
    agentflow::tools::catalog()
        .iter()
        .map(|tool| ToolChoice {
            name: tool.name.clone(),
            title: tool.title.clone(),
            description: tool.description.clone(),
            effect: tool.effect,
        })
        .collect()
}
