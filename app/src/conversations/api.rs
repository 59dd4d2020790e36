//! Trying an agent.

use agentflow::{
    agents::form::AgentForm,
    conversations::{Conversation, ConversationLine},
    kernel::{AgentId, ConversationId},
};
use leptos::prelude::*;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, wire::in_form};
#[cfg(feature = "ssr")]
use agentflow::{
    access::{Ctx, Permission},
    agents,
    conversations::service::{self, Say},
};

/// What the panel is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPage {
    /// The last conversations, the newest first.
    pub conversations: Vec<ConversationLine>,
    /// The one that is shown.
    pub conversation: Conversation,
    /// The version that workflows use, to compare with.
    pub deployed: Option<i32>,
    /// What the agent can change or send as it was last saved.
    pub changes: Result<Changes, ApiError>,
    /// The tools that it was last saved with.
    pub tools: Vec<String>,
    /// Whether the one who looks may try the agent.
    pub can_try: bool,
    /// Whether the one who looks may keep what was said as a test case.
    pub can_build: bool,
}

/// A conversation with an agent, with what the panel offers.
#[server]
pub async fn load_trial(
    org: String,
    agent: AgentId,
    conversation: Option<ConversationId>,
) -> Result<TrialPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = agents::service::find(&cx.grant()?, agent).await?.agent;
    let grant = cx.grant()?;
    let shown = match conversation {
        Some(id) => service::find(&grant, agent, id).await?,
        None => Conversation::default(),
    };
    let tools: Vec<_> = detail.config.tools.into_keys().collect();
    let changes = changes_with(&cx, agent, detail.deployed_version, tools.clone()).await;
    Ok(TrialPage {
        conversations: service::list(&grant, agent).await?,
        conversation: shown,
        deployed: detail.deployed_version,
        changes,
        tools,
        can_try: cx.role().may(Permission::Operate),
        can_build: cx.role().may(Permission::Build),
    })
}

/// What an agent can change or send, by the names of tools: what is simulated unless it is switched on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// With the tools that it is tried with, and with all that it may call through them.
    pub draft: BTreeSet<String>,
    /// What the deployed version can besides.
    pub deployed: BTreeSet<String>,
}

/// What an agent can change or send with these tools.
#[server]
pub async fn load_changes(
    org: String,
    agent: AgentId,
    #[server(default)] tools: Vec<String>,
) -> Result<Changes, ApiError> {
    let cx = door::ctx(&org).await?;
    let deployed = agents::service::find(&cx.grant()?, agent).await?.agent.deployed_version;
    changes_with(&cx, agent, deployed, tools).await
}

#[cfg(feature = "ssr")]
async fn changes_with(
    cx: &Ctx,
    agent: AgentId,
    deployed: Option<i32>,
    tools: Vec<String>,
) -> Result<Changes, ApiError> {
    let grant = cx.grant()?;
    let deployed = match deployed {
        Some(version) => agents::service::version(&grant, agent, version).await?.tools.into_keys().collect(),
        None => Vec::new(),
    };
    let draft = agents::service::changes_with(&grant, agent, tools).await?;
    let mut deployed = agents::service::changes_with(&grant, agent, deployed).await?;
    deployed.retain(|tool| !draft.contains(tool));
    Ok(Changes { draft, deployed })
}

/// A conversation with an agent, to show it anew while the agent answers.
#[server]
pub async fn load_conversation(
    org: String,
    agent: AgentId,
    conversation: ConversationId,
) -> Result<Conversation, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(service::find(&cx.grant()?, agent, conversation).await?)
}

/// Says something to the agent, as it stands in its form or, without that, as it was last saved. With `for_real` the tools
/// that are `named`, with commas between them, really do what they do.
#[server]
pub async fn say_to_agent(
    org: String,
    agent: AgentId,
    conversation: Option<ConversationId>,
    prompt: String,
    #[server(default)] for_real: bool,
    #[server(default)] named: String,
    #[server(default)] beside_deployed: bool,
    #[server(default)] form: Option<AgentForm>,
) -> Result<ConversationId, ApiError> {
    let cx = door::ctx(&org).await?;
    let draft = form.map(|form| form.config()).transpose().map_err(in_form)?;
    let names = named.split(',').map(str::trim).filter(|name| !name.is_empty());
    let for_real = for_real.then(|| names.map(str::to_owned).collect());
    let say = Say { agent, conversation, prompt, draft, for_real, beside_deployed };
    let id = service::say(&cx.grant()?, say).await?;
    if conversation.is_none() {
        leptos_axum::redirect(&format!("/o/{}/agents/{agent}?c={id}", cx.org().slug));
    }
    Ok(id)
}

/// Stops the agent's answer.
#[server]
pub async fn stop_agent(org: String, agent: AgentId, conversation: ConversationId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::stop(&cx.grant()?, agent, conversation).await?;
    Ok(())
}
