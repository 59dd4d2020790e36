//! The list of workflows.

use leptos::prelude::*;

use super::api::{WorkflowsPage, list_workflows};
use crate::{
    agents::{deployed_badge, version_words},
    frame::use_org,
    kit::{DataTable, EmptyState, Glyph, Icon, LinkButton, Look, PageHeader, Th, Time, Title},
    wire::{Loaded, loading},
};

/// The workflows of the organization.
#[component]
pub fn WorkflowsListPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let list = loading(move || org.get(), list_workflows);
    view! {
        <Title text=Signal::stored("Workflows".to_owned())/>
        <Loaded resource=list view=move |page| body(&org.get_untracked(), page)/>
    }
    .into_any()
}

fn body(org: &str, page: WorkflowsPage) -> AnyView {
    let new = format!("/o/{org}/workflows/new");
    let can_build = page.may.build;
    let action = can_build.then(|| {
        let href = Signal::stored(new.clone());
        view! { <LinkButton href look=Look::Primary><Icon glyph=Glyph::Plus/>"New workflow"</LinkButton> }
    });
    let list = if page.workflows.is_empty() {
        let choose =
            can_build.then(|| view! { <p><a class="btn btn-primary" href=new.clone()>"Choose a template"</a></p> });
        view! {
            <EmptyState title="No workflows yet" glyph=Glyph::Workflows>
                <p>"A workflow is a series of steps: agents, tools, decisions, approvals. Start from a template and run it at once."</p>
                {choose}
            </EmptyState>
        }
        .into_any()
    } else {
        let rows: Vec<_> = page
            .workflows
            .into_iter()
            .map(|workflow| {
                let href = format!("/o/{org}/workflows/{}", workflow.id);
                let run = page.may.operate.then(|| {
                    let label = format!("Run {}", workflow.name);
                    view! { <a class="btn btn-small" href=format!("{href}/run") aria-label=label><Icon glyph=Glyph::Play/>"Run"</a> }
                });
                let problems = (!workflow.valid).then(|| view! { <span class="sub">"Newest version has problems"</span> });
                view! {
                    <tr>
                        <th scope="row">
                            <a href=href.clone()>{workflow.name}</a>
                            <span class="sub clamp">{workflow.description}</span>
                        </th>
                        <td data-label="State">{deployed_badge(workflow.version, workflow.deployed_version)}</td>
                        <td data-label="Version" class="nowrap"><span>{version_words(workflow.version, workflow.deployed_version)}{problems}</span></td>
                        <td data-label="Saved"><Time at=workflow.updated_at/></td>
                        <td class="actions">{run}</td>
                    </tr>
                }
            })
            .collect();
        let head = || {
            view! {
                <Th>"Name"</Th><Th>"State"</Th><Th>"Version"</Th><Th>"Saved"</Th>
                <Th><span class="visually-hidden">"Actions"</span></Th>
            }
        };
        view! { <DataTable caption="Workflows" head=head.into() class="cards">{rows}</DataTable> }.into_any()
    };
    view! {
        <PageHeader title=Signal::stored("Workflows".to_owned())>{action}</PageHeader>
        {list}
    }
    .into_any()
}
