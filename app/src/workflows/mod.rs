//! Workflows: the list, the outline, a step's form, versions, settings, and the run form.
//!
//! The outline is the graph as lists and forms, each step's form on an address of its own. It works without scripts, and
//! on a phone. Whatever else edits the graph later makes the same changes through the same services.

pub mod api;
mod fields;
mod list;
mod new;
mod outline;
mod run;
mod settings;
mod step;
mod versions;
#[cfg(feature = "ssr")]
mod views;

use agentflow::{
    engine::state::StepKind,
    kernel::{Error, WorkflowId},
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

pub use self::{
    list::WorkflowsListPage,
    new::NewWorkflowPage,
    outline::OutlinePage,
    run::RunFormPage,
    settings::SettingsPage,
    step::{NewStepPage, StepEditPage},
    versions::VersionsPage,
};
use crate::{
    agents::deployed_badge,
    error::ApiError,
    frame::use_org,
    kit::{Crumb, Glyph, Icon, PageHeader, Tab, Tabs, Title, kind_glyph},
    wire::{Loading, loading},
};
use api::{WorkflowPage, load_workflow};

/// The id of an address. A text that is none is as unknown as a foreign id.
fn workflow_id(text: Option<String>) -> Result<WorkflowId, ApiError> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| ApiError(Error::not_found("workflow")))
}

/// The workflow of the address, at the version that the address names. `renewed` loads it again.
fn use_workflow(renewed: RwSignal<u32>) -> Loading<WorkflowPage> {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let source = move || {
        let version = query.with(|query| query.get("v")).and_then(|version| version.parse::<i32>().ok());
        // A change leads back here with its step's name: another address, so loaded again.
        let changed = query.with(|query| query.get("changed"));
        (org.get(), params.with(|params| params.get("id")), version, changed, renewed.get())
    };
    loading(source, |(org, id, version, ..)| async move { load_workflow(org, workflow_id(id)?, version).await })
}

/// The address of a workflow.
fn address(org: &str, page: &WorkflowPage) -> String {
    format!("/o/{org}/workflows/{}", page.workflow.id)
}

/// The head that all pages of a workflow share: name, state, Run, and the views of it.
fn head(org: &str, page: &WorkflowPage, view: &'static str) -> AnyView {
    let here = address(org, page);
    let crumbs = vec![Crumb::new("Workflows", format!("/o/{org}/workflows"))];
    let name = page.workflow.name.clone();
    let badge = deployed_badge(page.workflow.version, page.workflow.deployed_version);
    let description = page.workflow.description.clone();
    let about = move || (!description.is_empty()).then(|| view! { <p class="muted narrow">{description}</p> });
    let run = page.may.operate.then(|| {
        // What one looks at is what one tries.
        let (href, words) = if page.workflow.deployed_version == Some(page.shown) {
            (format!("{here}/run"), "Run workflow".to_owned())
        } else {
            (format!("{here}/run?version={}", page.shown), format!("Run version {}", page.shown))
        };
        view! { <a class="btn btn-primary" href=href><Icon glyph=Glyph::Play/>{words}</a> }
    });
    let tabs = vec![
        Tab::new("Outline", here.clone(), view == "outline"),
        Tab::new("Versions", format!("{here}/versions"), view == "versions")
            .with_count(u64::try_from(page.versions.len()).unwrap_or_default()),
        Tab::new("Settings", format!("{here}/settings"), view == "settings"),
    ];
    view! {
        <Title text=Signal::stored(format!("{name} · Workflows"))/>
        <PageHeader title=Signal::stored(name) crumbs beside=move || badge about>
            {run}
        </PageHeader>
        <Tabs label="Views of the workflow" tabs=Signal::stored(tabs)/>
    }
    .into_any()
}

/// The icon of a kind of step.
fn glyph_of(kind: &str) -> Glyph {
    StepKind::parse(kind).map_or(Glyph::Item, kind_glyph)
}

/// What a kind of step is called.
fn word_of(kind: &str) -> &'static str {
    agentflow::workflows::forms::KINDS.iter().find(|(word, _, _)| *word == kind).map_or("Step", |(_, title, _)| title)
}
