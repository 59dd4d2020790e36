//! Agents: the list, and an agent's form, versions, record, memory and test cases.

pub mod api;
mod cases;
mod deploy;
mod form;
mod list;
mod memory;
mod prompt;
mod record;
mod unsaved;
mod versions;
#[cfg(feature = "ssr")]
pub mod views;

use agentflow::{
    agents::{Agent, AgentStatus},
    kernel::{AgentId, Error},
};
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_params_map, use_query_map};

#[cfg(feature = "ssr")]
pub(crate) use self::versions::text_diff;
use self::{
    api::{AgentHead, AgentPage, SetAgentStatus, load_agent},
    form::AgentEditor,
};
pub use self::{
    cases::AgentCasesPageView, deploy::AgentDeployPageView, form::Chosen, list::AgentsListPage,
    memory::AgentMemoryPageView, record::AgentRecordPageView, versions::AgentVersionsPageView,
};
use crate::{
    conversations::TrialPanel,
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Crumb, Form, FormAction, Glyph, Kv, KvList, Look, NoValue, PageHeader, Status, StatusBadge,
        Submit, Tab, Tabs, Time, Title, Tone, status::Family,
    },
    wire::{Loaded, hidden, loading, on_success},
};

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

/// Whether an agent can be given work, where it cannot.
fn status_badge(status: AgentStatus) -> Option<AnyView> {
    let status = match status {
        AgentStatus::Active => return None,
        AgentStatus::Inactive => Status::new("Switched off", Glyph::Paused, Family::Warning),
        AgentStatus::Archived => Status::new("Archived", Glyph::Stopped, Family::Neutral),
    };
    Some(view! { <StatusBadge status=Signal::stored(status)/> }.into_any())
}

/// The agent of the address.
fn agent_id(text: Option<String>) -> Result<AgentId, ApiError> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| ApiError(Error::not_found("agent")))
}

/// The address of an agent.
fn address(org: &str, id: AgentId) -> String {
    format!("/o/{org}/agents/{id}")
}

/// The head that all pages of an agent share: name, state, what can be done, and the views of it.
fn head(org: &str, head: &AgentHead, view: &'static str, actions: Option<AnyView>) -> AnyView {
    let here = address(org, head.id);
    let crumbs = vec![Crumb::new("Agents", format!("/o/{org}/agents"))];
    let badges = view! {
        {deployed_badge(head.version, head.deployed_version)}
        {status_badge(head.status)}
    }
    .into_any();
    let name = head.name.clone();
    let tabs = vec![
        Tab::new("Build", here.clone(), view == "build"),
        Tab::new("Versions", format!("{here}/versions"), view == "versions")
            .with_count(u64::try_from(head.versions).unwrap_or_default()),
        Tab::new("Tests", format!("{here}/tests"), view == "tests")
            .with_count(u64::try_from(head.cases).unwrap_or_default()),
        Tab::new("Record", format!("{here}/record"), view == "record"),
        Tab::new("Memory", format!("{here}/memory"), view == "memory"),
    ];
    view! {
        <Title text=Signal::stored(format!("{name} · Agents"))/>
        <PageHeader title=Signal::stored(name) crumbs beside=move || badges>
            {actions}
        </PageHeader>
        <Tabs label="Views of the agent" tabs=Signal::stored(tabs)/>
    }
    .into_any()
}

/// An agent's form, versions and uses. Without an id, the form of a new one.
#[component]
pub fn AgentEditPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let id = params.with(|params| params.get("id"));
        let version = query.with(|query| query.get("v")).and_then(|version| version.parse::<i32>().ok());
        (org.get(), id, version, renewed.get())
    };
    let page = loading(source, |(org, id, version, _)| async move {
        let agent = if id.is_none() { None } else { Some(agent_id(id)?) };
        load_agent(org, agent, version).await
    });
    view! { <Loaded resource=page view=move |page| agent_view(org.get_untracked(), page, renewed)/> }.into_any()
}

/// The parts of an agent's page: side by side where there is room, else one of them is shown. Without JavaScript they
/// stand below one another, and the tabs lead to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Settings,
    Trial,
}

impl Part {
    const ALL: [Self; 2] = [Self::Settings, Self::Trial];

    /// The id of the part.
    const fn word(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Trial => "try-it",
        }
    }
}

fn part_link(shown: RwSignal<Part>, part: Part) -> AnyView {
    let label = match part {
        Part::Settings => "Settings",
        Part::Trial => "Try it",
    };
    let show = move |event: web_sys::MouseEvent| {
        event.prevent_default();
        shown.set(part);
    };
    let current = move || (shown.get() == part).then_some("true");
    view! { <li><a href=format!("#{}", part.word()) aria-current=current on:click=show>{label}</a></li> }.into_any()
}

fn agent_view(org: String, page: AgentPage, renewed: RwSignal<u32>) -> AnyView {
    let chosen = Chosen::new(page.form.tools.clone());
    let (Some(agent), Some(top)) = (page.agent.clone(), page.head.clone()) else {
        let crumbs = vec![Crumb::new("Agents", format!("/o/{org}/agents"))];
        return view! {
            <Title text=Signal::stored("New agent · Agents".to_owned())/>
            <PageHeader title=Signal::stored("New agent".to_owned()) crumbs/>
            <div class="narrow"><AgentEditor org page chosen renewed/></div>
        }
        .into_any();
    };
    let here = address(&org, agent.id);
    let older = (page.shown != agent.version).then(|| {
        let words = format!(
            "This is version {} of {}. Saving it makes it the newest version again. ",
            page.shown, agent.version
        );
        let (here, compare) = (here.clone(), format!("{here}/versions?a={}", page.shown));
        view! {
            <Callout>
                <p>
                    {words}
                    <a href=here>"Show the newest version"</a>
                    " or "
                    <a href=compare>"see what differs from it"</a>
                    "."
                </p>
            </Callout>
        }
    });
    let deploy = form::deploy_button(&org, &agent, &page, renewed);
    let part = RwSignal::new(Part::Settings);
    let hash = use_location().hash;
    Effect::new(move |_| {
        let named = hash.get();
        if let Some(named) = Part::ALL.into_iter().find(|part| named.trim_start_matches('#') == part.word()) {
            part.set(named);
        }
    });
    view! {
        {head(&org, &top, "build", deploy)}
        {off_callout(&org, &agent, &page, renewed)}
        <nav class="tabs builder-tabs" aria-label="Parts of the page">
            <ul>{part_link(part, Part::Settings)}{part_link(part, Part::Trial)}</ul>
        </nav>
        <div class="with-aside builder" data-part=move || part.get().word()>
            <div class="stack builder-settings" id=Part::Settings.word()>
                {older}
                <AgentEditor org=org.clone() page=page.clone() chosen renewed/>
            </div>
            <div class="stack">
                <TrialPanel org=org.clone() agent=agent.id chosen/>
                <div class="stack builder-settings">
                    {uses(&agent, &page)}
                    {recent_versions(&here, &page, agent.deployed_version)}
                    {use_card(&org, &agent, &page, renewed)}
                </div>
            </div>
        </div>
    }
    .into_any()
}

/// What it means that no new run can use the agent, and the way back.
fn off_callout(org: &str, agent: &Agent, page: &AgentPage, renewed: RwSignal<u32>) -> Option<AnyView> {
    let (words, button) = match agent.status {
        AgentStatus::Active => return None,
        AgentStatus::Inactive if page.used_by.is_empty() => {
            ("This agent is switched off: no new run can use it.".to_owned(), "Switch agent on")
        }
        AgentStatus::Inactive => (
            format!(
                "This agent is switched off. New runs of {} are refused until it is on again.",
                page.used_by.join(", ")
            ),
            "Switch agent on",
        ),
        AgentStatus::Archived => {
            ("This agent is archived: no list has it, and no workflow can name it.".to_owned(), "Bring agent back")
        }
    };
    let on = page.can_build.then(|| status_form(org, agent.id, AgentStatus::Active, button, renewed));
    Some(view! { <Callout tone=Tone::Warning><p>{words}</p>{on}</Callout> }.into_any())
}

fn status_form(org: &str, id: AgentId, status: AgentStatus, button: &'static str, renewed: RwSignal<u32>) -> AnyView {
    let action = FormAction::new::<SetAgentStatus>();
    on_success(action, move || renewed.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("agent", id.to_string()), ("status", status.as_str().to_owned())]);
    view! {
        <Form action class="inline">
            {entries}
            <Submit look=Look::Default>{button}</Submit>
        </Form>
    }
    .into_any()
}

fn uses(agent: &Agent, page: &AgentPage) -> AnyView {
    let used_by = page.used_by.join(", ");
    let key = agent.key.clone();
    view! {
        <Card title="Uses">
            <KvList>
                <Kv name="Key"><code>{key}</code></Kv>
                <Kv name="Workflows">
                    {if used_by.is_empty() { view! { <NoValue/> }.into_any() } else { used_by.into_any() }}
                </Kv>
            </KvList>
        </Card>
    }
    .into_any()
}

/// The last versions, beside the form.
fn recent_versions(here: &str, page: &AgentPage, deployed: Option<i32>) -> AnyView {
    let shown = page.shown;
    let lines: Vec<_> = page
        .versions
        .iter()
        .take(10)
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
    let all = format!("{here}/versions");
    view! {
        <Card title="Versions">
            <ol class="versions">{lines}</ol>
            <p><a href=all>"Compare, restore, roll back"</a></p>
        </Card>
    }
    .into_any()
}

/// Switching the agent off, and taking it out of use.
fn use_card(org: &str, agent: &Agent, page: &AgentPage, renewed: RwSignal<u32>) -> Option<AnyView> {
    if !page.can_build || agent.status == AgentStatus::Archived {
        return None;
    }
    let off = (agent.status == AgentStatus::Active).then(|| {
        let hint = if page.used_by.is_empty() {
            "It stays in the lists, but no new run can use it. Runs that have begun keep it.".to_owned()
        } else {
            format!(
                "New runs of {} are refused while it is off. Runs that have begun keep it.",
                page.used_by.join(", ")
            )
        };
        let form = status_form(org, agent.id, AgentStatus::Inactive, "Switch agent off", renewed);
        view! { <Card title="Switch off"><p class="hint">{hint}</p>{form}</Card> }
    });
    let archive = form::archive_card(org, agent, page);
    Some(view! { {off}{archive} }.into_any())
}

/// `66.6 %`.
fn percent(permille: i64) -> String {
    format!("{}.{}\u{a0}%", permille / 10, permille % 10)
}
