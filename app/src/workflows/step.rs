//! A step's form. Each kind has its own fields; what its templates can read stands beside them.

use agentflow::{
    kernel::Kind,
    workflows::forms::{KINDS, StepForm},
};
use leptos::{prelude::*, task::spawn_local};
use leptos_router::hooks::{use_params_map, use_query_map};

use super::{
    api::{AddStep, Argument, RemoveStep, SaveStep, StepPage, load_new_step, load_step, load_workflow},
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

fn own_fields(form: &StepForm, page: &StepPage) -> AnyView {
    let form = form.clone();
    match form.kind.as_str() {
        "agent" => {
            let choices: Vec<Choice> =
                page.agents.iter().map(|agent| Choice::new(agent.key.clone(), agent.name.clone())).collect();
            let choices = with_chosen(choices, &form.agent);
            view! {
                <Select name="form[agent]" label="Agent" choices value=form.agent/>
                <TextArea name="form[prompt]" label="What the agent is asked" rows=8 value=form.prompt
                    hint="A template: {{ input.message }} is replaced by what the run was given."/>
            }
            .into_any()
        }
        "tool" => tool_fields(&form, page),
        "transform" => view! {
            <TextArea name="form[value]" label="Value" class="mono" rows=8 value=form.value
                hint="A text, JSON, or exactly one expression such as {{ input.items.length }}, which keeps its type."/>
        }
        .into_any(),
        "decision" => decision_fields(&form),
        "approval" => approval_fields(form),
        "map" => view! {
            <Field name="form[items]" label="List" class="mono" value=form.items
                hint="Exactly one expression that gives a list, such as {{ input.urls }}. The steps inside see item and index."/>
            <Field name="form[concurrency]" label="Items at the same time" class="short" inputmode="numeric" value=form.concurrency
                hint="1 to 100."/>
            <TextArea name="form[result]" label="Result of an item" optional=true class="mono" rows=3 value=form.result
                hint="Such as {{ steps.judge.output }}. Empty: the output of the last step that ran."/>
        }
        .into_any(),
        "wait" => view! {
            <Field name="form[seconds]" label="Seconds" optional=true class="mono" value=form.seconds
                hint="A number, or one expression. Nothing is held while the run waits."/>
            <Field name="form[until]" label="Or until" optional=true class="mono" value=form.until
                hint="A moment such as 2026-12-24T18:00:00Z, or one expression."/>
        }
        .into_any(),
        "end" => view! {
            <TextArea name="form[output]" label="Output of the run" optional=true class="mono" rows=8 value=form.output
                hint="A text, JSON, or one expression such as {{ steps.draft.output }}."/>
        }
        .into_any(),
        _ => view! { <p class="hint">"The run begins here. Its output is the run's input."</p> }.into_any(),
    }
}

/// The choices with the one that is chosen, though it may not be there any more.
fn with_chosen(mut choices: Vec<Choice>, chosen: &str) -> Vec<Choice> {
    if !choices.iter().any(|choice| choice.value == chosen) {
        let label = if chosen.is_empty() { "Choose one".to_owned() } else { format!("{chosen} (not there)") };
        choices.insert(0, Choice::new(chosen, label));
    }
    choices
}

fn tool_fields(form: &StepForm, page: &StepPage) -> AnyView {
    let hidden = view! { <input type="hidden" name="form[tool]" value=form.tool.clone()/> };
    if form.tool.is_empty() {
        return view! { {hidden}<p class="hint">"Choose the tool above."</p> }.into_any();
    }
    // One expression for all arguments stays one, until it is cleared.
    if page.arguments.is_empty() || !form.arguments_value.is_empty() {
        return view! {
            {hidden}
            <TextArea name="form[arguments_value]" label="Arguments" optional=true class="mono" rows=6
                value=form.arguments_value.clone() hint="JSON, or one expression. Where the tool has fields of its own, they show when this is saved empty."/>
        }
        .into_any();
    }
    let fields: Vec<_> = page.arguments.iter().map(|argument| argument_field(form, argument)).collect();
    view! { {hidden}{fields} }.into_any()
}

fn argument_field(form: &StepForm, argument: &Argument) -> AnyView {
    let Argument { name, hint, required, choices, long } = argument.clone();
    let value = form.arguments.get(&name).cloned().unwrap_or_default();
    let entry = format!("form[arguments][{name}]");
    let label = {
        let words = name.replace('_', " ");
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    let optional = !required;
    // An expression stands in a line of text, not in a list.
    if !choices.is_empty() && (value.is_empty() || choices.contains(&value)) {
        let choices = choices.into_iter().map(|choice| Choice::new(choice.clone(), choice)).collect::<Vec<_>>();
        return view! { <Select name=entry label choices value hint optional/> }.into_any();
    }
    if long {
        return view! { <TextArea name=entry label value hint optional rows=6/> }.into_any();
    }
    view! { <Field name=entry label value hint optional/> }.into_any()
}

fn decision_fields(form: &StepForm) -> AnyView {
    let places = form.branch.len();
    // Two empty lines to add branches; an empty line counts for nothing.
    let lines: Vec<_> = (0..places + 2)
        .map(|place| {
            let place = format!("{place:02}");
            let name = form.branch.get(&place).cloned().unwrap_or_default();
            let when = form.when.get(&place).cloned().unwrap_or_default();
            let number = place.parse::<usize>().unwrap_or_default() + 1;
            view! {
                <div class="branch">
                    <Field name=format!("form[branch][{place}]") label=format!("Branch {number}") optional=true class="mono" value=name/>
                    <Field name=format!("form[when][{place}]") label="is taken when" optional=true class="mono" value=when/>
                </div>
            }
        })
        .collect();
    view! {
        <p class="hint">"The first branch whose condition holds is taken. A condition is exactly one expression, such as {{ input.amount > 500 }}. Clear a line to take its branch away."</p>
        {lines}
        <Field name="form[otherwise]" label="Branch for everything else" class="mono short" value=form.otherwise.clone()/>
    }
    .into_any()
}

fn approval_fields(form: StepForm) -> AnyView {
    let roles = vec![
        Choice::new("", "Whoever may decide approvals"),
        Choice::new("member", "Members and above"),
        Choice::new("admin", "Admins and owners"),
        Choice::new("owner", "Owners"),
    ];
    let expiry = vec![Choice::new("reject", "It counts as rejected"), Choice::new("approve", "It counts as approved")];
    let checked = form.reversible == "true";
    view! {
        <Field name="form[title]" label="What will happen" value=form.title hint="One sentence, as a template: Send this reply to {{ input.customer }}."/>
        <TextArea name="form[message]" label="What the decider should know" optional=true rows=4 value=form.message/>
        <TextArea name="form[payload]" label="What is approved" optional=true class="mono" rows=6 value=form.payload
            hint="JSON or a text. It can be edited on approval; later steps read it as steps.KEY.output.payload."/>
        <TextArea name="form[impact]" label="Who and what is touched" optional=true rows=2 value=form.impact/>
        <Field name="form[amount]" label="Amount of money" optional=true class="mono" value=form.amount
            hint="A number or an expression, such as {{ input.amount }}. Above the organization's limit it is typed to approve what cannot be undone."/>
        <Field name="form[currency]" label="Currency" optional=true class="short" value=form.currency hint="Such as EUR. Without one: USD."/>
        <TextArea name="form[why]" label="Why it is proposed" optional=true rows=2 value=form.why/>
        <Field name="form[confidence]" label="Confidence" optional=true class="mono" value=form.confidence
            hint="A number from 0 to 1 or an expression, such as {{ steps.KEY.output.confidence }}."/>
        <Checkbox name="form[reversible]" label="What follows can be undone" checked
            hint="Then approving takes one press and can be taken back for a few seconds. Else it asks again first."/>
        <Field name="form[reversible_until]" label="Until when it can be undone" optional=true class="mono" value=form.reversible_until
            hint="A moment or an expression. Without one: at any time."/>
        <Select name="form[role]" label="Who may decide" choices=roles value=form.role/>
        <Field name="form[expires_h]" label="Deadline in hours" optional=true class="short" inputmode="decimal" value=form.expires_h/>
        <Select name="form[on_expiry]" label="At the deadline" choices=expiry value=form.on_expiry/>
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
    let joins = vec![
        Choice::new("all", "When all of them are done that were not passed over"),
        Choice::new("any", "As soon as the first of them is done"),
    ];
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
    if !matches!(page.form.kind.as_str(), "agent" | "tool" | "transform" | "map") {
        return None;
    }
    let form = page.form.clone();
    let on_error = vec![
        Choice::new("fail", "The run fails"),
        Choice::new("continue", "The run goes on; this step's output is null"),
    ];
    let view = view! {
        <Card title="If something goes wrong">
            <div class="stack">
                <Field name="form[timeout_s]" label="Seconds for one attempt" optional=true class="short" inputmode="numeric" value=form.timeout_s
                    hint="Empty: as the tool or agent says."/>
                <Field name="form[attempts]" label="Attempts" optional=true class="short" inputmode="numeric" value=form.attempts
                    hint="1 to 10, the first included. Only what may pass by itself is tried again: timeouts, rate limits, outages. Empty: 3."/>
                <Field name="form[pause_s]" label="Seconds before the second attempt" optional=true class="short" inputmode="decimal" value=form.pause_s
                    hint="Each further pause is longer."/>
                <Select name="form[on_error]" label="When no attempt succeeds" choices=on_error value=form.on_error/>
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
