//! Agents.

use agentflow::{
    agents::{
        Agent, AgentStatus, Deployment,
        cases::{CaseForm, TestCase, rehearsal::Rehearsal},
        compare::Comparison,
        form::AgentForm,
        record::{AgentRecord, Record},
    },
    engine::plan::ToolEffect,
    kernel::{AgentId, ConversationId, RehearsalId, TestCaseId, Timestamp, VersionLine},
    memory::Memories,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::views::{empty_page, head, row};
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, wire::in_form};
#[cfg(feature = "ssr")]
use agentflow::{
    access::{Ctx, Permission},
    agents::{
        cases::{rehearsal::service as rehearsals, service as cases},
        record::Period,
        service,
    },
    conversations,
    kernel::{Error, Kind},
    memory::service as memory,
};

/// The list of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentsPage {
    /// The agents, by name.
    pub agents: Vec<AgentRow>,
    /// Whether these are the archived ones.
    pub archived: bool,
    /// Whether the one who looks may make one.
    pub can_build: bool,
}

/// A line of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// What workflows call it.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub role: String,
    /// Its model.
    pub model: String,
    /// What it is good for, in a sentence.
    pub about: String,
    /// The same in words.
    pub tags: Vec<String>,
    /// Whether it can be given work.
    pub status: AgentStatus,
    /// The newest version.
    pub version: i32,
    /// The version that workflows use.
    pub deployed_version: Option<i32>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What came of its tasks of the last 30 days.
    pub record: Record,
}

/// What all pages of an agent begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHead {
    /// Its id.
    pub id: AgentId,
    /// What it is called.
    pub name: String,
    /// Whether it can be given work.
    pub status: AgentStatus,
    /// The newest version.
    pub version: i32,
    /// The version that workflows use.
    pub deployed_version: Option<i32>,
    /// The one that was deployed before.
    pub former: Option<i32>,
    /// How many versions there are.
    pub versions: usize,
    /// How many test cases there are.
    pub cases: i64,
    /// Whether the one who looks may save.
    pub can_build: bool,
    /// Whether the one who looks may try it.
    pub can_try: bool,
    /// Whether the one who looks may deploy.
    pub can_deploy: bool,
}

/// An agent's form with all that it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentPage {
    /// What the page begins with; nothing for a new agent.
    pub head: Option<AgentHead>,
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
    /// The models and task classes that there are: id and label.
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

/// An agent's versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentVersionsPage {
    /// What the page begins with.
    pub head: AgentHead,
    /// The versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// Which was deployed when, the last first.
    pub deployments: Vec<Deployment>,
    /// Two versions beside each other, where two are named.
    pub comparison: Option<Comparison>,
}

/// What came of an agent's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecordPage {
    /// What the page begins with.
    pub head: AgentHead,
    /// The record.
    pub record: AgentRecord,
}

/// An agent's test cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentCasesPage {
    /// What the page begins with.
    pub head: AgentHead,
    /// The test cases, by name.
    pub cases: Vec<TestCase>,
    /// A new one made of a message and its answer, where these are named.
    pub of_turn: Option<CaseForm>,
}

/// What is known of a version before it is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployPage {
    /// What the page begins with.
    pub head: AgentHead,
    /// The version.
    pub version: i32,
    /// What its author said of it.
    pub note: Option<String>,
    /// Its test cases, if they were run.
    pub rehearsal: Option<Rehearsal>,
}

/// What an agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentMemoryPage {
    /// What the page begins with.
    pub head: AgentHead,
    /// What it remembers; nothing where the one who looks may not see what runs were given.
    pub memories: Option<Memories>,
}

/// All agents, or the archived ones, with their record.
#[server]
pub async fn list_agents(org: String, #[server(default)] archived: bool) -> Result<AgentsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let agents = if archived { service::archived(&cx.grant()?).await? } else { service::list(&cx.grant()?).await? };
    let mut records = service::registry(&cx.grant()?, Period::Month).await?;
    let agents = agents.into_iter().map(|agent| row(agent, &mut records)).collect();
    Ok(AgentsPage { agents, archived, can_build: cx.role().may(Permission::Build) })
}

/// An agent's form, at its newest or another version; the form of a new agent.
#[server]
pub async fn load_agent(org: String, agent: Option<AgentId>, version: Option<i32>) -> Result<AgentPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let Some(id) = agent else { return Ok(empty_page(&cx).await?) };
    let detail = service::find(&cx.grant()?, id).await?;
    let shown = version.unwrap_or(detail.agent.version);
    let form = AgentForm::of(&service::version(&cx.grant()?, id, shown).await?);
    let head = Some(head(&cx, &detail));
    let (versions, used_by) = (detail.versions, detail.used_by);
    Ok(AgentPage { head, agent: Some(detail.agent), shown, form, versions, used_by, ..empty_page(&cx).await? })
}

/// An agent's versions, and what differs from version `a` to version `b` where they are named.
#[server]
pub async fn load_agent_versions(
    org: String,
    agent: AgentId,
    a: Option<i32>,
    b: Option<i32>,
) -> Result<AgentVersionsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::find(&cx.grant()?, agent).await?;
    let comparison = match a {
        None => None,
        Some(a) => Some(service::compare(&cx.grant()?, agent, a, b.unwrap_or(detail.agent.version)).await?),
    };
    let deployments = service::deployments(&cx.grant()?, agent).await?;
    Ok(AgentVersionsPage { head: head(&cx, &detail), versions: detail.versions, deployments, comparison })
}

/// What came of an agent's tasks.
#[server]
pub async fn load_agent_record(org: String, agent: AgentId, days: Option<i32>) -> Result<AgentRecordPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::find(&cx.grant()?, agent).await?;
    let record = service::record(&cx.grant()?, agent, Period::of_days(days)).await?;
    Ok(AgentRecordPage { head: head(&cx, &detail), record })
}

/// An agent's test cases, and the form of a new one made of a message and its answer.
#[server]
pub async fn load_agent_cases(
    org: String,
    agent: AgentId,
    conversation: Option<ConversationId>,
    turn: Option<i32>,
) -> Result<AgentCasesPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::find(&cx.grant()?, agent).await?;
    let of_turn = match conversation.zip(turn) {
        Some((id, turn)) => Some(conversations::service::as_case(&cx.grant()?, agent, id, turn).await?),
        None => None,
    };
    Ok(AgentCasesPage { head: head(&cx, &detail), cases: cases::list(&cx.grant()?, agent).await?, of_turn })
}

/// What is known of a version (the newest, where none is named) before it is deployed.
#[server]
pub async fn load_agent_deploy(
    org: String,
    agent: AgentId,
    version: Option<i32>,
    rehearsal: Option<RehearsalId>,
) -> Result<DeployPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::find(&cx.grant()?, agent).await?;
    let version = version.unwrap_or(detail.agent.version);
    // That there is such a version.
    service::version(&cx.grant()?, agent, version).await?;
    let note = detail.versions.iter().find(|line| line.version == version).map(|line| line.note.clone());
    let rehearsal = rehearsals::find(&cx.grant()?, agent, version, rehearsal).await?;
    Ok(DeployPage { head: head(&cx, &detail), version, note, rehearsal })
}

/// A rehearsal, to show it anew while its runs are under way.
#[server]
pub async fn load_rehearsal(
    org: String,
    agent: AgentId,
    version: i32,
    rehearsal: RehearsalId,
) -> Result<Rehearsal, ApiError> {
    let cx = door::ctx(&org).await?;
    let found = rehearsals::find(&cx.grant()?, agent, version, Some(rehearsal)).await?;
    Ok(found.ok_or_else(|| Error::not_found("rehearsal"))?)
}

/// What an agent remembers under keys with these letters, with the tasks under the one that is to be opened.
#[server]
pub async fn load_agent_memory(
    org: String,
    agent: AgentId,
    wanted: Option<String>,
    key: Option<String>,
) -> Result<AgentMemoryPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let head = head(&cx, &service::find(&cx.grant()?, agent).await?);
    let memories = match cx.role().may(Permission::ViewPayloads) {
        true => Some(memory::look(&cx.grant()?, agent, &wanted.unwrap_or_default(), key).await?),
        false => None,
    };
    Ok(AgentMemoryPage { head, memories })
}

/// Makes an agent forget what it remembers under a key.
#[server]
pub async fn forget_memory(org: String, agent: AgentId, key: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    memory::forget(&cx.grant()?, agent, Some(&key)).await?;
    leptos_axum::redirect(&format!("/o/{}/agents/{agent}/memory", cx.org().slug));
    Ok(())
}

/// Makes an agent forget all that it remembers.
#[server]
pub async fn forget_all(org: String, agent: AgentId) -> Result<(), ApiError> {
    memory::forget(&door::ctx(&org).await?.grant()?, agent, None).await?;
    Ok(())
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

/// Saves an agent as a new version, made from version `base`; deploys it, where that is asked for. Where there are test
/// cases, they come before that.
#[server]
pub async fn save_agent(
    org: String,
    agent: AgentId,
    base: i32,
    form: AgentForm,
    #[server(default)] deploy: bool,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let (build, deploy) = (cx.grant()?, if deploy { Some(cx.grant()?) } else { None });
    let config = form.config().map_err(in_form)?;
    let new = service::NewVersion { base, config, note: form.note };
    let rehearse = deploy.is_some() && cases::any(&cx.grant()?, agent).await?;
    let saved = service::save(&build, deploy.as_ref().filter(|_| !rehearse), agent, new).await.map_err(in_form)?;
    if rehearse && saved.deployed_version != Some(saved.version) {
        let version = saved.version;
        let rehearsal = rehearsed(&cx, agent, version).await?;
        leptos_axum::redirect(&deploy_address(&cx.org().slug, agent, version, rehearsal));
    }
    Ok(())
}

/// Makes a version the one that workflows use. Where there are test cases they are run first, unless it is to be done
/// `now`: that is said by the page that shows what came of them.
#[server]
pub async fn deploy_agent(
    org: String,
    agent: AgentId,
    version: i32,
    #[server(default)] now: bool,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let deploy = cx.grant()?;
    if !now && cases::any(&cx.grant()?, agent).await? {
        let rehearsal = rehearsed(&cx, agent, version).await?;
        leptos_axum::redirect(&deploy_address(&cx.org().slug, agent, version, rehearsal));
        return Ok(());
    }
    service::deploy(&deploy, agent, version).await?;
    if now {
        leptos_axum::redirect(&format!("/o/{}/agents/{agent}", cx.org().slug));
    }
    Ok(())
}

/// Runs the test cases with a version.
#[server]
pub async fn rehearse_agent(org: String, agent: AgentId, version: i32) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let rehearsal = rehearsals::start(&cx.grant()?, agent, version).await?;
    leptos_axum::redirect(&deploy_address(&cx.org().slug, agent, version, Some(rehearsal)));
    Ok(())
}

/// Runs the test cases with a version that is to be deployed, if they can be run: the version may be the mend of what
/// keeps the one that is live from running. Asked for on the page itself, it is told why they cannot.
#[cfg(feature = "ssr")]
async fn rehearsed(cx: &Ctx, agent: AgentId, version: i32) -> Result<Option<RehearsalId>, ApiError> {
    match rehearsals::start(&cx.grant()?, agent, version).await {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.kind == Kind::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where it stands what came of a version's test cases.
#[cfg(feature = "ssr")]
fn deploy_address(org: &str, agent: AgentId, version: i32, rehearsal: Option<RehearsalId>) -> String {
    let rehearsal = rehearsal.map(|id| format!("&rehearsal={id}")).unwrap_or_default();
    format!("/o/{org}/agents/{agent}/deploy?v={version}{rehearsal}")
}

/// Deploys what was deployed before this version.
#[server]
pub async fn roll_back_agent(org: String, agent: AgentId, version: i32) -> Result<(), ApiError> {
    service::roll_back(&door::ctx(&org).await?.grant()?, agent, version).await?;
    Ok(())
}

/// Makes an older version the newest one again.
#[server]
pub async fn restore_agent_version(org: String, agent: AgentId, base: i32, version: i32) -> Result<(), ApiError> {
    service::restore(&door::ctx(&org).await?.grant()?, agent, base, version).await?;
    Ok(())
}

/// Switches an agent on or off, or brings it back.
#[server]
pub async fn set_agent_status(org: String, agent: AgentId, status: AgentStatus) -> Result<(), ApiError> {
    service::set_status(&door::ctx(&org).await?.grant()?, agent, status).await?;
    Ok(())
}

/// Takes an agent out of use.
#[server]
pub async fn archive_agent(org: String, agent: AgentId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::set_status(&cx.grant()?, agent, AgentStatus::Archived).await?;
    leptos_axum::redirect(&format!("/o/{}/agents", cx.org().slug));
    Ok(())
}

/// Makes a test case. From one that was made of a message, the page goes on to the list.
#[server]
pub async fn add_test_case(
    org: String,
    agent: AgentId,
    form: CaseForm,
    #[server(default)] of_turn: bool,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    cases::create(&cx.grant()?, agent, &form).await.map_err(in_form)?;
    if of_turn {
        leptos_axum::redirect(&format!("/o/{}/agents/{agent}/tests", cx.org().slug));
    }
    Ok(())
}

/// Changes a test case.
#[server]
pub async fn save_test_case(org: String, agent: AgentId, case: TestCaseId, form: CaseForm) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    cases::update(&cx.grant()?, agent, case, &form).await.map_err(in_form)?;
    leptos_axum::redirect(&format!("/o/{}/agents/{agent}/tests", cx.org().slug));
    Ok(())
}

/// Removes a test case.
#[server]
pub async fn remove_test_case(org: String, agent: AgentId, case: TestCaseId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    cases::remove(&cx.grant()?, agent, case).await?;
    leptos_axum::redirect(&format!("/o/{}/agents/{agent}/tests", cx.org().slug));
    Ok(())
}
