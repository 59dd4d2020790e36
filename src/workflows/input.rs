//! The run form: fields made from a workflow's input schema, and the input made from what was typed. Server only; the
//! browser gets the fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{InputField, InputKind, forms::values};
use crate::kernel::FieldError;

/// The fields of a schema, in the order that it asks for: `x-order`, then what is required, then the rest.
/// Nothing when the schema has a form that only JSON can fill.
#[must_use]
pub fn fields(schema: &Value) -> Option<Vec<InputField>> {
    let empty = Map::new();
    let properties = match schema.get("properties") {
        None => &empty,
        Some(properties) => properties.as_object()?,
    };
    if ["anyOf", "oneOf", "allOf", "$ref", "if", "patternProperties"].iter().any(|word| schema.get(*word).is_some()) {
        return None;
    }
    let names = |word: &str| schema.get(word).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let required: Vec<&str> = names("required").collect();
    let mut order: Vec<&str> = Vec::new();
    // The database does not keep the order of properties, so it is not taken from there.
    let mut rest: Vec<&str> = properties.keys().map(String::as_str).collect();
    rest.sort_unstable();
    for name in names("x-order").chain(required.iter().copied()).chain(rest) {
        if !order.contains(&name) && properties.contains_key(name) {
            order.push(name);
        }
    }
    let plain = |name: &&str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
    if !order.iter().all(plain) {
        return None;
    }
    Some(order.into_iter().map(|name| field(name, &properties[name], required.contains(&name))).collect())
}

fn field(name: &str, schema: &Value, required: bool) -> InputField {
    let text = |word: &str| schema.get(word).and_then(Value::as_str).map(str::to_owned);
    let kind = kind(schema);
    let first = schema
        .get("default")
        .or_else(|| schema.get("examples").and_then(|examples| examples.get(0)))
        .unwrap_or(&Value::Null);
    let label = text("title").unwrap_or_else(|| {
        let words = name.replace(['_', '-'], " ");
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    InputField {
        name: name.to_owned(),
        label,
        hint: text("description").unwrap_or_default(),
        value: written(&kind, first),
        kind,
        required,
        format: text("format").unwrap_or_default(),
        min: schema.get("minimum").map(ToString::to_string).unwrap_or_default(),
        max: schema.get("maximum").map(ToString::to_string).unwrap_or_default(),
    }
}

fn kind(schema: &Value) -> InputKind {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return InputKind::Choice(choices.iter().map(values::write).collect());
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => {
            let long = schema.get("format").is_some_and(|format| format == "textarea")
                || schema.get("maxLength").and_then(Value::as_u64).is_some_and(|most| most > 300)
                || schema.get("default").and_then(Value::as_str).is_some_and(|text| text.contains('\n'));
            if long { InputKind::Long } else { InputKind::Text }
        }
        Some("number") => InputKind::Number,
        Some("integer") => InputKind::Integer,
        Some("boolean") => InputKind::Boolean,
        Some("array") if schema["items"]["type"] == "string" && schema["items"].get("enum").is_none() => {
            InputKind::Lines
        }
        _ => InputKind::Json,
    }
}

fn written(kind: &InputKind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Null) => String::new(),
        (InputKind::Lines, Value::Array(lines)) => {
            lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        (InputKind::Text | InputKind::Long, Value::String(text)) => text.clone(),
        (InputKind::Json, value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        (_, value) => values::write(value),
    }
}

/// The input of what was typed. What a text cannot mean is a fault at its field; whether the input fits the schema is
/// checked when the run starts.
///
/// # Errors
/// The faults.
pub fn read(schema: &Value, typed: &BTreeMap<String, String>) -> Result<Value, Vec<FieldError>> {
    let mut input = Map::new();
    let mut faults = Vec::new();
    for field in fields(schema).unwrap_or_default() {
        let text = typed.get(&field.name).map(|text| values::normal(text)).unwrap_or_default();
        if text.trim().is_empty() && field.kind != InputKind::Boolean {
            // A text that must be there may be empty, if the schema says nothing else.
            if field.required && field.kind == InputKind::Lines {
                input.insert(field.name, Value::Array(Vec::new()));
            } else if field.required {
                let message = format!("Enter {}.", lower(&field.label));
                faults.push(FieldError { field: field.name, message });
            }
            continue;
        }
        match meant(&field.kind, &text, &schema["properties"][&field.name]) {
            Ok(value) => {
                input.insert(field.name, value);
            }
            Err(message) => faults.push(FieldError { field: field.name, message }),
        }
    }
    if faults.is_empty() { Ok(Value::Object(input)) } else { Err(faults) }
}

fn lower(label: &str) -> String {
    let mut letters = label.chars();
    match (letters.next(), letters.clone().next()) {
        // Not an abbreviation, such as URL.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => label.to_owned(),
    }
}

fn meant(kind: &InputKind, text: &str, schema: &Value) -> Result<Value, String> {
    let trimmed = text.trim();
    match kind {
        InputKind::Text => Ok(Value::from(trimmed)),
        InputKind::Long => Ok(Value::from(text)),
        InputKind::Boolean => Ok(Value::from(trimmed == "true")),
        InputKind::Integer => trimmed
            .replace([',', '\u{a0}'], "")
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| "Enter a whole number.".to_owned()),
        InputKind::Number => trimmed
            .replace([',', '\u{a0}'], "")
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(number)
            .ok_or_else(|| "Enter a number, with a point before the decimals.".to_owned()),
        InputKind::Choice(_) => schema["enum"]
            .as_array()
            .and_then(|choices| choices.iter().find(|choice| values::write(choice) == text))
            .cloned()
            .ok_or_else(|| "Choose one of the list.".to_owned()),
        InputKind::Lines => {
            Ok(Value::from(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>()))
        }
        InputKind::Json => serde_json::from_str(trimmed)
            .map_err(|error| format!("This is not valid JSON (line {}, column {}).", error.line(), error.column())),
    }
}

/// A number without a needless fraction.
fn number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked: it has no fraction and is small")]
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "x-order": ["subject", "message"],
            "required": ["message", "amount", "urls"],
            "properties": {
                "amount": { "type": "number", "minimum": 0, "default": 12.5 },
                "count": { "type": "integer" },
                "message": { "type": "string", "format": "textarea", "title": "Their message", "examples": ["Hello"] },
                "more": { "type": "object", "default": { "a": 1 } },
                "subject": { "type": "string" },
                "urgent": { "type": "boolean" },
                "size": { "enum": ["small", 2] },
                "urls": { "type": "array", "items": { "type": "string" }, "default": ["https://a", "https://b"] },
            },
        })
    }

    #[test]
    fn fields_come_in_the_order_that_was_asked_for_with_their_first_values() {
        let fields = fields(&schema()).expect("fields");
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["subject", "message", "amount", "urls", "count", "more", "size", "urgent"]);
        assert_eq!(fields[0].label, "Subject");
        assert_eq!((fields[1].label.as_str(), fields[1].value.as_str()), ("Their message", "Hello"));
        assert_eq!((fields[2].value.as_str(), fields[2].min.as_str()), ("12.5", "0"));
        assert_eq!(fields[3].value, "https://a\nhttps://b");
        assert_eq!(fields[6].kind, InputKind::Choice(vec!["small".into(), "2".into()]));
    }

    #[test]
    fn what_is_typed_becomes_the_input() {
        let typed = [
            ("subject", " Hi "),
            ("message", "a\r\nb"),
            ("amount", "1,200.50"),
            ("urls", "x\n\n y "),
            ("size", "2"),
            ("urgent", "true"),
            ("more", "{\"b\": 2}"),
        ];
        let typed = typed.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        assert_eq!(
            read(&schema(), &typed),
            Ok(json!({
                "subject": "Hi", "message": "a\nb", "amount": 1200.5, "urls": ["x", "y"], "size": 2, "urgent": true, "more": { "b": 2 },
            }))
        );
    }

    #[test]
    fn faults_stand_at_their_fields() {
        let typed = [("amount", "much"), ("count", "1.5"), ("more", "{"), ("size", "3")];
        let typed = typed.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let faults: Vec<String> =
            read(&schema(), &typed).expect_err("faults").into_iter().map(|fault| fault.field).collect();
        assert_eq!(faults, ["message", "amount", "count", "more", "size"]);
        let missing = read(&schema(), &BTreeMap::new()).expect_err("faults");
        assert_eq!(missing[0].message, "Enter their message.");
    }

    #[test]
    fn what_no_form_can_ask_for_is_left_to_json() {
        assert_eq!(fields(&json!({ "type": "object", "oneOf": [] })), None);
        assert_eq!(fields(&json!({ "type": "object", "properties": { "a b": {} } })), None);
        assert_eq!(fields(&json!({ "type": "object" })), Some(Vec::new()));
    }
}
