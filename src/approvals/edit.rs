//! Edits of a proposal: they keep its form, or that of the tool that gets it.

use serde_json::Value;

use super::{Approval, ApprovalKind, store};
use crate::{
    db::TenantTx,
    kernel::{Error, FieldError, Result},
    runs::service::check_json,
    schema,
};

/// The schema of what gets the proposal: of the tool that is called.
pub(super) async fn schema_of(tx: &mut TenantTx, approval: &Approval) -> Result<Option<Value>> {
    match approval.kind {
        ApprovalKind::Tool => {
            let tool = store::tool(tx, approval.run_id, &approval.step_id).await?;
            Ok(tool.map(|tool| tool.parameters))
        }
        ApprovalKind::Approval | ApprovalKind::Question | ApprovalKind::Failure => Ok(None),
    }
}

/// An edited payload must fit what will be done with it: the tool's schema, or else the proposal's own form.
pub(super) async fn check_edit(tx: &mut TenantTx, approval: &Approval, edited: &Value) -> Result<()> {
    check_json(edited, "payload")?;
    if edited.is_null() {
        return Err(Error::invalid("payload", "An edit cannot be null. Enter a value, or reject the proposal."));
    }
    let mut faults = match schema_of(tx, approval).await? {
        Some(form) => schema::check(&form, edited),
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
}
