//! Agents.

use agentflow::{
    agents::{Agent, form::AgentForm},
    engine::plan::ToolEffect,
    kernel::{AgentId, VersionLine},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::views::empty_page;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, wire::in_form};
#[cfg(feature = "ssr")]
use agentflow::{access::Permission, agents::service};

/// The list of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentsPage {
    /// The agents, by name.
    pub agents: Vec<Agent>,
    /// Whether the one who looks may make one.
    pub can_build: bool,
}

/// An agent's form with all that it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentPage {
    /// The agent; nothing for a new one.
    pub agent: Option<Agent>,
    /// The version that the form shows.
    pub shown: i32,
    /// The form.
    pub form: AgentForm,
    /// The versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// The workflows that name the agent.
    pub used_by: Vec<String>,
    /// The models that there are: id and label.
    pub models: Vec<(String, String)>,
    /// The tools that there are.
    pub tools: Vec<ToolChoice>,
    /// Whether the one who looks may save.
    pub can_build: bool,
    /// Whether the one who looks may deploy.
    pub can_deploy: bool,
}

/// A tool to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolChoice {
    /// What graphs call it.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it does.
    pub description: String,
    /// What it does to the world.
    pub effect: ToolEffect,
}

/// All agents.
#[server]
pub async fn list_agents(org: String) -> Result<AgentsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(AgentsPage { agents: service::list(&cx.grant()?).await?, can_build: cx.role().may(Permission::Build) })
}

/// An agent's form, at its newest or another version; the form of a new agent.
#[server]
pub async fn load_agent(org: String, agent: Option<AgentId>, version: Option<i32>) -> Result<AgentPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let Some(id) = agent else { return Ok(empty_page(&cx).await?) };
    let detail = service::find(&cx.grant()?, id).await?;
    let shown = version.unwrap_or(detail.agent.version);
    let config = service::version(&cx.grant()?, id, shown).await?;
    let form = AgentForm::of(&config);
    let (versions, used_by) = (detail.versions, detail.used_by);
    Ok(AgentPage { agent: Some(detail.agent), shown, form, versions, used_by, ..empty_page(&cx).await? })
}

/// Makes an agent.
#[server]
pub async fn create_agent(org: String, form: AgentForm) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let grant = cx.grant()?;
    let agent = service::create(&grant, form.config().map_err(in_form)?).await.map_err(in_form)?;
    leptos_axum::redirect(&format!("/o/{}/agents/{}", cx.org().slug, agent.id));
    Ok(())
}

/// Saves an agent as a new version, made from version `base`.
#[server]
pub async fn save_agent(org: String, agent: AgentId, base: i32, form: AgentForm) -> Result<(), ApiError> {
    let grant = door::ctx(&org).await?.grant()?;
    let config = form.config().map_err(in_form)?;
    service::save(&grant, agent, base, config).await.map_err(in_form)?;
    Ok(())
}

/// Makes a version the one that workflows use.
#[server]
pub async fn deploy_agent(org: String, agent: AgentId, version: i32) -> Result<(), ApiError> {
    service::deploy(&door::ctx(&org).await?.grant()?, agent, version).await?;
    Ok(())
}

/// Takes an agent out of use.
#[server]
pub async fn archive_agent(org: String, agent: AgentId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::archive(&cx.grant()?, agent).await?;
    leptos_axum::redirect(&format!("/o/{}/agents", cx.org().slug));
    Ok(())
}
