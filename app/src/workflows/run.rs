//! The run form, made from the input's schema and filled in with its defaults.

use agentflow::workflows::{InputField, InputKind};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    api::{RunPage, StartRun, load_run_form},
    workflow_id,
};
use crate::{
    frame::use_org,
    kit::{
        Callout, Card, Checkbox, Choice, Crumb, Field, Form, FormAction, PageHeader, Select, Submit, TextArea, Title,
        Tone,
    },
    wire::{Loaded, hidden, loading},
};

/// The form that starts a run.
#[component]
pub fn RunFormPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let version = move || query.with(|query| query.get("version")).and_then(|version| version.parse::<i32>().ok());
    let page = loading(
        move || (org.get(), params.with(|params| params.get("id")), version()),
        |(org, id, version)| async move { load_run_form(org, workflow_id(id)?, version).await },
    );
    let as_json = Memo::new(move |_| query.with(|query| query.get("as")).as_deref() == Some("json"));
    view! {
        <Loaded
            resource=page
            view=move |page| {
                let org = org.get_untracked();
                view! { {move || body(&org, &page, as_json.get())} }.into_any()
            }
        />
    }
    .into_any()
}

fn body(org: &str, page: &RunPage, as_json: bool) -> AnyView {
    let workflow = &page.workflow;
    let here = format!("/o/{org}/workflows/{}", workflow.id);
    let crumbs =
        vec![Crumb::new("Workflows", format!("/o/{org}/workflows")), Crumb::new(workflow.name.clone(), here.clone())];
    let title = format!("Run {}", workflow.name);
    let form = if page.may.operate {
        start_form(org, &here, page, as_json)
    } else {
        view! { <Callout><p>"Members, admins and owners can run workflows. Ask one of them."</p></Callout> }.into_any()
    };
    view! {
        <Title text=Signal::stored(format!("{title} · Workflows"))/>
        <PageHeader title=Signal::stored(title) crumbs/>
        <div class="stack narrow">{version_note(&here, page)}{form}</div>
    }
    .into_any()
}

/// Which version this runs, where that is no matter of course, with the ways to the newest and the deployed one.
fn version_note(here: &str, page: &RunPage) -> Option<AnyView> {
    let (shown, newest, deployed) = (page.version, page.workflow.version, page.workflow.deployed_version);
    if shown == newest && deployed == Some(shown) {
        return None;
    }
    let words = match deployed {
        _ if !page.valid => format!("Version {shown} cannot run yet."),
        None => format!("No version is deployed, so this is a test of version {shown}."),
        Some(deployed) if deployed == shown => {
            format!("This runs the deployed version {shown}. Version {newest} is newer and not deployed.")
        }
        Some(_) => format!("Runs version {shown}, which is not deployed."),
    };
    let wrong = (!page.valid).then(|| (format!("{here}?v={shown}"), "See what is wrong".to_owned()));
    let deployed = deployed.filter(|deployed| *deployed != shown);
    let to_deployed = deployed.map(|deployed| (format!("{here}/run"), format!("Run the deployed version, {deployed}")));
    let to_newest = (newest != shown && deployed != Some(newest))
        .then(|| (format!("{here}/run?version={newest}"), format!("Run the newest version, {newest}")));
    let links: Vec<_> = [wrong, to_newest, to_deployed]
        .into_iter()
        .flatten()
        .map(|(href, words)| view! { " "<a href=href>{words}</a> })
        .collect();
    let tone = if page.valid { Tone::default() } else { Tone::Warning };
    Some(view! { <Callout tone><p>{words}{links}</p></Callout> }.into_any())
}

fn start_form(org: &str, here: &str, page: &RunPage, as_json: bool) -> AnyView {
    let start = FormAction::new::<StartRun>();
    let only_json = page.fields.is_none();
    let (shown, json) = (page.fields.clone(), page.json.clone());
    let fields = move || match shown {
        Some(fields) if !as_json && fields.is_empty() => view! { <p>"This workflow takes no input."</p> }.into_any(),
        Some(fields) if !as_json => fields.iter().map(field).collect::<Vec<_>>().into_any(),
        _ => view! { <TextArea name="json" label="Input as JSON" class="mono" rows=14 value=json/> }.into_any(),
    };
    let other = (!only_json).then(|| {
        let version = if page.named { format!("?version={}", page.version) } else { String::new() };
        let (way, words) = match (as_json, page.named) {
            (true, _) => ("", "Fill in fields"),
            (false, true) => ("&as=json", "Edit as JSON"),
            (false, false) => ("?as=json", "Edit as JSON"),
        };
        let href = format!("{here}/run{version}{way}");
        view! { <a class="btn btn-quiet" href=href>{words}</a> }
    });
    let entries =
        hidden([("org", org.to_owned()), ("workflow", page.workflow.id.to_string()), ("key", page.key.clone())]);
    let version = page.named.then(|| hidden([("version", page.version.to_string())]));
    view! {
        <Card>
            <Form action=start>
                {entries}
                {version}
                {fields()}
                <Field
                    name="labels" label="Labels" optional=true hint="The run is found by them again. Commas between."
                    longest=420
                />
                <div class="row">
                    <Submit busy="Starting…">"Start run"</Submit>
                    {other}
                </div>
            </Form>
        </Card>
    }
    .into_any()
}

fn field(field: &InputField) -> AnyView {
    let InputField { label, hint, value, kind, required, format, min, max, .. } = field.clone();
    let name = format!("typed[{}]", field.name);
    let optional = !required;
    match kind {
        InputKind::Text => {
            let kind = match format.as_str() {
                "email" => "email",
                "uri" => "url",
                "date" => "date",
                _ => "text",
            };
            view! { <Field name label value optional kind hint/> }.into_any()
        }
        InputKind::Long => view! { <TextArea name label value optional rows=6 hint/> }.into_any(),
        InputKind::Lines => {
            let hint = if hint.is_empty() { "One in each line.".to_owned() } else { hint };
            view! { <TextArea name label value optional rows=6 hint/> }.into_any()
        }
        InputKind::Json => {
            let hint = format!("{hint} JSON.").trim().to_owned();
            view! { <TextArea name label value optional class="mono" rows=6 hint/> }.into_any()
        }
        InputKind::Number | InputKind::Integer => {
            let mode = if matches!(kind, InputKind::Integer) { "numeric" } else { "decimal" };
            let range = match (min.as_str(), max.as_str()) {
                ("", "") => String::new(),
                (min, "") => format!("{min} or more."),
                ("", max) => format!("{max} or less."),
                (min, max) => format!("{min} to {max}."),
            };
            let hint = format!("{hint} {range}").trim().to_owned();
            view! { <Field name label value optional class="short" inputmode=mode hint/> }.into_any()
        }
        InputKind::Boolean => view! { <Checkbox name label checked=value == "true" hint/> }.into_any(),
        InputKind::Choice(choices) => {
            let choices = choices.into_iter().map(|choice| Choice::new(choice.clone(), choice)).collect::<Vec<_>>();
            view! { <Select name label choices value optional hint/> }.into_any()
        }
    }
}
