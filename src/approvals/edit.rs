//! Edits of a proposal: they keep its form, or that of the tool that gets it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Approval, ApprovalKind, store};
use crate::{
    db::TenantTx,
    kernel::{Error, FieldError, Result},
    runs::service::check_json,
    schema,
};

/// An edited payload must fit what will be done with it: the tool's schema, or else the proposal's own form.
pub(super) async fn check_edit(tx: &mut TenantTx, approval: &Approval, edited: &Value) -> Result<()> {
    check_json(edited, "payload")?;
    if edited.is_null() {
        return Err(Error::invalid("payload", "An edit cannot be null. Enter a value, or reject the proposal."));
    }
    let tool = match approval.kind {
        ApprovalKind::Tool => store::tool(tx, approval.run_id, &approval.step_id).await?,
        ApprovalKind::Approval | ApprovalKind::Question | ApprovalKind::Failure => None,
    };
    let mut faults = match tool {
        Some(tool) => schema::check(&tool.parameters, edited),
        None => differences(&approval.payload, edited),
    };
    for fault in &mut faults {
        fault.field = match fault.field.as_str() {
            "" => "payload".to_owned(),
            field => format!("payload.{field}"),
        };
    }
    Error::invalid_fields(faults).map_or(Ok(()), Err)
}

/// Where an edited value has lost the proposal's form: a field is missing or of another type.
fn differences(proposal: &Value, edited: &Value) -> Vec<FieldError> {
    let fault = |field: &str, message: String| FieldError { field: field.to_owned(), message };
    match (proposal, edited) {
        (Value::Object(proposal), Value::Object(edited)) => proposal
            .iter()
            .filter_map(|(key, old)| match edited.get(key) {
                None => Some(fault(key, format!("{key} is missing."))),
                Some(new) if old.is_null() || type_of(old) == type_of(new) => None,
                Some(_) => Some(fault(key, format!("{key} must be {}, as in the proposal.", type_of(old)))),
            })
            .collect(),
        (Value::Null, _) => vec![fault("", "There is nothing to edit in this proposal.".to_owned())],
        _ if type_of(proposal) == type_of(edited) => Vec::new(),
        _ => vec![fault("", format!("The value must be {}, as in the proposal.", type_of(proposal)))],
    }
}

/// The proposal with the entries of a form in it. An entry without a name is the whole value.
pub(super) fn entered(proposal: &Value, entries: &BTreeMap<String, String>) -> Result<Value> {
    let Value::Object(fields) = proposal else {
        let text = entries.get("value").map(String::as_str).unwrap_or_default();
        return read_entry(proposal, text).map_err(|message| Error::invalid("payload", message));
    };
    if let Some(text) = entries.get("value").filter(|_| !fields.contains_key("value")) {
        return read_entry(proposal, text).map_err(|message| Error::invalid("payload", message));
    }
    let mut out = serde_json::Map::new();
    let mut faults = Vec::new();
    for (key, old) in fields {
        let text = match (entries.get(key), old) {
            (Some(text), _) => text.as_str(),
            // A box that is not ticked is not sent.
            (None, Value::Bool(_)) => "false",
            (None, _) => {
                out.insert(key.clone(), old.clone());
                continue;
            }
        };
        match read_entry(old, text) {
            Ok(value) => drop(out.insert(key.clone(), value)),
            Err(message) => faults.push(FieldError { field: format!("payload.{key}"), message }),
        }
    }
    Error::invalid_fields(faults).map_or(Ok(Value::Object(out)), Err)
}

fn read_entry(old: &Value, text: &str) -> Result<Value, String> {
    // Browsers send line breaks as CR LF.
    let text = text.replace("\r\n", "\n");
    match old {
        Value::String(_) => Ok(Value::String(text)),
        Value::Bool(_) => Ok(Value::Bool(text == "true")),
        Value::Number(_) => match serde_json::from_str(text.trim()) {
            Ok(number @ Value::Number(_)) => Ok(number),
            _ => Err("Enter a number, such as 12.5.".to_owned()),
        },
        Value::Null if text.trim().is_empty() => Ok(Value::Null),
        _ => serde_json::from_str(&text).map_err(|error| format!("This is not JSON: {error}.")),
    }
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edit_keeps_the_form_of_the_proposal() {
        let proposal = json!({ "to": "ana@example.com", "amount": 40, "note": null });
        assert!(differences(&proposal, &json!({ "to": "ben@example.com", "amount": 41.5, "note": "x" })).is_empty());
        let faults = differences(&proposal, &json!({ "to": 5, "note": null }));
        let mut fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["amount", "to"]);
        assert_eq!(differences(&json!("text"), &json!(["text"])).len(), 1);
        assert_eq!(differences(&Value::Null, &json!(1)).len(), 1);
    }

    #[test]
    fn a_forms_entries_are_read_as_the_types_of_the_proposal() {
        let proposal = json!({ "to": "ana@example.com", "amount": 40, "urgent": true, "tags": ["a"], "cc": null });
        let entries =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let edited =
            entered(&proposal, &entries(&[("to", "1"), ("amount", " 41.5 "), ("tags", "[\"b\"]"), ("cc", "")]));
        assert_eq!(edited, Ok(json!({ "to": "1", "amount": 41.5, "urgent": false, "tags": ["b"], "cc": null })));
        let error = entered(&proposal, &entries(&[("amount", "a lot"), ("tags", "[")])).unwrap_err();
        let fields: Vec<_> = error.fields.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["payload.amount", "payload.tags"]);
        assert_eq!(entered(&json!("text"), &entries(&[("value", "new")])), Ok(json!("new")));
        assert_eq!(entered(&json!({ "a": 1 }), &entries(&[("value", "{\"a\":2}")])), Ok(json!({ "a": 2 })));
    }
}
