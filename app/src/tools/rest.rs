//! A REST tool's form, with a test that shows what goes out and what comes back.

use agentflow::{
    engine::plan::ToolEffect,
    kernel::{CustomToolId, Error},
    tools::custom::{
        CustomToolDetail, Method, Trial,
        form::{EntryRow, ParameterRow, TYPES},
    },
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    api::{ArchiveTool, CreateTool, DeployTool, SaveTool, TestTool, ToolPage, load_tool},
    credentials, effects, only_looking,
};
use crate::{
    agents::deployed_badge,
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Checkbox, Choice, Crumb, Field, Form, FormAction, Json, Kv, KvList, Look, PageHeader, Select,
        Submit, TextArea, Time, Title, Tone, form::replayed_answer,
    },
    wire::{Loaded, hidden, loading, on_success},
};

/// Lines that are free for more, in each table of the form.
const FREE: usize = 3;

/// A REST tool's page. Without an id, the form of a new one.
#[component]
pub fn ToolEditPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let renewed = RwSignal::new(0_u32);
    let source = move || {
        let id = params.with(|params| params.get("id"));
        let version = query.with(|query| query.get("v")).and_then(|version| version.parse::<i32>().ok());
        (org.get(), id, version, renewed.get())
    };
    let page = loading(source, |(org, id, version, _)| async move {
        let tool = match id {
            None => None,
            Some(text) => Some(text.parse::<CustomToolId>().map_err(|_| ApiError(Error::not_found("tool")))?),
        };
        load_tool(org, tool, version).await
    });
    view! { <Loaded resource=page view=move |page| tool_view(&org.get_untracked(), page, renewed)/> }.into_any()
}

fn tool_view(org: &str, page: ToolPage, renewed: RwSignal<u32>) -> AnyView {
    let crumbs = vec![Crumb::new("Tools", format!("/o/{org}/tools"))];
    let Some(detail) = page.detail.clone() else {
        let create = FormAction::new::<CreateTool>();
        let entries = hidden([("org", org.to_owned())]);
        let body = if page.can_build {
            let fields = fields(&page);
            view! {
                <Form action=create>
                    {entries}
                    <Card title="Name">
                        <Field name="form[name]" label="Name" class="mono" longest=41
                            hint="What models and workflows call it, such as crm_lookup. It cannot be changed later."/>
                    </Card>
                    {fields}
                    <Submit busy="Creating…">"Create draft"</Submit>
                </Form>
            }
            .into_any()
        } else {
            only_looking("Members, admins and owners")
        };
        return view! {
            <Title text=Signal::stored("New REST tool · Tools".to_owned())/>
            <PageHeader title=Signal::stored("New REST tool".to_owned()) crumbs/>
            <div class="narrow">{body}</div>
        }
        .into_any();
    };
    let title = detail.config.title.clone();
    let badge = deployed_badge(detail.tool.version, detail.tool.deployed_version);
    let deploy = deploy_button(org, &detail, page.can_deploy, renewed);
    let (older, save) = (older(org, &detail), save_form(org, &detail, &page, renewed));
    let test = page.can_build.then(|| test_card(org, &detail, &page));
    let archive = page.can_build.then(|| archive_card(org, &detail));
    let versions = versions(org, &detail);
    let name = detail.tool.name;
    view! {
        <Title text=Signal::stored(format!("{title} · Tools"))/>
        <PageHeader title=Signal::stored(title) crumbs beside=move || badge>
            {deploy}
        </PageHeader>
        <div class="with-aside">
            <div class="stack">
                {older}
                {save}
                {test}
            </div>
            <div class="stack">
                <Card title="Uses">
                    <KvList><Kv name="Name"><code>{name}</code></Kv></KvList>
                </Card>
                {versions}
                {archive}
            </div>
        </div>
    }
    .into_any()
}

fn older(org: &str, detail: &CustomToolDetail) -> Option<AnyView> {
    if detail.shown == detail.tool.version {
        return None;
    }
    let words = format!(
        "This is version {} of {}. Saving it makes it the newest version again. ",
        detail.shown, detail.tool.version
    );
    let here = format!("/o/{org}/tools/{}", detail.tool.id);
    let view = view! { <Callout><p>{words}<a href=here>"Show the newest version"</a></p></Callout> };
    Some(view.into_any())
}

fn save_form(org: &str, detail: &CustomToolDetail, page: &ToolPage, renewed: RwSignal<u32>) -> AnyView {
    if !page.can_build {
        return view! {
            {only_looking("Members, admins and owners")}
            <fieldset class="stack" disabled>{fields(page)}</fieldset>
        }
        .into_any();
    }
    let fields = fields(page);
    let save = FormAction::new::<SaveTool>();
    on_success(save, move || renewed.update(|count| *count += 1));
    let entries = hidden([
        ("org", org.to_owned()),
        ("tool", detail.tool.id.to_string()),
        ("base", detail.tool.version.to_string()),
    ]);
    view! {
        <Form action=save done="Saved. Runs use it once it is deployed.">
            {entries}
            {fields}
            <Submit>"Save as a new version"</Submit>
        </Form>
    }
    .into_any()
}

fn fields(page: &ToolPage) -> AnyView {
    let form = page.form.clone();
    let methods = Method::ALL.into_iter().map(|method| Choice::new(method.as_str(), method.as_str())).collect();
    let parameters = padded(&form.parameters, "00").into_iter().map(|(place, row)| parameter(&place, row));
    let parameters: Vec<_> = parameters.collect();
    let chosen = credentials(&page.credentials, &form.credential);
    let (query, headers) = (entry_rows("query", "Query", &form.query), entry_rows("headers", "Headers", &form.headers));
    let by_schema = !form.parameters_schema.is_empty();
    view! {
        <Card title="What it is">
            <div class="stack">
                <Field name="form[title]" label="Title" value=form.title longest=80 hint="What people read, such as: Look up a customer."/>
                <TextArea name="form[description]" label="Description" rows=3 value=form.description
                    hint="What it does and when to use it. Models choose tools by it."/>
                <Select name="form[effect]" label="Effect" choices=effects() value=form.effect
                    hint="By the organization's policy, a call that an agent makes may need an approval."/>
            </div>
        </Card>
        <Card title="Parameters">
            <div class="stack">
                <p class="hint">"What a call takes. Templates read a parameter as " <code>"{{ input.name }}"</code>"."</p>
                {parameters}
                <details open=by_schema>
                    <summary>"JSON Schema in place of the lines"</summary>
                    <TextArea name="form[parameters_schema]" label="JSON Schema of the parameters" optional=true class="mono" rows=8
                        value=form.parameters_schema/>
                </details>
            </div>
        </Card>
        <Card title="Request">
            <div class="stack">
                <Select name="form[method]" label="Method" choices=methods value=form.method/>
                <Field name="form[url]" label="Address" class="mono" value=form.url
                    hint="https://api.example.com/customers/{{ input.id }}. Expressions may stand in the path and the query, not in the host."/>
                {query}
                {headers}
                <TextArea name="form[body]" label="Body" optional=true class="mono" rows=6 value=form.body
                    hint="JSON with expressions in its texts, such as {\"name\": \"{{ input.name }}\"}, or a text."/>
                <Select name="form[credential]" label="Credential" optional=true choices=chosen value=form.credential
                    hint="Joined in when the request goes out. Neither models nor runs get to see it."/>
            </div>
        </Card>
        <Card title="Answer">
            <div class="stack">
                <TextArea name="form[result]" label="Result" optional=true class="mono" rows=2 value=form.result
                    hint="An expression over response.status, response.headers and response.body. Empty: the body."/>
                <TextArea name="form[output]" label="JSON Schema of the result" optional=true class="mono" rows=4 value=form.output
                    hint="A result that does not fit it is a failure."/>
                <Field name="form[statuses]" label="Statuses that are answers" optional=true class="short" value=form.statuses
                    hint="From 400 on a status is a failure, but for these: 404, 409."/>
                <Field name="form[timeout_s]" label="Seconds for a call" class="short" inputmode="numeric" value=form.timeout_s
                    hint="1 to 120."/>
                <Field name="form[cost]" label="Cost of a call in dollars" optional=true class="short" inputmode="decimal"
                    value=form.cost hint="What its service takes, such as 0.005. Budgets and limits count it for every answer."/>
            </div>
        </Card>
    }
    .into_any()
}

/// The lines of a table, and free ones behind them.
fn padded<T: Clone + Default>(rows: &std::collections::BTreeMap<String, T>, first: &str) -> Vec<(String, T)> {
    let mut all: Vec<(String, T)> = rows.iter().map(|(place, row)| (place.clone(), row.clone())).collect();
    let last = all.last().map_or(first, |(place, _)| place.as_str()).parse::<usize>().unwrap_or(0);
    let next = if all.is_empty() { 0 } else { last + 1 };
    all.extend((next..next + FREE).map(|place| (format!("{place:02}"), T::default())));
    all
}

fn parameter(place: &str, row: ParameterRow) -> AnyView {
    let name = |field: &str| format!("form[parameters][{place}][{field}]");
    let types = TYPES.iter().map(|(value, word)| Choice::new(*value, *word)).collect();
    let kind = if row.kind.is_empty() { "string".to_owned() } else { row.kind };
    view! {
        <div class="tool-row">
            <Field name=name("name") label="Name" optional=true class="mono" value=row.name longest=64/>
            <Select name=name("type") label="Type" choices=types value=kind/>
            <Field name=name("description") label="Description" optional=true value=row.description/>
            <Checkbox name=name("required") label="Needed" checked=row.required == "true"/>
        </div>
    }
    .into_any()
}

fn entry_rows(
    field: &'static str,
    legend: &'static str,
    rows: &std::collections::BTreeMap<String, EntryRow>,
) -> AnyView {
    let rows: Vec<_> = padded(rows, "00")
        .into_iter()
        .map(|(place, row)| {
            let name = |part: &str| format!("form[{field}][{place}][{part}]");
            view! {
                <div class="tool-row">
                    <Field name=name("name") label="Name" optional=true class="mono" value=row.name/>
                    <Field name=name("value") label="Value" optional=true class="mono" value=row.value/>
                </div>
            }
        })
        .collect();
    view! {
        <fieldset class="stack">
            <legend class="label">{legend}</legend>
            <p class="hint">"One whose value comes out empty is not sent."</p>
            {rows}
        </fieldset>
    }
    .into_any()
}

fn deploy_button(org: &str, detail: &CustomToolDetail, can_deploy: bool, renewed: RwSignal<u32>) -> Option<AnyView> {
    if detail.tool.deployed_version == Some(detail.shown) {
        return None;
    }
    if !can_deploy {
        return Some(view! { <p class="muted">"An admin or owner can deploy it."</p> }.into_any());
    }
    let deploy = FormAction::new::<DeployTool>();
    on_success(deploy, move || renewed.update(|count| *count += 1));
    let label = format!("Deploy version {}", detail.shown);
    let entries =
        hidden([("org", org.to_owned()), ("tool", detail.tool.id.to_string()), ("version", detail.shown.to_string())]);
    let view = view! {
        <Form action=deploy class="inline">
            {entries}
            <Submit busy="Deploying…">{label}</Submit>
        </Form>
    };
    Some(view.into_any())
}

fn test_card(org: &str, detail: &CustomToolDetail, page: &ToolPage) -> AnyView {
    let test = FormAction::new::<TestTool>();
    let replayed = replayed_answer::<TestTool>();
    let answered = move || test.value().get().and_then(Result::ok).or_else(|| replayed.clone());
    let entries =
        hidden([("org", org.to_owned()), ("tool", detail.tool.id.to_string()), ("version", detail.shown.to_string())]);
    let (words, label) = match detail.config.effect {
        ToolEffect::Read => ("The test really sends the request.", "Test"),
        ToolEffect::Write => {
            ("The test really sends the request: what the tool changes or sends, it changes or sends.", "Test for real")
        }
        ToolEffect::Destructive => {
            ("The test really sends the request: what it does cannot be undone.", "Test for real, without undo")
        }
    };
    let sample = page.sample.clone();
    let version = format!("Version {} is tested, as it is saved.", detail.shown);
    view! {
        <Card title="Test">
            <div class="stack">
                <p class="hint">{words}" "{version}</p>
                <Form action=test>
                    {entries}
                    <TextArea name="arguments" label="Arguments" class="mono" rows=5 value=sample hint="JSON"/>
                    <Submit look=Look::Default busy="Calling…">{label}</Submit>
                </Form>
                {move || answered().map(trial)}
            </div>
        </Card>
    }
    .into_any()
}

fn trial(trial: Trial) -> AnyView {
    let problem = trial.problem.map(|problem| view! { <Callout tone=Tone::Danger><p>{problem}</p></Callout> });
    let request = trial.request.map(|request| {
        let mut text = format!("{} {}\n{}", request.method, request.url, lines(&request.headers));
        if !request.body.is_empty() {
            text.push_str(&format!("\n\n{}", request.body));
        }
        view! { <h3>"Request"</h3>{plain("The request as it went out", text)} }
    });
    let answer = trial.answer.map(|answer| {
        let took = agentflow::kernel::text::duration(answer.duration_ms);
        let head = format!("{} in {took}, {} bytes", answer.status, answer.bytes);
        let text = format!("{}\n\n{}", lines(&answer.headers), answer.body);
        view! { <h3>"Answer"</h3><p>{head}</p>{plain("The answer as it came", text)} }
    });
    let result = trial.result.map(|value| view! { <h3>"Result"</h3><Json value label="What a run would get"/> });
    view! { <div class="stack" aria-live="polite">{problem}{result}{answer}{request}</div> }.into_any()
}

fn lines(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}

fn plain(label: &'static str, text: String) -> AnyView {
    view! { <div class="json"><pre tabindex="0" role="region" aria-label=label><code>{text}</code></pre></div> }
        .into_any()
}

fn versions(org: &str, detail: &CustomToolDetail) -> AnyView {
    let here = format!("/o/{org}/tools/{}", detail.tool.id);
    let (shown, deployed) = (detail.shown, detail.tool.deployed_version);
    let lines: Vec<_> = detail
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
                    <p class="muted">{line.saved_by}", "<Time at=line.created_at/></p>
                </li>
            }
        })
        .collect();
    view! { <Card title="Versions"><ol class="versions">{lines}</ol></Card> }.into_any()
}

fn archive_card(org: &str, detail: &CustomToolDetail) -> AnyView {
    let archive = FormAction::new::<ArchiveTool>();
    let entries = hidden([("org", org.to_owned()), ("tool", detail.tool.id.to_string())]);
    view! {
        <Card title="Archive">
            <Form action=archive>
                <p class="hint">"The tool leaves the lists. Workflows that name it cannot be started any more; runs that have begun keep it."</p>
                {entries}
                <Submit look=Look::Default busy="Archiving…">"Archive tool"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}
