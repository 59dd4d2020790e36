//! What an agent's form offers. Server only.

use agentflow::{
    access::{Ctx, Permission},
    agents::form::AgentForm,
    models::ModelInfo,
    tools::{ToolInfo, registry::Tools},
};

use super::api::{AgentPage, ToolChoice};

/// The form of a new agent, with all that it offers.
pub fn empty_page(cx: &Ctx) -> AgentPage {
    let blank = agentflow::agents::blank();
    AgentPage {
        agent: None,
        shown: 0,
        form: AgentForm::of(&blank),
        versions: Vec::new(),
        used_by: Vec::new(),
        models: models(cx),
        tools: tool_choices(&cx.deps().tools),
        can_build: cx.role().may(Permission::Build),
        can_deploy: cx.role().may(Permission::Deploy),
    }
}

/// The models that there are, the sandbox labelled as such.
fn models(cx: &Ctx) -> Vec<(String, String)> {
    let label = |model: &ModelInfo| {
        if model.sandbox { model.label.clone() } else { format!("{} ({})", model.label, model.provider) }
    };
    cx.deps().models.available().iter().map(|model| (model.id.clone(), label(model))).collect()
}

/// The tools that there are. Of one that cannot be called it is said what has to be done first.
pub fn tool_choices(tools: &Tools) -> Vec<ToolChoice> {
    let choice = |tool: ToolInfo| match tool.set_up {
        None => ToolChoice { name: tool.name, title: tool.title, description: tool.description, effect: tool.effect },
        Some(how) => ToolChoice {
            name: tool.name,
            title: format!("{} (not set up)", tool.title),
            description: format!("{} {how}", tool.description),
            effect: tool.effect,
        },
    };
    tools.catalog().into_iter().map(choice).collect()
}
