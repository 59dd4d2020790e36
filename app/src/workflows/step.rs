//! A step's form. Each kind has its own fields; what its templates can read stands beside them.

use agentflow::{kernel::Kind, workflows::forms::KINDS};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    api::{AddStep, RemoveStep, SaveStep, StepPage, load_new_step, load_step, load_workflow},
    fields::own_fields,
    glyph_of, word_of, workflow_id,
};
use crate::{
    frame::use_org,
    kit::{
        Callout, Card, Checkbox, Choice, Crumb, Field, Form, FormAction, Icon, Look, PageHeader, Select, Submit,
        TextArea, Title, Tone,
    },
    wire::{Loaded, hidden, loading},
};

/// The form of a step that is there.
#[component]
pub fn StepEditPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let source = move || {
        let param = |name: &str| params.with(|params| params.get(name));
        let asked = |name: &str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
        (org.get(), param("id"), param("path").unwrap_or_default(), asked("kind"), asked("tool"))
    };
    let page = loading(source, |(org, id, path, kind, tool)| async move {
        load_step(org, workflow_id(id)?, path, kind, tool).await
    });
    view! { <Loaded resource=page view=move |page| edit(&org.get_untracked(), &page)/> }.into_any()
}

/// A new step: first its kind, then its form.
#[component]
pub fn NewStepPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let params = use_params_map();
    let query = use_query_map();
    let source = move || {
        let asked = |name: &str| query.with(|query| query.get(name)).filter(|text| !text.is_empty());
        let id = params.with(|params| params.get("id"));
        (org.get(), id, asked("in").unwrap_or_default(), asked("kind"), asked("tool"), asked("after"))
    };
    let page = loading(source, |(org, id, scope, kind, tool, after)| async move {
        let chosen = kind.is_some();
        let kind = kind.unwrap_or_else(|| "agent".to_owned());
        let page = load_new_step(org, workflow_id(id)?, scope, kind, tool, after.clone()).await?;
        Ok((page, chosen, after))
    });
    let view = move |(page, chosen, after): (StepPage, bool, Option<String>)| {
        let org = org.get_untracked();
        if chosen { add(&org, &page, after.as_deref()) } else { choose_kind(&org, &page, after.as_deref()) }
    };
    view! { <Loaded resource=page view/> }.into_any()
}

fn here(org: &str, page: &StepPage) -> String {
    format!("/o/{org}/workflows/{}", page.id)
}

fn crumbs(org: &str, page: &StepPage) -> Vec<Crumb> {
    vec![Crumb::new("Workflows", format!("/o/{org}/workflows")), Crumb::new(page.workflow.clone(), here(org, page))]
}

fn choose_kind(org: &str, page: &StepPage, after: Option<&str>) -> AnyView {
    let base = new_address(org, page, after);
    let is_inside = !page.scope.is_empty();
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|(word, _, _)| !(is_inside && matches!(*word, "start" | "end")))
        .map(|(word, title, about)| {
            view! {
                <li>
                    <a class="kind-card" href=format!("{base}&kind={word}")>
                        <Icon glyph=glyph_of(word)/>
                        <span><strong>{*title}</strong><span class="muted">{*about}</span></span>
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <Title text=Signal::stored(format!("Add step · {} · Workflows", page.workflow))/>
        <PageHeader title=Signal::stored("Add step".to_owned()) crumbs=crumbs(org, page)/>
        <p class="muted">"What does the step do?"</p>
        <ul class="kind-grid">{kinds}</ul>
    }
    .into_any()
}

fn new_address(org: &str, page: &StepPage, after: Option<&str>) -> String {
    format!("{}/steps/new?in={}&after={}", here(org, page), page.scope, after.unwrap_or_default())
}

fn add(org: &str, page: &StepPage, after: Option<&str>) -> AnyView {
    let title = format!("Add step: {}", word_of(&page.form.kind));
    let action = FormAction::new::<AddStep>();
    let (shown, back) = (page.clone(), here(org, page));
    let between = move |page: &StepPage| {
        (page.form.kind != "end" && page.form.kind != "start").then(|| {
            view! {
                <Checkbox
                    name="between" label="Put it in between" checked=true
                    hint="What ran after the steps chosen below runs after this one instead."
                />
            }
        })
    };
    let entries = hidden([
        ("org", org.to_owned()),
        ("workflow", page.id.to_string()),
        ("base", page.base.to_string()),
        ("scope", page.scope.clone()),
        ("form[kind]", page.form.kind.clone()),
    ]);
    view! {
        <Title text=Signal::stored(format!("{title} · {} · Workflows", page.workflow))/>
        <PageHeader title=Signal::stored(title) crumbs=crumbs(org, page)/>
        <div class="with-aside">
            <div class="stack">
                {tool_choice(&new_address(org, page, after), page)}
                <Form action>
                    {entries}
                    {fields(&shown)}
                    {when_card(between(&shown), &shown)}
                    {trouble(&shown)}
                    <div class="row">
                        <Submit>"Add step"</Submit>
                        <a class="btn btn-quiet" href=back>"Back to the outline"</a>
                    </div>
                </Form>
            </div>
            <div class="stack">{readable(page)}</div>
        </div>
    }
    .into_any()
}

fn edit(org: &str, page: &StepPage) -> AnyView {
    let path = page.path.clone().unwrap_or_default();
    let name = if page.form.name.is_empty() { page.form.key.clone() } else { page.form.name.clone() };
    let title = format!("{name} · {} · Workflows", page.workflow);
    let head = view! {
        <Title text=Signal::stored(title)/>
        <PageHeader title=Signal::stored(name) crumbs=crumbs(org, page)/>
    };
    if !page.may.build {
        return view! {
            {head}
            <Callout><p>"Members, admins and owners can change this step."</p></Callout>
            <fieldset class="stack narrow" disabled>{fields(page)}{when_it_runs(page)}</fieldset>
        }
        .into_any();
    }
    let action = FormAction::new::<SaveStep>();
    let base = renewed_base(org, page, action);
    let step = format!("{}/steps/{path}", here(org, page));
    let (shown, back) = (page.clone(), here(org, page));
    let entries = hidden([
        ("org", org.to_owned()),
        ("workflow", page.id.to_string()),
        ("path", path.clone()),
        ("form[kind]", page.form.kind.clone()),
    ]);
    view! {
        {head}
        <div class="with-aside">
            <div class="stack">
                {faults(page)}
                {kind_choice(&step, page)}
                {tool_choice(&format!("{step}?kind={}", page.form.kind), page)}
                <Form action>
                    {entries}
                    <input type="hidden" name="base" value=move || base.get().to_string()/>
                    {fields(&shown)}
                    {(shown.form.kind != "start").then(|| when_card((), &shown))}
                    {trouble(&shown)}
                    <div class="row">
                        <Submit>"Save step"</Submit>
                        <a class="btn btn-quiet" href=back>"Back to the outline"</a>
                    </div>
                </Form>
            </div>
            <div class="stack">
                {readable(page)}
                {delete(org, page, &path)}
            </div>
        </div>
    }
    .into_any()
}

/// The version that the next save is made from: a newer one once it was said that there is one.
fn renewed_base(org: &str, page: &StepPage, action: FormAction<()>) -> RwSignal<i32> {
    let base = RwSignal::new(page.base);
    let (org, id) = (org.to_owned(), page.id);
    Effect::new(move |_| {
        let stale = action.value().with(|value| matches!(value, Some(Err(error)) if error.0.kind == Kind::Stale));
        let org = org.clone();
        if stale {
            spawn_local(async move {
                if let Ok(newer) = load_workflow(org, id, None).await {
                    base.set(newer.workflow.version);
                }
            });
        }
    });
    base
}

/// What is wrong with the step as it is saved.
fn faults(page: &StepPage) -> Option<AnyView> {
    if page.faults.is_empty() {
        return None;
    }
    let lines: Vec<_> = page
        .faults
        .iter()
        .map(|fault| {
            // As the form names its controls: the form's id and the entry's name without punctuation.
            let entry = fault.field.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
            view! { <li><a href=format!("#save_step-{entry}") rel="external">{fault.message.clone()}</a></li> }
        })
        .collect();
    let view = view! {
        <Callout tone=Tone::Warning><h2>"This step cannot run yet"</h2><ul class="problems">{lines}</ul></Callout>
    };
    Some(view.into_any())
}

/// Another kind for the step, by a form that only asks for this page again.
fn kind_choice(step: &str, page: &StepPage) -> AnyView {
    let is_inside = !page.scope.is_empty();
    let options: Vec<_> = KINDS
        .iter()
        .filter(|(word, _, _)| !(is_inside && matches!(*word, "start" | "end")))
        .map(|(word, title, _)| view! { <option value=*word selected=*word == page.form.kind>{*title}</option> })
        .collect();
    view! {
        <form class="choose" method="get" action=step.to_owned()>
            <label class="label" for="choose-kind">"Kind of step"</label>
            <select class="input select" id="choose-kind" name="kind">{options}</select>
            <button class="btn">"Change kind"</button>
        </form>
    }
    .into_any()
}

/// The tool, by a form that asks for this page again with the tool's own arguments.
fn tool_choice(address: &str, page: &StepPage) -> Option<AnyView> {
    if page.form.kind != "tool" {
        return None;
    }
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let kept: Vec<_> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name != "kind")
        .map(|(name, value)| view! { <input type="hidden" name=name.to_owned() value=value.to_owned()/> })
        .collect();
    let none = page.form.tool.is_empty().then(|| view! { <option value="">"Choose a tool"</option> });
    let options: Vec<_> = page
        .tools
        .iter()
        .map(|tool| {
            view! { <option value=tool.name.clone() selected=tool.name == page.form.tool>{tool.title.clone()}</option> }
        })
        .collect();
    let about = page.tools.iter().find(|tool| tool.name == page.form.tool).map(|tool| tool.description.clone());
    let entries = hidden([("kind", "tool".to_owned())]);
    let view = view! {
        <form class="choose" method="get" action=path.to_owned()>
            {kept}
            {entries}
            <label class="label" for="choose-tool">"Tool"</label>
            <select class="input select" id="choose-tool" name="tool">{none}{options}</select>
            <button class="btn">"Choose tool"</button>
            {about.map(|about| view! { <p class="hint">{about}</p> })}
        </form>
    };
    Some(view.into_any())
}

fn fields(page: &StepPage) -> AnyView {
    let form = page.form.clone();
    let own = own_fields(&form, page);
    let is_new = page.path.is_none();
    let key = (!is_new).then(|| {
        view! {
            <Field name="form[key]" label="Key" class="mono short" longest=40 value=form.key.clone()
                hint="What templates call it: steps.KEY.output. A new key is carried to whatever names it."/>
        }
    });
    view! {
        <Card title=word_of(&form.kind)>
            <div class="stack">
                <Field name="form[name]" label="Name" optional=true longest=80 value=form.name.clone()
                    hint="What is shown in the outline and in runs."/>
                {key}
                {own}
            </div>
        </Card>
    }
    .into_any()
}

fn when_card(first: impl IntoView, page: &StepPage) -> AnyView {
    let (first, rest) = (first.into_any(), when_it_runs(page));
    view! { <Card title="When it runs"><div class="stack">{first}{rest}</div></Card> }.into_any()
}

fn when_it_runs(page: &StepPage) -> AnyView {
    let form = &page.form;
    let chosen: Vec<String> = form.after.values().cloned().collect();
    // What is named and not there any more stays in sight, so that it can be unticked.
    let lost = chosen.iter().filter(|port| !page.ports.iter().any(|(there, _)| there == *port));
    let all = page.ports.iter().cloned().chain(lost.map(|port| (port.clone(), format!("{port} (not there)"))));
    let boxes: Vec<_> = all
        .enumerate()
        .map(|(place, (port, label))| {
            let checked = chosen.contains(&port);
            let name = format!("form[after][{place:02}]");
            view! { <Checkbox name label value=port checked/> }
        })
        .collect();
    let mut joins = vec![
        Choice::new("all", "When all of them are done that were not passed over"),
        Choice::new("any", "As soon as the first of them is done"),
    ];
    let most = boxes.len().min(10).max(form.join.parse().unwrap_or(0));
    joins
        .extend((2..=most).map(|count| Choice::new(count.to_string(), format!("As soon as {count} of them are done"))));
    // Asked only where there can be several.
    let join = form.join.clone();
    let join = if boxes.len() > 1 {
        view! { <Select name="form[join]" label="With several" choices=joins value=join/> }.into_any()
    } else {
        hidden([("form[join]", join)])
    };
    let hint = if page.scope.is_empty() { "" } else { "A step that runs after nothing begins each item." };
    view! {
        <fieldset class="field" id=if page.path.is_some() { "save_step-form-after-" } else { "add_step-form-after-" } tabindex="-1">
            <legend class="label">"Runs after"</legend>
            {(!hint.is_empty()).then(|| view! { <p class="hint">{hint}</p> })}
            {boxes}
        </fieldset>
        {join}
    }
    .into_any()
}

/// What happens when it takes too long or fails. The kinds that call nothing need none of it.
fn trouble(page: &StepPage) -> Option<AnyView> {
    let calls = matches!(page.form.kind.as_str(), "tool" | "http");
    let pinned = page.form.pinned.clone();
    let works = calls || matches!(page.form.kind.as_str(), "agent" | "workflow");
    let groups = matches!(page.form.kind.as_str(), "map" | "loop");
    if !(works || groups || matches!(page.form.kind.as_str(), "transform" | "wait_event")) {
        return None;
    }
    let form = page.form.clone();
    let on_error = vec![
        Choice::new("default", "It fails; about credentials, quotas and limits a person is asked"),
        Choice::new("ask", "A person is asked: try again, go on without it, or let it fail"),
        Choice::new("fail", "It fails"),
        Choice::new("continue", "The run goes on; this step's output is null"),
    ];
    let time = (works || groups).then(|| {
        let (label, hint) = match groups {
            true => ("Seconds for all of it", "Empty: as long as the run may last."),
            false => ("Seconds for one attempt", "Empty: as the tool or agent says."),
        };
        view! { <Field name="form[timeout_s]" label optional=true class="short" inputmode="numeric" value=form.timeout_s.clone() hint/> }
    });
    let attempts = (calls || page.form.kind == "agent").then(|| {
        let form = form.clone();
        view! {
            <Field name="form[attempts]" label="Attempts" optional=true class="short" inputmode="numeric" value=form.attempts
                hint="1 to 10, the first included. Only what may pass by itself is tried again: timeouts, rate limits, outages. Empty: 3."/>
            <Field name="form[pause_s]" label="Seconds before the second attempt" optional=true class="short" inputmode="decimal" value=form.pause_s
                hint="Each further pause is longer."/>
            <TextArea name="form[alternatives]" label="Then instead" optional=true class="mono" rows=2 value=form.alternatives
                hint="What is tried when no attempt succeeds, one in each line: “agent writer”, “model openai/gpt-5”, or “tool http_request”."/>
        }
    });
    let once = calls.then(|| {
        let checked = form.at_most_once == "true";
        view! {
            <Checkbox name="form[at_most_once]" label="Must not happen twice" checked
                hint="When it is not known whether a call happened, a person says, instead of a second attempt."/>
        }
    });
    let cache = (calls || page.form.kind == "agent").then(|| {
        let value = form.cache_h.clone();
        view! {
            <Field name="form[cache_h]" label="Remember results (hours)" optional=true class="short" inputmode="decimal" value
                hint="The same call then gets the same answer again, for nothing. Only what changes nothing is remembered."/>
        }
    });
    let budget = (groups || matches!(page.form.kind.as_str(), "agent" | "workflow")).then(|| {
        let value = form.budget.clone();
        view! {
            <Field name="form[budget]" label="Budget ($)" optional=true class="short" inputmode="decimal" value
                hint="What all model calls and paid tools in it may cost together. When it is used up, a person is asked. Empty: no limit but the agents' own."/>
        }
    });
    let gate = works.then(|| {
        let value = if form.requires_approval == "never" { String::new() } else { form.requires_approval.clone() };
        view! {
            <Field name="form[requires_approval]" label="Needs approval first" optional=true class="mono" value
                hint="“always”, or a condition such as {{ input.amount > 500 }}. Empty: never."/>
        }
    });
    let locks = (works || groups).then(|| {
        let form = form.clone();
        view! {
            <TextArea name="form[locks]" label="Locks" optional=true class="mono" rows=2 value=form.locks
                hint="Names, one in each line, such as invoice {{ input.number }}. Of all runs one step at a time holds a name; the others wait in line."/>
            <Field name="form[lock_s]" label="Seconds that it may hold them" optional=true class="short" inputmode="numeric" value=form.lock_s
                hint="Then it is cut off. Empty: 300."/>
        }
    });
    let title = if works { "Approval, limits and failure" } else { "Limits and failure" };
    let view = view! {
        <Card title>
            <div class="stack">
                {gate}
                {time}
                {attempts}
                {once}
                {cache}
                {budget}
                {locks}
                <Select name="form[on_error]" label="When it fails" choices=on_error value=form.on_error/>
                <TextArea name="form[pinned]" label="Pinned output" optional=true class="mono" rows=3 value=pinned
                    hint="While designing: runs of a draft take this and do nothing here. A deployed version does its work."/>
            </div>
        </Card>
    };
    Some(view.into_any())
}

fn readable(page: &StepPage) -> Option<AnyView> {
    if page.readable.is_empty() {
        return None;
    }
    let lines: Vec<_> = page
        .readable
        .iter()
        .cloned()
        .map(|(expression, label)| view! { <li><code>{format!("{{{{ {expression} }}}}")}</code><span class="muted">{label}</span></li> })
        .collect();
    let view = view! {
        <Card title="What templates can read">
            <ul class="readable">{lines}</ul>
            <p class="hint">"Inside the braces stands JavaScript: {{ input.amount * 1.2 }}."</p>
        </Card>
    };
    Some(view.into_any())
}

fn delete(org: &str, page: &StepPage, path: &str) -> AnyView {
    let remove = FormAction::new::<RemoveStep>();
    let entries = hidden([
        ("org", org.to_owned()),
        ("workflow", page.id.to_string()),
        ("base", page.base.to_string()),
        ("path", path.to_owned()),
    ]);
    view! {
        <Card title="Delete">
            <Form action=remove>
                {entries}
                <p class="hint">"What runs after it runs after what it ran after. The outline offers to undo it."</p>
                <Submit look=Look::Default busy="Deleting…">"Delete step"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}
