//! Running a run again: from where, what that takes over and does again, and with which input.

use agentflow::{
    kernel::{Error, RunId},
    runs::{Preview, PreviewStep},
};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::api::{AgainPage, RunAgain, load_again};
use crate::{
    error::ApiError,
    frame::use_org,
    kit::{
        Callout, Card, Crumb, Form, FormAction, Icon, PageHeader, Submit, TextArea, Title, Tone, status::kind_glyph,
    },
    wire::{Loaded, hidden, loading},
};

/// The page.
#[component]
pub fn AgainPageView() -> impl IntoView {
    let org = Signal::stored(use_org());
    let (params, query) = (use_params_map(), use_query_map());
    let asked = move |name: &str| query.with(|query| query.get(name)).unwrap_or_default();
    let source = move || {
        let id = params.with(|params| params.get("id"));
        (org.get(), id, asked("from"), asked("newest") == "true")
    };
    let page = loading(source, |(org, id, from, newest)| async move {
        let run = id.and_then(|id| id.parse::<RunId>().ok()).ok_or_else(|| ApiError(Error::not_found("run")))?;
        let page = load_again(org, run, from.clone(), newest).await?;
        Ok((page, from, newest))
    });
    let view = move |(page, from, newest): (AgainPage, String, bool)| {
        let from = if from.is_empty() { "start".to_owned() } else { from };
        body(&org.get_untracked(), &page, &from, newest)
    };
    view! { <Loaded resource=page view/> }.into_any()
}

fn body(org: &str, page: &AgainPage, from: &str, newest: bool) -> AnyView {
    let run = format!("/o/{org}/runs/{}", page.run);
    let crumbs = vec![Crumb::new("Runs", format!("/o/{org}/runs")), Crumb::new(page.title.clone(), run.clone())];
    let plan = match &page.preview {
        Ok(preview) => view! {
            {form(org, page, preview, from, newest)}
            {lists(preview)}
        }
        .into_any(),
        Err(error) => {
            let message = error.message.clone();
            view! { <Callout tone=Tone::Warning><p>{message}</p></Callout> }.into_any()
        }
    };
    view! {
        <Title text=Signal::stored(format!("Run again · {} · Runs", page.title))/>
        <PageHeader title=Signal::stored("Run again".to_owned()) crumbs/>
        <div class="stack narrow">
            {choice(&run, page, from, newest)}
            {plan}
        </div>
    }
    .into_any()
}

/// From where, by a form that only asks for this page again.
fn choice(run: &str, page: &AgainPage, from: &str, newest: bool) -> AnyView {
    let failed = page.failed.then(|| {
        view! { <option value="failed" selected=from == "failed">"From the steps that did not succeed"</option> }
    });
    let steps: Vec<_> = page
        .steps
        .iter()
        .map(|(id, name)| {
            let depth = id.matches('.').count();
            let label = format!("From {}{name} ({id})", "\u{2003}".repeat(depth));
            view! { <option value=id.clone() selected=id == from>{label}</option> }
        })
        .collect();
    let versions =
        [(false, format!("The same version ({})", page.version)), (true, "The version that runs use now".to_owned())]
            .map(|(value, label)| view! { <option value=value.to_string() selected=value == newest>{label}</option> });
    view! {
        <form class="choose" method="get" action=format!("{run}/again")>
            <label class="label" for="again-from">"Begin"</label>
            <select class="input select" id="again-from" name="from">
                <option value="start" selected=from == "start">"From the start, all of it"</option>
                {failed}
                {steps}
            </select>
            <label class="label" for="again-version">"Version"</label>
            <select class="input select" id="again-version" name="newest">{versions}</select>
            <button class="btn">"Show what happens"</button>
        </form>
    }
    .into_any()
}

fn form(org: &str, page: &AgainPage, preview: &Preview, from: &str, newest: bool) -> AnyView {
    let action = FormAction::new::<RunAgain>();
    let entries = hidden([
        ("org", org.to_owned()),
        ("run", page.run.to_string()),
        ("from", from.to_owned()),
        ("newest", newest.to_string()),
        ("key", page.key.clone()),
    ]);
    let (starts, input) = (from == "start", page.input.clone());
    let effects = preview.again.iter().filter(|step| step.acts_outside).count();
    let warning = (effects > 0).then(|| {
        let words = match effects {
            1 => "1 step does something outside of AgentFlow, and would do it again.".to_owned(),
            count => format!("{count} steps do something outside of AgentFlow, and would do it again."),
        };
        view! { <Callout tone=Tone::Warning><p>{words}</p></Callout> }
    });
    let words = format!(
        "{} taken over, {} again on version {}, for about {} if they cost what they cost before.",
        counted(preview.reused.len(), "result is", "results are"),
        counted(preview.again.len(), "step runs", "steps run"),
        preview.version,
        preview.cost,
    );
    view! {
        <Card title="What happens">
            <div class="stack">
                <p>{words}</p>
                {warning}
                <Form action>
                    {entries}
                    {starts.then(|| view! { <InputField input/> })}
                    <Submit busy="Starting…">"Run again"</Submit>
                </Form>
            </div>
        </Card>
    }
    .into_any()
}

/// The run's input, to be edited. Inside of its form, which knows what was typed before.
#[component]
fn InputField(input: String) -> impl IntoView {
    view! {
        <TextArea name="json" label="Input" class="mono" rows=8 value=input
            hint="As the run was given it. It is checked against the workflow's own description."/>
    }
}

fn lists(preview: &Preview) -> AnyView {
    let card = |title: &'static str, steps: &[PreviewStep]| {
        let shown = steps.iter().take(200).map(|step| {
            let outside = step.acts_outside.then(|| view! { <span class="tag">"Acts outside"</span> });
            view! {
                <li>
                    <Icon glyph=kind_glyph(step.kind)/>
                    <span>{step.name.clone()}</span>
                    <code class="muted">{step.id.to_string()}</code>
                    {outside}
                </li>
            }
        });
        let shown: Vec<_> = shown.collect();
        let is_empty = shown.is_empty();
        let more =
            (steps.len() > 200).then(|| view! { <li class="muted">{format!("and {} more", steps.len() - 200)}</li> });
        (!is_empty).then(move || view! { <Card title><ul class="again-steps">{shown}{more}</ul></Card> })
    };
    view! {
        {card("Runs again", &preview.again)}
        {card("Taken over as recorded", &preview.reused)}
    }
    .into_any()
}

fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
