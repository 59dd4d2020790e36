//! Editing a proposal before it is approved: the fields that the server says, and what differs while one types.

use agentflow::{
    approvals::{ApprovalKind, ApprovalState, EditField, EditInput, Shown},
    kernel::text,
};
use leptos::{ev::Event, prelude::*, web_sys::Element};
use wasm_bindgen::JsCast;
use web_sys::js_sys::Reflect;

use super::{
    api::ApproveEdited,
    card::{Desk, differences},
    decide::{AmountField, Which, amount_to_type, report, was_refused},
};
use crate::kit::{Checkbox, Choice, Field, Form, FormAction, Look, Select, Submit, TextArea};

/// What differs of one entry: its name, what was proposed, and what is typed.
type Difference = (String, Option<String>, String);

/// Yes, to something a little different.
#[component]
pub(super) fn EditForm(shown: Shown, desk: Desk) -> impl IntoView {
    let approval = &shown.approval;
    let (id, irreversible) = (approval.id, !approval.reversible);
    let action = FormAction::new::<ApproveEdited>();
    report(action, id, &desk, Some(ApprovalState::Approved));
    let words = irreversible.then(|| view! { <p class="hint">"It takes effect at once and cannot be undone."</p> });
    let look = if irreversible { Look::Danger } else { Look::Primary };
    let amount = amount_to_type(approval);
    let form = format!("edit-{id}");
    let open_at_first = was_refused::<ApproveEdited>(&form);
    let (open, verb) = match approval.kind {
        ApprovalKind::Failure => ("Try again with other input…", "Try again with this"),
        _ => ("Edit and approve…", "Approve with edits"),
    };
    let fields: Vec<_> = shown.fields.iter().map(field).collect();
    let proposed = StoredValue::new(shown.fields);
    let typed = RwSignal::new(Vec::<Difference>::new());
    let on_input = move |event: Event| {
        let field = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if let Some(form) = field.and_then(|field| field.closest("form").ok().flatten()) {
            typed.set(
                proposed.with_value(|fields| fields.iter().filter_map(|field| difference(&form, field)).collect()),
            );
        }
    };
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="e">{open}</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                <div class="stack" on:input=on_input>{fields}</div>
                {move || differences("What you change", typed.get())}
                {words}
                <AmountField amount/>
                <Submit look busy="Approving…">{verb}</Submit>
            </Form>
        </details>
    }
    .into_any()
}

/// The name of a field in the form.
fn name_of(field: &EditField) -> String {
    match field.key.as_str() {
        "" => "fields[value]".to_owned(),
        key => format!("fields[{key}]"),
    }
}

fn field(field: &EditField) -> AnyView {
    let EditField { key, label, value, input, required, hint } = field.clone();
    let name = name_of(field);
    let path = if key.is_empty() { "payload".to_owned() } else { format!("payload.{key}") };
    let optional = !required;
    match input {
        EditInput::Tick => view! { <Checkbox name label hint checked=value == "true"/> }.into_any(),
        EditInput::Number => {
            view! { <Field name label hint path value inputmode="decimal" class="short" optional/> }.into_any()
        }
        EditInput::Line => view! { <Field name label hint path value optional/> }.into_any(),
        EditInput::Text => view! { <TextArea name label hint path value rows=4 optional/> }.into_any(),
        EditInput::Choice(words) => {
            let choices = words.into_iter().map(|word| Choice::new(word.clone(), word)).collect();
            view! { <Select name label hint path value choices optional/> }.into_any()
        }
        EditInput::Json => {
            let rows = if key.is_empty() { 10 } else { 4 };
            view! { <TextArea name label hint path value rows class="mono" optional/> }.into_any()
        }
    }
}

/// What stands in a field now, where it is not what was proposed.
fn difference(form: &Element, field: &EditField) -> Option<Difference> {
    // Keys have letters, digits, `_` and `-` alone: nothing to escape.
    let control = form.query_selector(&format!("[name='{}']", name_of(field))).ok()??;
    let now = match field.input {
        EditInput::Tick => Reflect::get(&control, &"checked".into()).ok()?.is_truthy().to_string(),
        _ => Reflect::get(&control, &"value".into()).ok()?.as_string()?,
    };
    let short = |text: &str| text::shortened(text, 300);
    (now != field.value).then(|| (field.label.clone(), Some(short(&field.value)), short(&now)))
}
