//! Tools: all that there are by where they come from, the form of a REST tool, and the page of an MCP server.

pub mod api;
pub mod rest;
pub mod servers;
#[cfg(feature = "ssr")]
pub mod views;

use agentflow::{
    engine::plan::ToolEffect,
    kernel::Money,
    mcp::{McpServer, McpServerDetail, ToolState},
    tools::{Listed, custom::CustomTool},
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use self::api::{ToolsPage, list_tools};
use crate::{
    agents::{deployed_badge, version_words},
    frame::use_org,
    kit::{
        Callout, Card, Choice, DataTable, EmptyState, Glyph, Icon, LinkButton, Look, NoValue, PageHeader, Status,
        StatusBadge, StatusText, Th, Time, Title, status::Family,
    },
    wire::{Loaded, loading},
};

/// The tools of the organization.
#[component]
pub fn ToolsPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let query = use_query_map();
    let wanted = Memo::new(move |_| query.with(|query| query.get("q")).unwrap_or_default());
    let list = loading(move || org.get(), list_tools);
    view! {
        <Title text=Signal::stored("Tools".to_owned())/>
        <Loaded resource=list view=move |page| {
            view! { {move || tools_list(&org.get_untracked(), &wanted.get(), page.clone())} }.into_any()
        }/>
    }
    .into_any()
}

fn tools_list(org: &str, wanted: &str, page: ToolsPage) -> AnyView {
    let (new_tool, new_server) = (format!("/o/{org}/tools/new"), format!("/o/{org}/tools/servers/new"));
    let add_server = page.can_deploy.then(|| {
        let href = Signal::stored(new_server.clone());
        view! { <LinkButton href><Icon glyph=Glyph::Link/>"Add an MCP server"</LinkButton> }
    });
    let add_tool = page.can_build.then(|| {
        let href = Signal::stored(new_tool.clone());
        view! { <LinkButton href look=Look::Primary><Icon glyph=Glyph::Plus/>"New REST tool"</LinkButton> }
    });
    let words = wanted.trim().to_lowercase();
    let fits = |texts: &[&str]| words.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&words));
    let built_in: Vec<Listed> =
        page.built_in.into_iter().filter(|tool| fits(&[&tool.name, &tool.title, &tool.description])).collect();
    let own: Vec<CustomTool> =
        page.own.into_iter().filter(|tool| fits(&[&tool.name, &tool.config.title, &tool.config.description])).collect();
    let servers: Vec<McpServerDetail> = page
        .servers
        .into_iter()
        .filter(|detail| {
            fits(&[&detail.server.name, &detail.server.slug])
                || detail.tools.iter().any(|tool| fits(&[&tool.alias, &tool.definition.description]))
        })
        .collect();
    let (own, servers) = (own_table(org, own, &words), servers_table(org, servers, &words));
    let built_in = built_in_table(built_in);
    view! {
        <PageHeader title=Signal::stored("Tools".to_owned())>{add_server}{add_tool}</PageHeader>
        <form class="tools-filter" method="get" action=format!("/o/{org}/tools") role="search">
            <label class="visually-hidden" for="tools-q">"Search tools"</label>
            <input class="input" type="search" id="tools-q" name="q" value=wanted.to_owned() placeholder="Search tools"/>
            <button class="btn"><Icon glyph=Glyph::Search/>"Search"</button>
        </form>
        <div class="stack">
            <Card title="REST tools" class="flush">{own}</Card>
            <Card title="MCP servers" class="flush">{servers}</Card>
            <Card title="Built in" class="flush">{built_in}</Card>
        </div>
    }
    .into_any()
}

fn nothing(words: &str, title: &'static str, about: &'static str) -> AnyView {
    if !words.is_empty() {
        return view! { <p class="card-note muted">"None fits the search."</p> }.into_any();
    }
    view! { <EmptyState title><p>{about}</p></EmptyState> }.into_any()
}

fn own_table(org: &str, tools: Vec<CustomTool>, words: &str) -> AnyView {
    if tools.is_empty() {
        let about = "A REST tool is a request with places for arguments. Agents and workflows call it by its name.";
        return nothing(words, "No REST tools yet", about);
    }
    let rows: Vec<_> = tools
        .into_iter()
        .map(|tool| {
            view! {
                <tr>
                    <th scope="row">
                        <a href=format!("/o/{org}/tools/{}", tool.id)>{tool.config.title}</a>
                        <span class="sub"><code>{tool.name}</code></span>
                    </th>
                    <td data-label="What it does">{first_line(&tool.config.description)}</td>
                    <td data-label="Effect">{effect_text(tool.config.effect)}{price(tool.config.cost)}</td>
                    <td data-label="Version">{version_words(tool.version, tool.deployed_version)}</td>
                    <td data-label="State">{deployed_badge(tool.version, tool.deployed_version)}</td>
                </tr>
            }
        })
        .collect();
    let head = || view! { <Th>"Name"</Th><Th>"What it does"</Th><Th>"Effect"</Th><Th>"Version"</Th><Th>"State"</Th> };
    view! { <DataTable caption="REST tools" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn servers_table(org: &str, servers: Vec<McpServerDetail>, words: &str) -> AnyView {
    if servers.is_empty() {
        let about = "An MCP server offers tools of its own. They are off until an admin has approved each of them.";
        return nothing(words, "No MCP servers yet", about);
    }
    let rows: Vec<_> = servers
        .into_iter()
        .map(|McpServerDetail { server, tools }| {
            let on = tools.iter().filter(|tool| tool.is_offered()).count();
            let asks = tools.iter().filter(|tool| matches!(tool.state(), ToolState::New | ToolState::Changed)).count();
            let names: Vec<String> =
                tools.iter().filter(|tool| tool.is_offered()).map(|tool| tool.alias.clone()).collect();
            let waiting = (asks > 0).then(|| {
                let status = Status::new("Waits for approval", Glyph::Hand, Family::Attention);
                view! { " "<StatusText status=Signal::stored(status)/> }
            });
            view! {
                <tr>
                    <th scope="row">
                        <a href=format!("/o/{org}/tools/servers/{}", server.id)>{server.name.clone()}</a>
                        <span class="sub">{server.about.clone()}</span>
                    </th>
                    <td data-label="Tools">{format!("{on} of {} on", tools.len())}{waiting}<span class="sub">{names.join(", ")}</span></td>
                    <td data-label="State">{server_badge(&server)}</td>
                    <td data-label="Looked at">
                        {match server.checked_at {
                            Some(at) => view! { <Time at/> }.into_any(),
                            None => view! { <NoValue/> }.into_any(),
                        }}
                    </td>
                </tr>
            }
        })
        .collect();
    let head = || view! { <Th>"Name"</Th><Th>"Tools"</Th><Th>"State"</Th><Th>"Looked at"</Th> };
    view! { <DataTable caption="MCP servers" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn built_in_table(tools: Vec<Listed>) -> AnyView {
    if tools.is_empty() {
        return view! { <p class="card-note muted">"None fits the search."</p> }.into_any();
    }
    let rows: Vec<_> = tools
        .into_iter()
        .map(|tool| {
            view! {
                <tr>
                    <th scope="row">{tool.title}<span class="sub"><code>{tool.name}</code></span></th>
                    <td data-label="What it does">{tool.description}</td>
                    <td data-label="Effect">{effect_text(tool.effect)}{price(tool.cost)}</td>
                </tr>
            }
        })
        .collect();
    let head = || view! { <Th>"Name"</Th><Th>"What it does"</Th><Th>"Effect"</Th> };
    view! { <DataTable caption="Built-in tools" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

fn first_line(text: &str) -> String {
    agentflow::kernel::text::shortened(text.lines().next().unwrap_or_default(), 140)
}

/// What a tool does to the world, as an icon and words.
fn effect_text(effect: ToolEffect) -> AnyView {
    let status = match effect {
        ToolEffect::Read => Status::new("Reads", Glyph::Search, Family::Neutral),
        ToolEffect::Write => Status::new("Changes or sends", Glyph::Edit, Family::Info),
        ToolEffect::Destructive => Status::new("Cannot be undone", Glyph::Irreversible, Family::Danger),
    };
    view! { <StatusText status=Signal::stored(status)/> }.into_any()
}

/// What a call costs, below what it does.
fn price(cost: Money) -> Option<AnyView> {
    (!cost.is_zero()).then(|| view! { <span class="sub">{format!("{cost} a call")}</span> }.into_any())
}

/// How a server is, as far as is known.
fn server_badge(server: &McpServer) -> AnyView {
    let status = match (&server.error, server.checked_at) {
        _ if !server.enabled => Status::new("Switched off", Glyph::Paused, Family::Neutral),
        (Some(_), _) => Status::new("Trouble", Glyph::Warning, Family::Warning),
        (None, Some(_)) => Status::new("Connected", Glyph::Succeeded, Family::Success),
        (None, None) => Status::new("Not looked at", Glyph::Question, Family::Neutral),
    };
    view! { <StatusBadge status=Signal::stored(status)/> }.into_any()
}

/// The effects to choose from.
fn effects() -> Vec<Choice> {
    vec![
        Choice::new("read", "It only reads"),
        Choice::new("write", "It changes or sends something"),
        Choice::new("destructive", "It does what cannot be undone"),
    ]
}

/// The word of an effect in a form.
const fn effect_word(effect: ToolEffect) -> &'static str {
    match effect {
        ToolEffect::Read => "read",
        ToolEffect::Write => "write",
        ToolEffect::Destructive => "destructive",
    }
}

/// The credentials to choose from; one that is chosen and not among them stays in sight.
fn credentials(known: &[(String, String)], chosen: &str) -> Vec<Choice> {
    let mut choices: Vec<Choice> = known.iter().map(|(id, name)| Choice::new(id.clone(), name.clone())).collect();
    if !chosen.is_empty() && !known.iter().any(|(id, _)| id == chosen) {
        choices.push(Choice::new(chosen.to_owned(), "A credential that is not there any more"));
    }
    choices
}

/// What somebody who may not change it is told.
fn only_looking(who: &'static str) -> AnyView {
    view! { <Callout><p>{format!("You can look at this. {who} can change it.")}</p></Callout> }.into_any()
}
