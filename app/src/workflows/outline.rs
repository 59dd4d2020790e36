//! The outline: the graph as a list of steps, each a link to its form, with what is wrong and what can be done.

use agentflow::engine::plan::{Join, validate::Fault};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::{
    address,
    api::{MoveStep, OutlineRow, RestoreVersion, WorkflowPage},
    glyph_of, head, use_workflow, word_of,
};
use crate::{
    frame::use_org,
    kit::{Callout, Card, Form, FormAction, Glyph, Icon, Kv, KvList, Look, NoValue, Submit, Time, Tone},
    wire::{Loaded, hidden, on_success},
    workflows::versions::deploy_form,
};

/// A workflow with its outline.
#[component]
pub fn OutlinePage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let query = use_query_map();
    let renewed = RwSignal::new(0_u32);
    let page = use_workflow(renewed);
    let changed = move || query.with_untracked(|query| query.get("changed")).unwrap_or_default();
    view! { <Loaded resource=page view=move |page| body(&org.get_untracked(), &page, &changed(), renewed)/> }.into_any()
}

fn body(org: &str, page: &WorkflowPage, changed: &str, renewed: RwSignal<u32>) -> AnyView {
    let here = address(org, page);
    let is_newest = page.shown == page.workflow.version;
    let can_edit = page.may.build && is_newest && page.workflow.status != "archived";
    let old = (!is_newest).then(|| {
        let (words, here) = (format!("This is version {} of {}. ", page.shown, page.workflow.version), here.clone());
        view! {
            <Callout>
                <p>
                    {words}
                    <a href=here>"Show the newest version"</a>
                </p>
            </Callout>
        }
    });
    view! {
        {head(org, page, "outline")}
        <div class="with-aside">
            <div class="stack">
                {old}
                {problems(&here, &page.faults, can_edit)}
                {steps(org, page, changed, can_edit, renewed)}
            </div>
            <div class="stack">
                {state(org, page, can_edit, renewed)}
                {summary(org, &here, page)}
            </div>
        </div>
    }
    .into_any()
}

/// What keeps the workflow from running, each fault a link to its step's form.
fn problems(here: &str, faults: &[Fault], can_edit: bool) -> Option<AnyView> {
    if faults.is_empty() {
        return None;
    }
    let title = match faults.len() {
        1 => "1 problem keeps this version from running".to_owned(),
        count => format!("{count} problems keep this version from running"),
    };
    let lines: Vec<_> = faults
        .iter()
        .map(|fault| {
            let href = match &fault.node {
                Some(path) if can_edit => Some(format!("{here}/steps/{path}")),
                None if can_edit
                    && matches!(
                        fault.field.as_str(),
                        "input" | "title" | "deadline_s" | "retention_days" | "concurrency_limit" | "concurrency_key"
                    ) =>
                {
                    Some(format!("{here}/settings"))
                }
                _ => None,
            };
            let place = fault.node.clone().map(|path| view! { <code>{path}</code>" " });
            match href {
                Some(href) => view! { <li>{place}<a href=href>{fault.message.clone()}</a></li> }.into_any(),
                None => view! { <li>{place}{fault.message.clone()}</li> }.into_any(),
            }
        })
        .collect();
    let view = view! {
        <Callout tone=Tone::Warning>
            <h2>{title}</h2>
            <ul class="problems">{lines}</ul>
        </Callout>
    };
    Some(view.into_any())
}

fn steps(org: &str, page: &WorkflowPage, changed: &str, can_edit: bool, renewed: RwSignal<u32>) -> AnyView {
    let here = address(org, page);
    let rows: Vec<_> = page.rows.iter().map(|row| step(&here, row, row.path == changed, can_edit)).collect();
    let list = view! { <ol class="outline" aria-label="Steps">{rows}</ol> };
    let add = can_edit.then(|| {
        view! { <p><a class="btn" href=format!("{here}/steps/new")><Icon glyph=Glyph::Plus/>"Add step"</a></p> }
    });
    if !can_edit {
        return view! { <Card title="Steps">{list}</Card> }.into_any();
    }
    let arrange = FormAction::new::<MoveStep>();
    on_success(arrange, move || renewed.update(|count| *count += 1));
    let entries = hidden([
        ("org", org.to_owned()),
        ("workflow", page.workflow.id.to_string()),
        ("base", page.workflow.version.to_string()),
    ]);
    view! {
        <Card title="Steps">
            <Form action=arrange class="outline-form">
                {entries}
                {list}
            </Form>
            {add}
        </Card>
    }
    .into_any()
}

fn step(here: &str, row: &OutlineRow, changed: bool, can_edit: bool) -> AnyView {
    let class = format!("step depth-{}{}", row.depth.min(4), if changed { " changed" } else { "" });
    let of = match row.join {
        Join::Any if row.after.len() > 1 => "any of ".to_owned(),
        Join::Count(count) if row.after.len() > 1 => format!("{count} of "),
        _ => String::new(),
    };
    let words = format!("after {of}{}", row.after.join(", "));
    let after = (!row.after.is_empty()).then(|| view! { <p class="muted">{words}</p> });
    let about = (!row.about.is_empty()).then(|| format!(" · {}", row.about));
    let faults: Vec<_> = row.faults.iter().cloned().map(|fault| view! { <li>{fault}</li> }).collect();
    let faults = (!faults.is_empty()).then(|| view! { <ul class="step-faults">{faults}</ul> });
    let name = if can_edit {
        view! { <a class="step-name" href=format!("{here}/steps/{}", row.path)>{row.label.clone()}</a> }.into_any()
    } else {
        view! { <span class="step-name">{row.label.clone()}</span> }.into_any()
    };
    let mark = changed.then(|| view! { <span class="tag">"Changed"</span> });
    let actions = can_edit.then(|| step_actions(here, row));
    view! {
        <li class=class id=format!("step-{}", row.path.replace('.', "-"))>
            <Icon glyph=glyph_of(&row.kind)/>
            <div class="step-body">
                <p>{name}" "{mark}</p>
                <p class="muted">{word_of(&row.kind)}{about}" · "<code>{row.key.clone()}</code></p>
                {after}
                {faults}
            </div>
            {actions}
        </li>
    }
    .into_any()
}

fn step_actions(here: &str, row: &OutlineRow) -> AnyView {
    let (scope, _) = row.path.rsplit_once('.').unwrap_or(("", &row.path));
    let label = row.label.clone();
    let moves = |way: &'static str, glyph: Glyph, words: &str| {
        view! {
            <button type="submit" class="btn btn-quiet btn-icon" name="step" value=format!("{way}:{}", row.path) aria-label=format!("{words} {label}")>
                <Icon glyph/>
            </button>
        }
    };
    let follow = (row.kind != "end").then(|| {
        let href = format!("{here}/steps/new?in={scope}&after={}", row.key);
        view! { <a class="btn btn-quiet btn-icon" href=href aria-label=format!("Add a step after {label}")><Icon glyph=Glyph::Plus/></a> }
    });
    let inside = matches!(row.kind.as_str(), "map" | "loop").then(|| {
        view! { <a class="btn btn-quiet btn-small" href=format!("{here}/steps/new?in={}", row.path)>"Add inside"</a> }
    });
    view! {
        <div class="step-actions">
            {inside}
            {follow}
            {(!row.first).then(|| moves("up", Glyph::ArrowUp, "Move up"))}
            {(!row.last).then(|| moves("down", Glyph::ArrowDown, "Move down"))}
        </div>
    }
    .into_any()
}

/// The version that is shown, how to deploy it, and how to take its change back.
fn state(org: &str, page: &WorkflowPage, can_edit: bool, renewed: RwSignal<u32>) -> AnyView {
    let line = page.shown_line.clone();
    let undo = (can_edit && page.shown > 1).then(|| {
        let note = format!("Last change: {}.", line.note);
        let restore = FormAction::new::<RestoreVersion>();
        on_success(restore, move || renewed.update(|count| *count += 1));
        let entries = hidden([
            ("org", org.to_owned()),
            ("workflow", page.workflow.id.to_string()),
            ("base", page.workflow.version.to_string()),
            ("version", (page.shown - 1).to_string()),
        ]);
        view! {
            <Form action=restore>
                {entries}
                <p class="hint">{note}</p>
                <Submit look=Look::Default busy="Undoing…">"Undo the last change"</Submit>
            </Form>
        }
    });
    let deploy = deploy_form(org, page, page.shown, page.faults.is_empty(), renewed);
    let (saved_by, at) = (line.saved_by, line.created_at);
    view! {
        <Card title=format!("Version {}", page.shown)>
            <div class="stack">
                <p class="muted">{saved_by}", "<Time at/></p>
                {deploy}
                {undo}
            </div>
        </Card>
    }
    .into_any()
}

fn summary(org: &str, here: &str, page: &WorkflowPage) -> AnyView {
    let agents: Vec<_> = page
        .agents
        .iter()
        .map(|agent| view! { <li><a href=format!("/o/{org}/agents/{}", agent.id)>{agent.name.clone()}</a></li> })
        .collect();
    let agents =
        if agents.is_empty() { view! { <NoValue/> }.into_any() } else { view! { <ul>{agents}</ul> }.into_any() };
    let input = match &page.fields {
        None => "JSON".to_owned(),
        Some(fields) if fields.is_empty() => "nothing".to_owned(),
        Some(fields) => fields.iter().map(|field| field.label.clone()).collect::<Vec<_>>().join(", "),
    };
    let export = format!("{here}/export.yaml?v={}", page.shown);
    let runs = format!("/o/{org}/runs?workflow={}", page.workflow.id);
    view! {
        <Card title="What it works with">
            <div class="stack">
                <KvList>
                    <Kv name="Input">{input}</Kv>
                    <Kv name="Agents">{agents}</Kv>
                    <Kv name="Runs"><a href=runs>"Runs of this workflow"</a></Kv>
                </KvList>
                <p><a class="btn btn-small" href=export rel="external" download=""><Icon glyph=Glyph::Download/>"Export as YAML"</a></p>
            </div>
        </Card>
    }
    .into_any()
}
