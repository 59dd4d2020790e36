//! Agents: the list, and an agent's form with its versions.

pub mod api;
mod form;
#[cfg(feature = "ssr")]
pub mod views;

use agentflow::{
    kernel::{AgentId, Error},
    models,
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use self::{
    api::{AgentPage, AgentsPage, list_agents, load_agent},
    form::AgentEditor,
};
use crate::{
    conversations::TrialPanel,
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Crumb, DataTable, EmptyState, Glyph, Icon, Kv, KvList, LinkButton, Look, NoValue, PageHeader,
        Status, StatusBadge, Th, Time, Title, status::Family,
    },
    wire::{Loaded, loading},
};

/// The agents of the organization.
#[component]
pub fn AgentsListPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let list = loading(move || org.get(), list_agents);
    view! {
        <Title text=Signal::stored("Agents".to_owned())/>
        <Loaded resource=list view=move |page| agents_list(&org.get_untracked(), page)/>
    }
    .into_any()
}

fn agents_list(org: &str, page: AgentsPage) -> AnyView {
    let new = format!("/o/{org}/agents/new");
    let action = page.can_build.then(|| {
        let href = new.clone();
        view! { <LinkButton href=Signal::stored(href) look=Look::Primary><Icon glyph=Glyph::Plus/>"New agent"</LinkButton> }
    });
    let body = if page.agents.is_empty() {
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
        let rows: Vec<_> = page
            .agents
            .into_iter()
            .map(|agent| {
                let tools = agent.config.tools.len();
                view! {
                    <tr>
                        <th scope="row">
                            <a href=format!("/o/{org}/agents/{}", agent.id)>{agent.config.name}</a>
                            <span class="sub">{agent.config.role}</span>
                        </th>
                        <td data-label="Model">{models::label(&agent.config.model).to_owned()}</td>
                        <td data-label="Tools" class="num">{if tools == 0 { view! { <NoValue/> }.into_any() } else { tools.into_any() }}</td>
                        <td data-label="Version">{version_words(agent.version, agent.deployed_version)}</td>
                        <td data-label="Saved"><Time at=agent.updated_at/></td>
                    </tr>
                }
            })
            .collect();
        let head =
            || view! { <Th>"Name"</Th><Th>"Model"</Th><Th num=true>"Tools"</Th><Th>"Version"</Th><Th>"Saved"</Th> };
        view! { <DataTable caption="Agents" head=head.into() class="cards">{rows}</DataTable> }.into_any()
    };
    view! {
        <PageHeader title=Signal::stored("Agents".to_owned())>{action}</PageHeader>
        {body}
    }
    .into_any()
}

/// `Version 4, deployed`, `Version 4, version 2 deployed`, `Version 1, not deployed`.
pub fn version_words(latest: i32, deployed: Option<i32>) -> String {
    match deployed {
        Some(deployed) if deployed == latest => format!("{latest}, deployed"),
        Some(deployed) => format!("{latest}, version {deployed} deployed"),
        None => format!("{latest}, not deployed"),
    }
}

/// Whether a version is the deployed one, as a badge.
pub fn deployed_badge(latest: i32, deployed: Option<i32>) -> AnyView {
    let status = match deployed {
        Some(deployed) if deployed == latest => Status::new("Deployed", Glyph::Succeeded, Family::Success),
        Some(_) => Status::new("Changes not deployed", Glyph::Warning, Family::Warning),
        None => Status::new("Draft", Glyph::Edit, Family::Neutral),
    };
    view! { <StatusBadge status=Signal::stored(status)/> }.into_any()
}

/// An agent's page: its form, versions and uses. Without an id, the form of a new one.
#[component]
pub fn AgentEditPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let id = params.with(|params| params.get("id"));
        let version = query.with(|query| query.get("v")).and_then(|version| version.parse::<i32>().ok());
        renewed.track();
        (org.get(), id, version)
    };
    let page = loading(source, |(org, id, version)| async move {
        let agent = match id {
            None => None,
            Some(text) => Some(text.parse::<AgentId>().map_err(|_| ApiError(Error::not_found("agent")))?),
        };
        load_agent(org, agent, version).await
    });
    view! { <Loaded resource=page view=move |page| agent_view(org.get_untracked(), page, renewed)/> }.into_any()
}

fn agent_view(org: String, page: AgentPage, renewed: RwSignal<u32>) -> AnyView {
    let crumbs = vec![Crumb::new("Agents", format!("/o/{org}/agents"))];
    let Some(agent) = page.agent.clone() else {
        return view! {
            <Title text=Signal::stored("New agent · Agents".to_owned())/>
            <PageHeader title=Signal::stored("New agent".to_owned()) crumbs/>
            <div class="narrow"><AgentEditor org page renewed/></div>
        }
        .into_any();
    };
    let here = format!("/o/{org}/agents/{}", agent.id);
    let older = (page.shown != agent.version).then(|| {
        let words = format!(
            "This is version {} of {}. Saving it makes it the newest version again. ",
            page.shown, agent.version
        );
        let here = here.clone();
        view! {
            <Callout>
                <p>
                    {words}
                    <a href=here>"Show the newest version"</a>
                </p>
            </Callout>
        }
    });
    let name = agent.config.name.clone();
    let badge = deployed_badge(agent.version, agent.deployed_version);
    let key = agent.key.clone();
    let used_by = page.used_by.join(", ");
    let deploy = form::deploy_button(&org, &agent, &page, renewed);
    view! {
        <Title text=Signal::stored(format!("{name} · Agents"))/>
        <PageHeader title=Signal::stored(name) crumbs beside=move || badge>
            {deploy}
        </PageHeader>
        <div class="with-aside">
            <div class="stack">
                {older}
                <AgentEditor org=org.clone() page=page.clone() renewed/>
            </div>
            <div class="stack">
                <TrialPanel org=org.clone() agent=agent.id/>
                <Card title="Uses">
                    <KvList>
                        <Kv name="Key"><code>{key}</code></Kv>
                        <Kv name="Workflows">
                            {if used_by.is_empty() { view! { <NoValue/> }.into_any() } else { used_by.into_any() }}
                        </Kv>
                    </KvList>
                </Card>
                {versions(&here, &page, agent.deployed_version)}
                {form::archive_card(&org, &agent, &page)}
            </div>
        </div>
    }
    .into_any()
}

fn versions(here: &str, page: &AgentPage, deployed: Option<i32>) -> AnyView {
    let shown = page.shown;
    let lines: Vec<_> = page
        .versions
        .iter()
        .cloned()
        .map(|line| {
            let current = (line.version == shown).then_some("true");
            view! {
                <li>
                    <p>
                        <a href=format!("{here}?v={}", line.version) aria-current=current>{format!("Version {}", line.version)}</a>
                        {(deployed == Some(line.version)).then(|| view! { " "<span class="tag">"Deployed"</span> })}
                    </p>
                    <p class="muted">{line.note}</p>
                    <p class="muted">{line.saved_by}", "<Time at=line.created_at/></p>
                </li>
            }
        })
        .collect();
    view! { <Card title="Versions"><ol class="versions">{lines}</ol></Card> }.into_any()
}
