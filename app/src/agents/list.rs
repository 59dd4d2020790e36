//! The list of agents: what each is good for, and what came of its tasks.

use agentflow::{kernel::text, models};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{
    api::{AgentRow, AgentsPage, list_agents},
    percent, status_badge, version_words,
};
use crate::{
    frame::use_org,
    kit::{Crumb, DataTable, EmptyState, Glyph, Icon, LinkButton, Look, NoValue, PageHeader, Th, Title},
    wire::{Loaded, loading},
};

/// The agents of the organization.
#[component]
pub fn AgentsListPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let query = use_query_map();
    let source = move || (org.get(), query.with(|query| query.get("show")).as_deref() == Some("archived"));
    let list = loading(source, |(org, archived)| list_agents(org, archived));
    view! {
        <Title text=Signal::stored("Agents".to_owned())/>
        <Loaded resource=list view=move |page| body(&org.get_untracked(), page)/>
    }
    .into_any()
}

fn body(org: &str, page: AgentsPage) -> AnyView {
    let here = format!("/o/{org}/agents");
    if page.archived {
        let crumbs = vec![Crumb::new("Agents", here)];
        let list = if page.agents.is_empty() {
            view! { <EmptyState title="No archived agents" glyph=Glyph::Agents><p>"What is archived can be brought back from here."</p></EmptyState> }
                .into_any()
        } else {
            table(org, page.agents)
        };
        return view! { <PageHeader title=Signal::stored("Archived agents".to_owned()) crumbs/>{list} }.into_any();
    }
    let new = format!("{here}/new");
    let action = page.can_build.then(|| {
        let href = new.clone();
        view! { <LinkButton href=Signal::stored(href) look=Look::Primary><Icon glyph=Glyph::Plus/>"New agent"</LinkButton> }
    });
    let list = if page.agents.is_empty() {
        let templates = format!("/o/{org}/workflows/new");
        let create =
            page.can_build.then(|| view! { <p><a class="btn btn-primary" href=new.clone()>"Create an agent"</a></p> });
        view! {
            <EmptyState title="No agents yet" glyph=Glyph::Agents>
                <p>"An agent is a model with a role, instructions, tools and limits. Workflows give it work."</p>
                {create}
                <p>"Or start from " <a href=templates>"a workflow template"</a>", which brings its agents."</p>
            </EmptyState>
        }
        .into_any()
    } else {
        table(org, page.agents)
    };
    view! {
        <PageHeader title=Signal::stored("Agents".to_owned())>{action}</PageHeader>
        {list}
        <p class="hint">
            "Success, time and cost are those of tasks of the last 30 days, tests left out. "
            <a href=format!("{here}?show=archived")>"Archived agents"</a>
        </p>
    }
    .into_any()
}

fn table(org: &str, agents: Vec<AgentRow>) -> AnyView {
    let rows: Vec<_> = agents.into_iter().map(|agent| row(org, agent)).collect();
    let head = || {
        view! {
            <Th>"Name"</Th><Th>"Good for"</Th><Th>"Model"</Th><Th num=true>"Success rate"</Th>
            <Th num=true>"Median time"</Th><Th num=true>"Cost per task"</Th><Th>"Version"</Th>
        }
    };
    view! { <DataTable caption="Agents" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn row(org: &str, agent: AgentRow) -> AnyView {
    let tags: Vec<_> = agent.tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span>" " }).collect();
    let good_for = if tags.is_empty() && agent.about.is_empty() {
        view! { <NoValue/> }.into_any()
    } else {
        let about = (!agent.about.is_empty()).then(|| view! { <span class="clamp">{agent.about}</span> });
        view! { {about}{tags} }.into_any()
    };
    let record = agent.record;
    let success = match record.success_permille() {
        None => view! { <span class="muted">"No tasks yet"</span> }.into_any(),
        Some(rate) => {
            let of = format!(
                "{} of {}",
                text::grouped(record.succeeded.unsigned_abs()),
                text::grouped(record.tasks.unsigned_abs())
            );
            view! { {percent(rate)}<span class="sub">{of}</span> }.into_any()
        }
    };
    let or_none = |value: Option<String>| match value {
        None => view! { <NoValue/> }.into_any(),
        Some(value) => value.into_any(),
    };
    view! {
        <tr>
            <th scope="row">
                <a href=format!("/o/{org}/agents/{}", agent.id)>{agent.name}</a>
                <span class="sub">{agent.role}</span>
                {status_badge(agent.status)}
            </th>
            <td data-label="Good for">{good_for}</td>
            <td data-label="Model">{models::label(&agent.model).to_owned()}</td>
            <td data-label="Success rate" class="num">{success}</td>
            <td data-label="Median time" class="num">{or_none(record.p50_ms.map(text::duration))}</td>
            <td data-label="Cost per task" class="num">{or_none(record.p50_cost.map(|cost| cost.to_string()))}</td>
            <td data-label="Version">{version_words(agent.version, agent.deployed_version)}</td>
        </tr>
    }
    .into_any()
}
