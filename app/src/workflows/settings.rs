//! What the whole workflow says: its name, what a run is called, when it must end, and what it takes in.

use leptos::prelude::*;

use super::{
    api::{ArchiveWorkflow, DescribeWorkflow, SaveSettings, WorkflowPage},
    head, use_workflow,
};
use crate::{
    frame::use_org,
    kit::{Callout, Card, Choice, Field, Form, FormAction, Look, Select, Submit, TextArea},
    wire::{Loaded, hidden, on_success},
};

/// The settings of a workflow.
#[component]
pub fn SettingsPage() -> impl IntoView {
    let org = Signal::stored(use_org());
    let renewed = RwSignal::new(0_u32);
    let page = use_workflow(renewed);
    view! { <Loaded resource=page view=move |page| body(&org.get_untracked(), &page, renewed)/> }.into_any()
}

fn body(org: &str, page: &WorkflowPage, renewed: RwSignal<u32>) -> AnyView {
    let forms = if page.may.build {
        view! {
            {describe(org, page, renewed)}
            {runs(org, page, renewed)}
            {archive(org, page)}
        }
        .into_any()
    } else {
        view! { <Callout><p>"Members, admins and owners can change this workflow."</p></Callout> }.into_any()
    };
    view! {
        {head(org, page, "settings")}
        <div class="stack narrow">{forms}</div>
    }
    .into_any()
}

fn entries(org: &str, page: &WorkflowPage) -> AnyView {
    let base = page.workflow.version.to_string();
    hidden([("org", org.to_owned()), ("workflow", page.workflow.id.to_string()), ("base", base)])
}

fn describe(org: &str, page: &WorkflowPage, renewed: RwSignal<u32>) -> AnyView {
    let entries = entries(org, page);
    let (name, description) = (page.workflow.name.clone(), page.workflow.description.clone());
    let describe = FormAction::new::<DescribeWorkflow>();
    on_success(describe, move || renewed.update(|count| *count += 1));
    view! {
        <Card title="Name">
            <Form action=describe done="Saved.">
                {entries}
                <Field name="name" label="Name" longest=80 value=name/>
                <TextArea name="description" label="What it is for" optional=true rows=3 value=description/>
                <Submit look=Look::Default>"Save name"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

fn runs(org: &str, page: &WorkflowPage, renewed: RwSignal<u32>) -> AnyView {
    let entries = entries(org, page);
    let (title, deadline_h, input) = (page.title.clone(), page.deadline_h.clone(), page.input.clone());
    let retention_days = page.retention_days.clone();
    let (priority, limit, key) = (page.priority.clone(), page.concurrency_limit.clone(), page.concurrency_key.clone());
    let save = FormAction::new::<SaveSettings>();
    on_success(save, move || renewed.update(|count| *count += 1));
    let priorities = vec![Choice::new("low", "Low"), Choice::new("normal", "Normal"), Choice::new("high", "High")];
    let fields: Vec<_> = page
        .fields
        .iter()
        .flatten()
        .map(|field| view! { <li>{field.label.clone()}" "<code>{format!("input.{}", field.name)}</code></li> })
        .collect();
    let fields = (!fields.is_empty()).then(|| {
        view! { <p class="hint">"The run form asks for:"</p><ul class="input-fields">{fields}</ul> }
    });
    view! {
        <Card title="Runs">
            <Form action=save done="Saved as a new version.">
                {entries}
                <Field
                    name="title" label="Title of a run" optional=true value=title
                    hint="Can read the input: Ticket {{ input.subject }}. Empty: the workflow's name."
                />
                <Field
                    name="deadline_h" label="Must end within hours" optional=true class="short" inputmode="decimal"
                    value=deadline_h hint="A run that takes longer fails. Empty: no limit."
                />
                <Field
                    name="retention_days" label="Keep ended runs for days" optional=true class="short" inputmode="numeric"
                    value=retention_days hint="0: for ever. Empty: as the organization does."
                />
                <Select
                    name="priority" label="Priority" choices=priorities value=priority
                    hint="Which runs of the organization go first while there is more to do than workers can."
                />
                <Field
                    name="concurrency_limit" label="Runs at once" optional=true class="short" inputmode="numeric"
                    value=limit hint="Further runs are queued until one has ended. Empty: no limit."
                />
                <Field
                    name="concurrency_key" label="Counted by" optional=true value=key
                    hint="Only runs with the same value count together, such as {{ input.customer }}. Empty: all runs of the workflow."
                />
                {fields}
                <TextArea
                    name="input" label="Input as JSON Schema" class="mono" rows=14 value=input
                    hint="The run form is made from it: title and description of each property, default or examples as the first value, required, and x-order for the order of fields. Texts with the format textarea get several lines."
                />
                <Submit look=Look::Default>"Save as a new version"</Submit>
            </Form>
        </Card>
    }
    .into_any()
}

fn archive(org: &str, page: &WorkflowPage) -> Option<AnyView> {
    if page.workflow.status == "archived" {
        return None;
    }
    let entries = entries(org, page);
    let archive = FormAction::new::<ArchiveWorkflow>();
    let view = view! {
        <Card title="Archive">
            <Form action=archive>
                {entries}
                <p class="hint">"The workflow leaves the lists and cannot be run any more. Runs that have begun go on, and all its runs stay."</p>
                <Submit look=Look::Default busy="Archiving…">"Archive workflow"</Submit>
            </Form>
        </Card>
    };
    Some(view.into_any())
}
