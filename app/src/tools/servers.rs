//! An MCP server's page: where it is, how it is, and what of its tools is approved.

use agentflow::{
    kernel::{Error, McpServerId},
    mcp::{Definition, McpServer, McpServerDetail, McpTool, ToolState},
};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::{
    api::{
        ApproveTool, CheckServer, CreateServer, RemoveServer, SaveServer, ServerPage, SwitchServer, SwitchToolOff,
        load_server,
    },
    credentials, effect_word, effects, only_looking, server_badge,
};
use crate::{
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Choice, Crumb, Field, Form, FormAction, Glyph, Json, Kv, KvList, Look, NoValue, PageHeader,
        RadioGroup, Select, Status, StatusBadge, Submit, TextArea, Time, Title, Tone, status::Family,
    },
    wire::{Loaded, hidden, loading, on_success},
};

/// An MCP server's page. Without an id, the form of a new one.
#[component]
pub fn ServerEditPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let renewed = RwSignal::new(0_u32);
    let source = move || (org.get(), params.with(|params| params.get("id")), renewed.get());
    let page = loading(source, |(org, id, _)| async move {
        let server = match id {
            None => None,
            Some(text) => Some(text.parse::<McpServerId>().map_err(|_| ApiError(Error::not_found("MCP server")))?),
        };
        load_server(org, server).await
    });
    view! { <Loaded resource=page view=move |page| server_view(&org.get_untracked(), page, renewed)/> }.into_any()
}

fn server_view(org: &str, page: ServerPage, renewed: RwSignal<u32>) -> AnyView {
    let crumbs = vec![Crumb::new("Tools", format!("/o/{org}/tools"))];
    let Some(detail) = page.detail.clone() else {
        let create = FormAction::new::<CreateServer>();
        let entries = hidden([("org", org.to_owned())]);
        let body = if page.can_deploy {
            let fields = fields(&page);
            view! {
                <Form action=create>
                    {entries}
                    <Card title="Server">
                        <div class="stack">
                            <Field name="form[name]" label="Name" longest=80/>
                            <Field name="form[slug]" label="Beginning of its tools' names" optional=true class="mono short" longest=24
                                hint="Such as docs, for docs_search. Empty: made from the name. It cannot be changed later."/>
                            {fields}
                        </div>
                    </Card>
                    <Submit busy="Connecting…">"Add server"</Submit>
                </Form>
            }
            .into_any()
        } else {
            only_looking("Admins and owners")
        };
        return view! {
            <Title text=Signal::stored("New MCP server · Tools".to_owned())/>
            <PageHeader title=Signal::stored("New MCP server".to_owned()) crumbs/>
            <div class="narrow">{body}</div>
        }
        .into_any();
    };
    let McpServerDetail { server, tools } = detail;
    let badge = server_badge(&server);
    let name = server.name.clone();
    let check = page
        .can_build
        .then(|| small_form::<CheckServer>(org, &server, renewed, "Check now", "Checking…", Look::Default));
    let trouble = server.error.clone().map(|error| view! { <Callout tone=Tone::Warning><p>{error}</p></Callout> });
    let cards: Vec<_> = tools.into_iter().map(|tool| tool_card(org, &server, tool, page.can_deploy, renewed)).collect();
    let (facts, save) = (facts(&server), save_card(org, &server, &page, renewed));
    let end = page.can_deploy.then(|| end_card(org, &server, renewed));
    let none = cards.is_empty().then(|| view! { <p class="muted">"No tools were seen yet."</p> });
    view! {
        <Title text=Signal::stored(format!("{name} · Tools"))/>
        <PageHeader title=Signal::stored(name) crumbs beside=move || badge>{check}</PageHeader>
        <div class="with-aside">
            <div class="stack">
                {trouble}
                <h2>"Tools"</h2>
                <p class="hint">"A tool is offered to agents and workflows once its definition is approved, and no longer when the definition changes. What a server says of its tools' effects is a claim; whoever approves decides."</p>
                {none}
                {cards}
            </div>
            <div class="stack">
                {facts}
                {save}
                {end}
            </div>
        </div>
    }
    .into_any()
}

fn facts(server: &McpServer) -> AnyView {
    let checked = match server.checked_at {
        Some(at) => view! { <Time at/> }.into_any(),
        None => view! { <NoValue/> }.into_any(),
    };
    let about = server.about.clone();
    let begin = format!("{}_", server.slug);
    view! {
        <Card title="State">
            <KvList>
                <Kv name="Looked at">{checked}</Kv>
                <Kv name="Says it is">{if about.is_empty() { view! { <NoValue/> }.into_any() } else { about.into_any() }}</Kv>
                <Kv name="Names begin with"><code>{begin}</code></Kv>
            </KvList>
        </Card>
    }
    .into_any()
}

fn fields(page: &ServerPage) -> AnyView {
    let form = page.form.clone();
    let chosen = credentials(&page.credentials, &form.credential);
    let is_command = form.kind == "command";
    let by_command = (page.commands || is_command).then(|| {
        let choices = vec![Choice::new("url", "By URL"), Choice::new("command", "By a command on this machine")];
        view! {
            <RadioGroup name="form[kind]" label="How it is reached" choices value=form.kind.clone()/>
            <TextArea name="form[command]" label="Command" optional=true class="mono" rows=4 value=form.command.clone()
                hint="The program and its arguments, one in each line. There is no shell."/>
            <Field name="form[variable]" label="Variable for the credential" optional=true class="mono" longest=64
                value=form.variable.clone() hint="Such as API_TOKEN. A command gets the credential in it, and nothing else of ours."/>
        }
        .into_any()
    });
    let only_url = by_command.is_none().then(|| hidden([("form[kind]", "url".to_owned())]));
    view! {
        {only_url}
        <Field name="form[url]" label="URL" kind="url" optional=is_command || page.commands class="mono" value=form.url
            hint="Streamable HTTP, such as https://mcp.example.com/mcp."/>
        {by_command}
        <Select name="form[credential]" label="Credential" optional=true choices=chosen value=form.credential
            hint="Sent in a header with each request."/>
    }
    .into_any()
}

fn save_card(org: &str, server: &McpServer, page: &ServerPage, renewed: RwSignal<u32>) -> AnyView {
    if !page.can_deploy {
        return view! {
            {only_looking("Admins and owners")}
            <fieldset class="stack" disabled>{fields(page)}</fieldset>
        }
        .into_any();
    }
    let fields = fields(page);
    let save = FormAction::new::<SaveServer>();
    on_success(save, move || renewed.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("server", server.id.to_string())]);
    let name = page.form.name.clone();
    view! {
        <Card title="Server">
            <Form action=save done="Saved, and looked at.">
                {entries}
                <Field name="form[name]" label="Name" longest=80 value=name/>
                {fields}
                <p class="hint">"With another URL or command it is another server: its tools are to be approved again."</p>
                <Submit busy="Connecting…">"Save and check"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

/// A form that is a button for a server.
fn small_form<S>(
    org: &str,
    server: &McpServer,
    renewed: RwSignal<u32>,
    label: &'static str,
    busy: &'static str,
    look: Look,
) -> AnyView
where
    S: leptos::server_fn::ServerFn<
            Output = (),
            Error = ApiError,
            Protocol = leptos::server_fn::Http<leptos::server_fn::codec::PostUrl, leptos::server_fn::codec::Json>,
        >,
{
    let action = FormAction::new::<S>();
    on_success(action, move || renewed.update(|count| *count += 1));
    let entries = hidden([("org", org.to_owned()), ("server", server.id.to_string())]);
    view! {
        <Form action=action class="inline">
            {entries}
            <Submit look=look busy=busy>{label}</Submit>
        </Form>
    }
    .into_any()
}

fn end_card(org: &str, server: &McpServer, renewed: RwSignal<u32>) -> AnyView {
    let switch = FormAction::new::<SwitchServer>();
    on_success(switch, move || renewed.update(|count| *count += 1));
    let entries =
        hidden([("org", org.to_owned()), ("server", server.id.to_string()), ("on", (!server.enabled).to_string())]);
    let (words, label) = if server.enabled {
        ("Switched off, none of its tools is offered or called.", "Switch off")
    } else {
        ("None of its tools is offered or called.", "Switch on")
    };
    let remove = FormAction::new::<RemoveServer>();
    let gone = hidden([("org", org.to_owned()), ("server", server.id.to_string())]);
    view! {
        <Card title="Off, or away">
            <div class="stack">
                <Form action=switch>
                    <p class="hint">{words}</p>
                    {entries}
                    <Submit look=Look::Default busy="Switching…">{label}</Submit>
                </Form>
                <Form action=remove>
                    <p class="hint">"Removed, it is forgotten with all that was approved. Runs that are under way find its tools gone."</p>
                    {gone}
                    <Submit look=Look::Default busy="Removing…">"Remove server"</Submit>
                </Form>
            </div>
        </Card>
    }
    .into_any()
}

fn tool_card(org: &str, server: &McpServer, tool: McpTool, can_deploy: bool, renewed: RwSignal<u32>) -> AnyView {
    let state = tool.state();
    let status = match (state, tool.enabled) {
        (ToolState::New, _) => Status::new("Waits for approval", Glyph::Hand, Family::Attention),
        (ToolState::Changed, _) => Status::new("Changed since it was approved", Glyph::Warning, Family::Warning),
        (ToolState::Gone, _) => Status::new("Not offered any more", Glyph::Stopped, Family::Neutral),
        (ToolState::Approved, true) => Status::new("On", Glyph::Succeeded, Family::Success),
        (ToolState::Approved, false) => Status::new("Off", Glyph::Paused, Family::Neutral),
    };
    let title = if tool.definition.title.is_empty() { tool.name.clone() } else { tool.definition.title.clone() };
    let approved = tool.approved_by.clone().zip(tool.approved_at).map(|(by, at)| {
        view! { <p class="muted">"Approved by "{by}", "<Time at/></p> }
    });
    let definitions = match (&tool.approved, state) {
        (Some(old), ToolState::Changed) => view! {
            <div class="tool-change">
                <div><h3>"As it was approved"</h3>{definition(old)}</div>
                <div><h3>"As it is now"</h3>{definition(&tool.definition)}</div>
            </div>
        }
        .into_any(),
        _ => definition(&tool.definition),
    };
    let actions = (can_deploy && state != ToolState::Gone).then(|| decide(org, server, &tool, renewed));
    let alias = tool.alias.clone();
    view! {
        <Card title=title aside=move || view! { <StatusBadge status=Signal::stored(status)/> }>
            <div class="stack">
                <p><code>{alias}</code></p>
                {approved}
                {definitions}
                {actions}
            </div>
        </Card>
    }
    .into_any()
}

fn definition(definition: &Definition) -> AnyView {
    let description = definition.description.clone();
    let output = (!definition.output.is_null()).then(|| {
        let value = definition.output.clone();
        view! { <details><summary>"Result"</summary><Json value label="Schema of the result"/></details> }
    });
    let claims = definition.annotations.as_object().is_some_and(|claims| !claims.is_empty()).then(|| {
        let value = definition.annotations.clone();
        view! { <details><summary>"What it claims of itself"</summary><Json value label="Claims"/></details> }
    });
    let input = definition.input.clone();
    view! {
        <p class="tool-words">{description}</p>
        <details><summary>"Arguments"</summary><Json value=input label="Schema of the arguments"/></details>
        {output}
        {claims}
    }
    .into_any()
}

fn decide(org: &str, server: &McpServer, tool: &McpTool, renewed: RwSignal<u32>) -> AnyView {
    let is_on = tool.is_offered();
    let approve = FormAction::new::<ApproveTool>();
    on_success(approve, move || renewed.update(|count| *count += 1));
    let entries = hidden([
        ("org", org.to_owned()),
        ("server", server.id.to_string()),
        ("tool", tool.name.clone()),
        ("hash", tool.hash.clone()),
    ]);
    let effect = if tool.approved.is_some() { tool.effect } else { tool.definition.claimed_effect() };
    let label = match tool.state() {
        ToolState::Changed => "Approve the new definition",
        ToolState::Approved if is_on => "Save",
        ToolState::Approved => "Switch on",
        _ => "Approve and switch on",
    };
    let off = (tool.enabled).then(|| {
        let switch = FormAction::new::<SwitchToolOff>();
        on_success(switch, move || renewed.update(|count| *count += 1));
        let entries = hidden([("org", org.to_owned()), ("server", server.id.to_string()), ("tool", tool.name.clone())]);
        view! {
            <Form action=switch class="inline" id=format!("off-{}", tool.alias)>
                {entries}
                <Submit look=Look::Quiet busy="Switching…">"Switch off"</Submit>
            </Form>
        }
    });
    view! {
        <Form action=approve class="inline" id=format!("approve-{}", tool.alias)>
            {entries}
            <Select name="effect" label="Effect" choices=effects() value=effect_word(effect)/>
            <Submit look=Look::Default busy="Approving…">{label}</Submit>
        </Form>
        {off}
    }
    .into_any()
}
