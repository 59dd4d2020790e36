//! Workflows: what their pages show, and what can be done on them.

use std::collections::BTreeMap;

use agentflow::{
    engine::plan::{Join, validate::Fault},
    kernel::{VersionLine, WorkflowId},
    workflows::{AgentRef, InputField, TemplateCard, Workflow, forms::StepForm},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::views;
use crate::{agents::api::ToolChoice, error::ApiError};
#[cfg(feature = "ssr")]
use crate::{door, wire::in_form};
#[cfg(feature = "ssr")]
use agentflow::{
    kernel::Error,
    runs::service::{self as runs, Start},
    workflows::{NewWorkflow, blank, edit::Edit, service, templates},
};

/// What the one who looks may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct May {
    /// Make and edit.
    pub build: bool,
    /// Deploy.
    pub deploy: bool,
    /// Run.
    pub operate: bool,
}

/// The list of workflows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowsPage {
    /// The workflows, the last saved first.
    pub workflows: Vec<Workflow>,
    /// What can be done.
    pub may: May,
}

/// A line of the outline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlineRow {
    /// The step's path.
    pub path: String,
    /// How deep it is inside of maps.
    pub depth: usize,
    /// Its key.
    pub key: String,
    /// Its name.
    pub label: String,
    /// Its kind's word.
    pub kind: String,
    /// What it works with: the agent's name, the tool's title.
    pub about: String,
    /// The names of what it runs after.
    pub after: Vec<String>,
    /// How many of them it waits for.
    pub join: Join,
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// First and last of its level cannot move further.
    pub first: bool,
    /// See `first`.
    pub last: bool,
}

/// A workflow with its outline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowPage {
    /// The workflow.
    pub workflow: Workflow,
    /// The version that is shown.
    pub shown: i32,
    /// What was changed in it, by whom.
    pub shown_line: VersionLine,
    /// The steps.
    pub rows: Vec<OutlineRow>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// All versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// The agents that it names.
    pub agents: Vec<AgentRef>,
    /// A run's title.
    pub title: String,
    /// Hours from its start in which a run must end.
    pub deadline_h: String,
    /// Which runs go first: `low`, `normal`, `high`.
    pub priority: String,
    /// How many of its runs are under way at once; empty: as many as there are.
    pub concurrency_limit: String,
    /// Which of them count together.
    pub concurrency_key: String,
    /// Days that ended runs are kept.
    pub retention_days: String,
    /// JSON Schema of the input, as text.
    pub input: String,
    /// The fields of the run form; nothing when only JSON can fill it.
    pub fields: Option<Vec<InputField>>,
    /// What can be done.
    pub may: May,
}

/// An argument of the chosen tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// How to fill it in.
    pub hint: String,
    /// Whether the tool needs it.
    pub required: bool,
    /// The values that it can have, if these are few.
    pub choices: Vec<String>,
    /// Whether it is likely to have several lines.
    pub long: bool,
}

/// A step's form with all that it offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPage {
    /// The workflow.
    pub id: WorkflowId,
    /// Its name.
    pub workflow: String,
    /// The version that the form was made from.
    pub base: i32,
    /// The group that the step is inside of; empty for the workflow's own level.
    pub scope: String,
    /// The step's path; nothing for a new one.
    pub path: Option<String>,
    /// The form.
    pub form: StepForm,
    /// What it can run after: port and label.
    pub ports: Vec<(String, String)>,
    /// The agents that there are.
    pub agents: Vec<AgentRef>,
    /// The tools that there are.
    pub tools: Vec<ToolChoice>,
    /// The other workflows that there are: id and name.
    pub workflows: Vec<(String, String)>,
    /// The arguments of the chosen tool.
    pub arguments: Vec<Argument>,
    /// What is wrong with the step, under the names of the form's entries.
    pub faults: Vec<Fault>,
    /// What its templates can read: expression and what it is.
    pub readable: Vec<(String, String)>,
    /// What can be done.
    pub may: May,
}

/// The run form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPage {
    /// The workflow.
    pub workflow: Workflow,
    /// The version that a run would run.
    pub version: i32,
    /// Whether the address names it. Else it is the deployed one, or what runs while there is none.
    pub named: bool,
    /// Whether a run of it can start now.
    pub valid: bool,
    /// The fields; nothing when only JSON can fill the form.
    pub fields: Option<Vec<InputField>>,
    /// The input as JSON, with what stands in the fields at first.
    pub json: String,
    /// Sent along with the form, so that a second press starts no second run.
    pub key: String,
    /// What can be done.
    pub may: May,
}

/// All workflows.
#[server]
pub async fn list_workflows(org: String) -> Result<WorkflowsPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(WorkflowsPage { workflows: service::list(&cx.grant()?).await?, may: views::may(&cx) })
}

/// The templates.
#[server]
pub async fn list_templates(org: String) -> Result<Vec<TemplateCard>, ApiError> {
    door::ctx(&org).await?;
    Ok(templates::cards())
}

/// A workflow at its newest or another version.
#[server]
pub async fn load_workflow(org: String, workflow: WorkflowId, version: Option<i32>) -> Result<WorkflowPage, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(views::workflow(service::detail(&cx.grant()?, workflow, version).await?, views::may(&cx)))
}

/// A step's form. `kind` is another kind to turn it into, `tool` another tool.
#[server]
pub async fn load_step(
    org: String,
    workflow: WorkflowId,
    path: String,
    kind: Option<String>,
    tool: Option<String>,
) -> Result<StepPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::detail(&cx.grant()?, workflow, None).await?;
    let page = views::step(&detail, &path, kind, tool, views::may(&cx))?;
    Ok(views::with_choices(page, &cx.grant()?).await?)
}

/// The form of a new step, of a kind, inside of a map or not, after another step or not.
#[server]
pub async fn load_new_step(
    org: String,
    workflow: WorkflowId,
    scope: String,
    kind: String,
    tool: Option<String>,
    after: Option<String>,
) -> Result<StepPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let detail = service::detail(&cx.grant()?, workflow, None).await?;
    let page = views::new_step(&detail, &scope, &kind, tool, after, views::may(&cx))?;
    Ok(views::with_choices(page, &cx.grant()?).await?)
}

/// The run form, with the fields of the version that is named or else would run.
#[server]
pub async fn load_run_form(org: String, workflow: WorkflowId, version: Option<i32>) -> Result<RunPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let (workflow, shown) = service::to_run(&cx.grant()?, workflow, version).await.map_err(views::in_address)?;
    Ok(views::run(workflow, shown, version.is_some(), views::may(&cx)))
}

/// Makes a workflow out of a template, and leads to it.
#[server]
pub async fn use_template(org: String, template: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let new = templates::find(&template).ok_or_else(|| Error::not_found("template"))?.clone();
    let name = service::free_name(&cx.grant()?, &new.name).await?;
    let made = service::create(&cx.grant()?, NewWorkflow { name, ..new }).await?;
    leptos_axum::redirect(&format!("/o/{}/workflows/{}", cx.org().slug, made.id));
    Ok(())
}

/// Makes an empty workflow, and leads to it.
#[server]
pub async fn create_workflow(org: String, name: String, description: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let new = NewWorkflow { name, description, graph: blank(), agents: BTreeMap::new(), deploy: false };
    let made = service::create(&cx.grant()?, new).await?;
    leptos_axum::redirect(&format!("/o/{}/workflows/{}", cx.org().slug, made.id));
    Ok(())
}

/// Makes a workflow out of a file, and leads to it.
#[server]
pub async fn import_workflow(org: String, yaml: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let made = service::import(&cx.grant()?, &yaml).await?;
    leptos_axum::redirect(&format!("/o/{}/workflows/{}", cx.org().slug, made.id));
    Ok(())
}

/// Adds a step, and leads back to the outline.
#[server]
pub async fn add_step(
    org: String,
    workflow: WorkflowId,
    base: i32,
    scope: String,
    #[server(default)] between: bool,
    form: StepForm,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let (edit, path) = views::adding(&cx.grant()?, workflow, base, scope, between, form).await.map_err(in_form)?;
    service::edit(&cx.grant()?, workflow, base, &edit).await.map_err(in_form)?;
    views::to_outline(&cx, workflow, &path);
    Ok(())
}

/// Saves a step, and leads back to the outline.
#[server]
pub async fn save_step(
    org: String,
    workflow: WorkflowId,
    base: i32,
    path: String,
    form: StepForm,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let (edit, path) = views::setting(&cx.grant()?, workflow, base, path, form).await.map_err(in_form)?;
    service::edit(&cx.grant()?, workflow, base, &edit).await.map_err(in_form)?;
    views::to_outline(&cx, workflow, &path);
    Ok(())
}

/// Deletes a step, and leads back to the outline.
#[server]
pub async fn remove_step(org: String, workflow: WorkflowId, base: i32, path: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::edit(&cx.grant()?, workflow, base, &Edit::Remove { path }).await?;
    views::to_outline(&cx, workflow, "");
    Ok(())
}

/// Shows a step one place earlier or later: `up:check.fetch`, `down:check`.
#[server]
pub async fn move_step(org: String, workflow: WorkflowId, base: i32, step: String) -> Result<(), ApiError> {
    let (way, path) = step.split_once(':').unwrap_or(("", &step));
    let edit = Edit::Move { path: path.to_owned(), up: way == "up" };
    service::edit(&door::ctx(&org).await?.grant()?, workflow, base, &edit).await?;
    Ok(())
}

/// Brings an older version back.
#[server]
pub async fn restore_version(org: String, workflow: WorkflowId, base: i32, version: i32) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::restore(&cx.grant()?, workflow, base, version).await?;
    views::to_outline(&cx, workflow, "");
    Ok(())
}

/// Saves what the whole workflow says.
#[server]
pub async fn save_settings(
    org: String,
    workflow: WorkflowId,
    base: i32,
    title: String,
    deadline_h: String,
    #[server(default)] retention_days: String,
    #[server(default)] priority: String,
    #[server(default)] concurrency_limit: String,
    #[server(default)] concurrency_key: String,
    input: String,
) -> Result<(), ApiError> {
    let groups = (&*concurrency_limit, &*concurrency_key);
    let edit = views::settings(title, &deadline_h, &retention_days, &priority, groups, &input)?;
    service::edit(&door::ctx(&org).await?.grant()?, workflow, base, &edit).await?;
    Ok(())
}

/// Another name and description.
#[server]
pub async fn describe_workflow(
    org: String,
    workflow: WorkflowId,
    name: String,
    description: String,
) -> Result<(), ApiError> {
    Ok(service::describe(&door::ctx(&org).await?.grant()?, workflow, &name, &description).await?)
}

/// Makes a version the one that runs use.
#[server]
pub async fn deploy_workflow(org: String, workflow: WorkflowId, version: i32) -> Result<(), ApiError> {
    service::deploy(&door::ctx(&org).await?.grant()?, workflow, version).await?;
    Ok(())
}

/// Takes a workflow out of use.
#[server]
pub async fn archive_workflow(org: String, workflow: WorkflowId) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    service::archive(&cx.grant()?, workflow).await?;
    leptos_axum::redirect(&format!("/o/{}/workflows", cx.org().slug));
    Ok(())
}

/// Starts a run with what was typed into the form, or with JSON, and leads to it.
#[server]
pub async fn start_run(
    org: String,
    workflow: WorkflowId,
    key: String,
    #[server(default)] version: Option<i32>,
    #[server(default)] typed: BTreeMap<String, String>,
    #[server(default)] json: Option<String>,
    #[server(default)] labels: Option<String>,
) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    let input = views::input(&cx.grant()?, workflow, version, &typed, json.as_deref()).await?;
    let labels = labels.iter().flat_map(|labels| labels.split(',')).map(str::to_owned).collect();
    let start = Start { workflow, version, input, priority: None, labels, idempotency_key: Some(key) };
    let started = runs::start(&cx.grant()?, start).await.map_err(|error| views::at_typed(error, json.is_some()))?;
    leptos_axum::redirect(&format!("/o/{}/runs/{}", cx.org().slug, started.run));
    Ok(())
}
