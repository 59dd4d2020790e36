//! Editing a proposal before it is approved: a field for each of its entries, of the entry's own type.

use agentflow::approvals::{Approval, ApprovalKind, ApprovalState};
use leptos::prelude::*;
use serde_json::Value;

use super::{
    api::ApproveEdited,
    card::Desk,
    decide::{AmountField, Which, amount_to_type, report, was_refused},
};
use crate::kit::{Checkbox, Field, Form, FormAction, Look, Submit, TextArea, visible};

/// The most entries that get a field each; larger proposals are edited as JSON.
const FIELDS: usize = 20;

/// Yes, to something a little different.
#[component]
pub(super) fn EditForm(approval: Approval, desk: Desk) -> impl IntoView {
    let (id, irreversible) = (approval.id, !approval.reversible);
    let action = FormAction::new::<ApproveEdited>();
    report(action, id, &desk, Some(ApprovalState::Approved));
    let words = irreversible.then(|| view! { <p class="hint">"It takes effect at once and cannot be undone."</p> });
    let look = if irreversible { Look::Danger } else { Look::Primary };
    let amount = amount_to_type(&approval);
    let form = format!("edit-{id}");
    let open_at_first = was_refused::<ApproveEdited>(&form);
    let (open, verb) = match approval.kind {
        ApprovalKind::Failure => ("Try again with other input…", "Try again with this"),
        _ => ("Edit and approve…", "Approve with edits"),
    };
    view! {
        <details class="approval-more" name="decide" open=open_at_first>
            <summary class="btn" data-key="e">{open}</summary>
            <Form action id=form>
                <Which org=desk.org id/>
                {fields(&approval.payload)}
                {words}
                <AmountField amount/>
                <Submit look busy="Approving…">{verb}</Submit>
            </Form>
        </details>
    }
    .into_any()
}

fn fields(proposal: &Value) -> AnyView {
    // A field would hold letters that nobody sees; in JSON they stand by their numbers.
    let text = serde_json::to_string_pretty(proposal).unwrap_or_default();
    let seen = visible(&text);
    match proposal {
        Value::Object(entries)
            if seen == text && entries.len() <= FIELDS && entries.keys().all(|key| is_plain(key)) =>
        {
            // The server keeps entries in their order and the browser does not: sorted, both draw the same.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            entries.into_iter().map(|(key, value)| field(key, value)).collect::<Vec<_>>().into_any()
        }
        Value::String(text) => {
            view! { <TextArea name="fields[value]" label="Text" path="payload" value=text.clone() rows=6/> }.into_any()
        }
        _ => view! { <TextArea name="fields[value]" label="JSON" path="payload" value=seen rows=10 class="mono"/> }
            .into_any(),
    }
}

/// Whether a key can be part of a field's name as it is.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 60 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn field(key: &str, value: &Value) -> AnyView {
    let (name, path, label) = (format!("fields[{key}]"), format!("payload.{key}"), key.to_owned());
    match value {
        Value::Bool(checked) => view! { <Checkbox name label checked=*checked/> }.into_any(),
        Value::Number(number) => {
            view! { <Field name label path value=number.to_string() inputmode="decimal" class="short"/> }.into_any()
        }
        Value::String(text) if text.chars().count() > 60 || text.contains('\n') => {
            view! { <TextArea name label path value=text.clone() rows=4 optional=true/> }.into_any()
        }
        Value::String(text) => view! { <Field name label path value=text.clone() optional=true/> }.into_any(),
        Value::Null => view! { <Field name label path hint="JSON; empty means nothing." optional=true/> }.into_any(),
        Value::Array(_) | Value::Object(_) => {
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            view! { <TextArea name label path hint="JSON" value=text rows=4 class="mono"/> }.into_any()
        }
    }
}
