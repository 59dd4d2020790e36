//! The versions of a workflow: what was changed, by whom, and bringing one back.

use leptos::prelude::*;

use super::{
    address,
    api::{DeployWorkflow, RestoreVersion, WorkflowPage},
    head, use_workflow,
};
use crate::{
    frame::use_org,
    kit::{DataTable, Form, FormAction, Glyph, Look, Status, StatusText, Submit, Th, Time, status::Family},
    wire::{Loaded, hidden, on_success},
};

/// The versions of a workflow.
#[component]
pub fn VersionsPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let renewed = RwSignal::new(0_u32);
    let page = use_workflow(renewed);
    view! { <Loaded resource=page view=move |page| body(&org.get_untracked(), &page, renewed)/> }.into_any()
}

fn body(org: &str, page: &WorkflowPage, renewed: RwSignal<u32>) -> AnyView {
    let here = address(org, page);
    let newest = page.workflow.version;
    let restore = FormAction::new::<RestoreVersion>();
    on_success(restore, move || renewed.update(|count| *count += 1));
    let rows: Vec<_> = page
        .versions
        .iter()
        .cloned()
        .map(|line| {
            let state = if page.workflow.deployed_version == Some(line.version) {
                Status::new("Deployed", Glyph::Succeeded, Family::Success)
            } else if line.valid {
                Status::new("Can run", Glyph::Check, Family::Neutral)
            } else {
                Status::new("Has problems", Glyph::Warning, Family::Warning)
            };
            let back = (page.may.build && line.version != newest).then(|| {
                let entries = hidden([("org", org.to_owned()), ("workflow", page.workflow.id.to_string()), ("base", newest.to_string()), ("version", line.version.to_string())]);
                view! {
                    <Form action=restore id=format!("restore-{}", line.version) class="inline">
                        {entries}
                        <Submit look=Look::Quiet busy="Bringing back…">
                            "Bring back"
                            <span class="visually-hidden">{format!(" version {}", line.version)}</span>
                        </Submit>
                    </Form>
                }
            });
            view! {
                <tr>
                    <th scope="row"><a href=format!("{here}?v={}", line.version)>{format!("Version {}", line.version)}</a></th>
                    <td data-label="Change">{line.note}</td>
                    <td data-label="State"><StatusText status=Signal::stored(state)/></td>
                    <td data-label="Saved by">{line.saved_by}</td>
                    <td data-label="Saved"><Time at=line.created_at/></td>
                    <td class="actions">{back}</td>
                </tr>
            }
        })
        .collect();
    let table_head = || {
        view! {
            <Th>"Version"</Th><Th>"Change"</Th><Th>"State"</Th><Th>"Saved by"</Th><Th>"Saved"</Th>
            <Th><span class="visually-hidden">"Actions"</span></Th>
        }
    };
    view! {
        {head(org, page, "versions")}
        <DataTable caption="Versions" head=table_head.into() class="cards">{rows}</DataTable>
    }
    .into_any()
}

/// What stands where a version can be deployed: the button, or why there is none.
pub fn deploy_form(org: &str, page: &WorkflowPage, version: i32, can_run: bool, renewed: RwSignal<u32>) -> AnyView {
    if page.workflow.deployed_version == Some(version) {
        return view! { <p>"Runs use this version."</p> }.into_any();
    }
    let runs_use = match page.workflow.deployed_version {
        Some(deployed) => format!("Runs use version {deployed} until this one is deployed."),
        None => "Not deployed: runs of it are tests.".to_owned(),
    };
    if !page.may.deploy {
        return view! { <p class="hint">{runs_use}" An admin or owner can deploy it."</p> }.into_any();
    }
    let deploy = FormAction::new::<DeployWorkflow>();
    on_success(deploy, move || renewed.update(|count| *count += 1));
    let look = if can_run { Look::Primary } else { Look::Default };
    let entries =
        hidden([("org", org.to_owned()), ("workflow", page.workflow.id.to_string()), ("version", version.to_string())]);
    view! {
        <Form action=deploy>
            {entries}
            <p class="hint">{runs_use}</p>
            <Submit look busy="Deploying…">{format!("Deploy version {version}")}</Submit>
        </Form>
    }
    .into_any()
}
