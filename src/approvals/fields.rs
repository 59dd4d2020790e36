//! The fields that a proposal is edited in, of the types that its schema has, else those of the proposal itself; and what
//! was entered, as a value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{EditField, EditInput};
use crate::kernel::{Error, FieldError, Result, text::visible};

/// The most entries that get a field each; larger proposals are edited as JSON.
const FIELDS: usize = 20;
/// The most characters that are entered on a line.
const LINE: usize = 60;
/// The most characters of a hint.
const HINT: usize = 300;

/// A field for each entry; or one for the whole, where it has none or they cannot be shown as they are.
pub(super) fn fields(proposal: &Value, schema: Option<&Value>) -> Vec<EditField> {
    if proposal.is_null() {
        return Vec::new();
    }
    let text = pretty(proposal);
    // A field would hold letters that nobody sees; in JSON they stand by their numbers.
    let seen = visible(&text);
    let whole = |label: &str, value: String, input: EditInput| {
        vec![EditField {
            key: String::new(),
            label: label.to_owned(),
            value,
            input,
            required: true,
            hint: String::new(),
        }]
    };
    match proposal {
        Value::Object(entries) if seen == text => {
            let properties = properties(schema);
            let mut keys: Vec<&String> = entries.keys().collect();
            keys.extend(properties.keys().filter(|key| !entries.contains_key(*key)));
            if keys.len() > FIELDS || keys.iter().any(|key| !is_plain(key)) {
                return whole("JSON", seen, EditInput::Json);
            }
            let required = |key: &str| match schema {
                Some(schema) => schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == key)),
                // A text may be empty; a number that is none is nothing.
                None => !matches!(entries.get(key), None | Some(Value::Null | Value::String(_) | Value::Bool(_))),
            };
            keys.into_iter().map(|key| field(key, entries.get(key), properties.get(key), required(key))).collect()
        }
        Value::String(text) => whole("Text", text.clone(), EditInput::Text),
        _ => whole("JSON", seen, EditInput::Json),
    }
}

/// The proposal with the entries of a form in it. An entry without a name is the whole value.
///
/// # Errors
/// `invalid`, at the fields.
pub(super) fn entered(proposal: &Value, schema: Option<&Value>, entries: &BTreeMap<String, String>) -> Result<Value> {
    let Value::Object(old) = proposal else {
        let text = entries.get("value").map(String::as_str).unwrap_or_default();
        let input = if proposal.is_string() { EditInput::Text } else { EditInput::Json };
        return read(&input, text, None).map_err(|message| Error::invalid("payload", message));
    };
    let properties = properties(schema);
    if let Some(text) = entries.get("value").filter(|_| !old.contains_key("value") && !properties.contains_key("value"))
    {
        return read(&EditInput::Json, text, None).map_err(|message| Error::invalid("payload", message));
    }
    let mut out = Map::new();
    let mut faults = Vec::new();
    let more = properties.keys().filter(|key| !old.contains_key(*key) && entries.contains_key(*key));
    for key in old.keys().chain(more) {
        let (before, form) = (old.get(key), properties.get(key));
        let input = input_of(before, form);
        let text = match (entries.get(key), &input, before) {
            (Some(text), ..) => text.as_str(),
            // A box that is not ticked is not sent.
            (None, EditInput::Tick, Some(_)) => "false",
            (None, _, Some(before)) => {
                out.insert(key.clone(), before.clone());
                continue;
            }
            (None, _, None) => continue,
        };
        let empty = text.trim().is_empty() && !matches!(before, Some(Value::String(_)));
        match (before, empty) {
            // What was nothing stays nothing.
            (None, true) => {}
            (Some(Value::Null), true) => drop(out.insert(key.clone(), Value::Null)),
            _ => match read(&input, text, form) {
                Ok(value) => drop(out.insert(key.clone(), value)),
                Err(message) => faults.push(FieldError { field: format!("payload.{key}"), message }),
            },
        }
    }
    Error::invalid_fields(faults).map_or(Ok(Value::Object(out)), Err)
}

fn properties(schema: Option<&Value>) -> Map<String, Value> {
    schema.and_then(|schema| schema["properties"].as_object()).cloned().unwrap_or_default()
}

fn field(key: &str, value: Option<&Value>, form: Option<&Value>, required: bool) -> EditField {
    let input = input_of(value, form);
    let text = match (value, &input) {
        (None | Some(Value::Null), EditInput::Tick) => "false".to_owned(),
        (None | Some(Value::Null), _) => String::new(),
        (Some(Value::String(text)), EditInput::Json) => Value::String(text.clone()).to_string(),
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value @ (Value::Array(_) | Value::Object(_))), _) => pretty(value),
        (Some(other), _) => other.to_string(),
    };
    let hint = hint(&input, value, form);
    EditField { key: key.to_owned(), label: key.to_owned(), value: text, input, required, hint }
}

/// How a value is entered: as its schema says, where that fits what is proposed; else as what is proposed.
fn input_of(value: Option<&Value>, form: Option<&Value>) -> EditInput {
    if let Some(choices) = form.and_then(choices)
        && value.is_none_or(|value| value.is_null() || choices.iter().any(|(_, choice)| choice == value))
    {
        return EditInput::Choice(choices.into_iter().map(|(word, _)| word).collect());
    }
    let said = match form.map(|form| &form["type"]) {
        Some(Value::String(word)) => Some(word.as_str()),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null"),
        _ => None,
    };
    let long = |text: &str| text.chars().count() > LINE || text.contains('\n');
    match (value, said) {
        (Some(Value::Bool(_)), _) | (None | Some(Value::Null), Some("boolean")) => EditInput::Tick,
        (Some(Value::Number(_)), _) | (None | Some(Value::Null), Some("number" | "integer")) => EditInput::Number,
        (Some(Value::String(text)), _) if long(text) => EditInput::Text,
        (Some(Value::String(_)), _) | (None | Some(Value::Null), Some("string")) => EditInput::Line,
        _ => EditInput::Json,
    }
}

/// The choices of a schema that has some, and how each is read.
fn choices(form: &Value) -> Option<Vec<(String, Value)>> {
    let choices = form["enum"].as_array().filter(|choices| !choices.is_empty() && choices.len() <= 50)?;
    choices
        .iter()
        .map(|choice| match choice {
            Value::String(text) => Some((text.clone(), choice.clone())),
            Value::Number(_) | Value::Bool(_) => Some((choice.to_string(), choice.clone())),
            _ => None,
        })
        .collect()
}

/// What a field is for, and how its value may be.
fn hint(input: &EditInput, value: Option<&Value>, form: Option<&Value>) -> String {
    let nothing = Value::Null;
    let form = form.unwrap_or(&nothing);
    let mut words = Vec::new();
    if let Some(about) = form["description"].as_str() {
        words.push(crate::kernel::text::shortened(&visible(about.trim()), HINT));
    }
    if form["type"] == "integer" {
        words.push("A whole number.".to_owned());
    }
    for (key, before, after) in [
        ("minimum", "At least", ""),
        ("maximum", "At most", ""),
        ("exclusiveMinimum", "More than", ""),
        ("exclusiveMaximum", "Less than", ""),
        ("minLength", "At least", " characters"),
        ("maxLength", "At most", " characters"),
    ] {
        if let Value::Number(bound) = &form[key] {
            words.push(format!("{before} {bound}{after}."));
        }
    }
    if *input == EditInput::Json {
        words.push(match value {
            None | Some(Value::Null) => "JSON; empty means nothing.".to_owned(),
            _ => "JSON".to_owned(),
        });
    }
    words.join(" ")
}

fn read(input: &EditInput, text: &str, form: Option<&Value>) -> Result<Value, String> {
    // Browsers send line breaks as CR LF.
    let text = text.replace("\r\n", "\n");
    match input {
        EditInput::Line | EditInput::Text => Ok(Value::String(text)),
        EditInput::Tick => Ok(Value::Bool(text == "true")),
        EditInput::Number => match serde_json::from_str(text.trim()) {
            Ok(number @ Value::Number(_)) => Ok(number),
            _ => Err("Enter a number, such as 12.5.".to_owned()),
        },
        EditInput::Choice(words) => {
            let known = form.and_then(choices).unwrap_or_default().into_iter().find(|(word, _)| *word == text);
            known.map(|(_, value)| value).ok_or_else(|| format!("Choose one of: {}.", words.join(", ")))
        }
        EditInput::Json => serde_json::from_str(&text).map_err(|error| format!("This is not JSON: {error}.")),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Whether a key can be part of a field's name as it is.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.len() <= 60 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_forms_entries_are_read_as_the_types_of_the_proposal() {
        let proposal = json!({ "to": "ana@example.com", "amount": 40, "urgent": true, "tags": ["a"], "cc": null });
        let edited =
            entered(&proposal, None, &entries(&[("to", "1"), ("amount", " 41.5 "), ("tags", "[\"b\"]"), ("cc", "")]));
        assert_eq!(edited, Ok(json!({ "to": "1", "amount": 41.5, "urgent": false, "tags": ["b"], "cc": null })));
        let error = entered(&proposal, None, &entries(&[("amount", "a lot"), ("tags", "[")])).unwrap_err();
        let fields: Vec<_> = error.fields.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["payload.amount", "payload.tags"]);
        assert_eq!(entered(&json!("text"), None, &entries(&[("value", "new")])), Ok(json!("new")));
        assert_eq!(entered(&json!({ "a": 1 }), None, &entries(&[("value", "{\"a\":2}")])), Ok(json!({ "a": 2 })));
    }

    #[test]
    fn fields_have_the_types_and_bounds_of_the_schema() {
        let schema = json!({
            "type": "object",
            "required": ["to", "speed"],
            "properties": {
                "to": { "type": "string", "description": "Who gets it.", "maxLength": 80 },
                "speed": { "enum": ["slow", "fast"] },
                "copies": { "type": "integer", "minimum": 1, "maximum": 5 },
                "note": { "type": ["string", "null"] },
                "urgent": { "type": "boolean" },
                "rank": { "enum": [1, 2] },
            },
        });
        let proposal = json!({ "to": "kim@example.com", "speed": "slow", "copies": 2, "rank": 1 });
        let fields = fields(&proposal, Some(&schema));
        let find = |key: &str| fields.iter().find(|field| field.key == key).unwrap();
        assert_eq!(find("speed").input, EditInput::Choice(vec!["slow".to_owned(), "fast".to_owned()]));
        assert_eq!((&find("copies").input, find("copies").value.as_str()), (&EditInput::Number, "2"));
        assert_eq!(find("copies").hint, "A whole number. At least 1. At most 5.");
        assert_eq!(find("to").hint, "Who gets it. At most 80 characters.");
        assert!(find("to").required && !find("copies").required);
        assert_eq!((&find("note").input, &find("urgent").input), (&EditInput::Line, &EditInput::Tick));
        // What is not there and stays empty is not sent on; what is chosen has the type of the choice.
        let typed = [("to", "lee@example.com"), ("speed", "fast"), ("copies", "3"), ("note", ""), ("rank", "2")];
        let edited = entered(&proposal, Some(&schema), &entries(&typed));
        assert_eq!(edited, Ok(json!({ "to": "lee@example.com", "speed": "fast", "copies": 3, "rank": 2 })));
        let wrong = entered(&proposal, Some(&schema), &entries(&[("speed", "warp")])).unwrap_err();
        assert_eq!(wrong.fields[0].message, "Choose one of: slow, fast.");
        let more = entered(&proposal, Some(&schema), &entries(&[("urgent", "true"), ("note", "Hi")])).unwrap();
        assert_eq!((&more["urgent"], &more["note"]), (&json!(true), &json!("Hi")));
    }

    #[test]
    fn what_cannot_be_shown_in_fields_is_edited_as_a_whole() {
        for proposal in [json!({ "a b": 1 }), json!([1]), json!({ "to": "x\u{202e}y" })] {
            let fields = fields(&proposal, None);
            assert_eq!((fields.len(), &fields[0].input, fields[0].key.as_str()), (1, &EditInput::Json, ""));
        }
        assert!(fields(&Value::Null, None).is_empty());
        assert_eq!(fields(&json!("a text"), None)[0].input, EditInput::Text);
    }
}
