//! Which approvals the inbox lists.

use agentflow::{
    approvals::{ApprovalKind, Risk},
    kernel::{AgentId, WorkflowId},
};
use leptos::prelude::*;
use leptos_router::components::Form as QueryForm;

use super::place::{Place, View};
use crate::kit::{EmptyState, Glyph, Icon};

/// The form that filters. It works as a plain form.
#[component]
pub(super) fn Filters(
    place: Memo<Place>,
    org: String,
    workflows: Vec<(WorkflowId, String)>,
    agents: Vec<(AgentId, String)>,
) -> impl IntoView {
    let now = place.get_untracked();
    let filter = now.filter.clone();
    let kinds = [
        (ApprovalKind::Approval, "Approvals of workflows"),
        (ApprovalKind::Tool, "Tool calls of agents"),
        (ApprovalKind::Question, "Questions of agents"),
        (ApprovalKind::Failure, "Steps that failed"),
    ];
    let kinds = kinds.map(|(kind, word)| (kind.as_str().to_owned(), word.to_owned())).to_vec();
    let risks = [
        (Risk::Reversible, "Reversible"),
        (Risk::Irreversible, "Cannot be undone"),
        (Risk::AboveLimit, "Above the money limit"),
    ];
    let risks = risks.map(|(risk, word)| (risk.as_str().to_owned(), word.to_owned())).to_vec();
    let workflows = workflows.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let agents = agents.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let view = match now.view() {
        View::Waiting => None,
        View::Snoozed => Some("snoozed"),
        View::Decided => Some("decided"),
    };
    let view_entry = view.map(|view| view! { <input type="hidden" name="view" value=view/> });
    let clear =
        now.is_filtered().then(|| view! { <a class="btn btn-quiet" href=now.unfiltered().href(&org)>"Clear"</a> });
    let mine = if filter.decided { "Decided by me" } else { "That wait for me" };
    view! {
        <QueryForm action=format!("/o/{org}/approvals") method="GET" attr:class="filters" attr:role="search" attr:aria-label="Filter approvals">
            {view_entry}
            {choice("kind", "Kind", "All kinds", kinds, filter.kind.map(|kind| kind.as_str().to_owned()))}
            {choice("workflow", "Workflow", "All workflows", workflows, filter.workflow.map(|id| id.to_string()))}
            {choice("agent", "Agent", "All agents", agents, filter.agent.map(|id| id.to_string()))}
            {choice("risk", "Risk", "All risks", risks, filter.risk.map(|risk| risk.as_str().to_owned()))}
            {tick("mine", mine, filter.mine)}
            {tick("assigned", "Assigned to me", filter.assigned)}
            <button class="btn" type="submit"><Icon glyph=Glyph::Filter/> "Filter"</button>
            {clear}
        </QueryForm>
    }
    .into_any()
}

fn choice(
    name: &'static str,
    label: &'static str,
    all: &'static str,
    options: Vec<(String, String)>,
    chosen: Option<String>,
) -> AnyView {
    let id = format!("filter-{name}");
    let options: Vec<_> = options
        .into_iter()
        .map(|(value, word)| {
            let selected = chosen.as_ref() == Some(&value);
            view! { <option value=value selected=selected>{word}</option> }
        })
        .collect();
    view! {
        <label class="visually-hidden" for=id.clone()>{label}</label>
        <select class="input select" id=id name=name>
            <option value="">{all}</option>
            {options}
        </select>
    }
    .into_any()
}

fn tick(name: &'static str, label: &'static str, checked: bool) -> AnyView {
    let id = format!("filter-{name}");
    view! {
        <span class="check">
            <input type="checkbox" id=id.clone() name=name value="true" checked=checked/>
            <label for=id>{label}</label>
        </span>
    }
    .into_any()
}

/// What a list says that has nothing.
pub(super) fn empty(is_filtered: bool, place: &Place, org: &str) -> AnyView {
    if is_filtered {
        let href = place.unfiltered().href(org);
        return view! {
            <EmptyState title="No approvals match these filters" glyph=Glyph::Filter>
                <p><a class="btn" href=href>"Show all"</a></p>
            </EmptyState>
        }
        .into_any();
    }
    if place.view() == View::Snoozed {
        return view! {
            <EmptyState title="You have put nothing off" glyph=Glyph::Clock>
                <p>"What you put off is here until its time comes. Then it waits with the others again."</p>
            </EmptyState>
        }
        .into_any();
    }
    let runs = format!("/o/{org}/runs");
    view! {
        <EmptyState title="Nothing waits for a decision" glyph=Glyph::Approvals>
            <p>"When a run reaches a step that needs a person, it shows here and in the navigation."</p>
            <p><a class="btn" href=runs>"See the runs"</a></p>
        </EmptyState>
    }
    .into_any()
}
