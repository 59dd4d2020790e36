//! JSON Schema: whether a value has the agreed form, told field by field. Schemas come from people and models, so what
//! they may cost is bounded and nothing is ever fetched.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind as Fault};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kernel::{FieldError, text::shortened};

/// The most bytes that a schema may have as JSON.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// How deep a schema, and a value that is checked, may nest.
pub const MAX_DEPTH: usize = 64;
/// The most faults that are told at once.
const MAX_FAULTS: usize = 50;
/// Compiled schemas that are kept. A run checks the same few over and over.
const KEPT: usize = 256;

static COMPILED: LazyLock<Mutex<HashMap<[u8; 32], Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Whether a schema can be used. The error is a sentence.
///
/// # Errors
/// When it is too large, too deep, not a schema, or refers to something outside of itself.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    compiled(schema).map(drop)
}

/// What is wrong with a value, by field; empty when it has the form. `null` as a schema allows everything.
#[must_use]
pub fn check(schema: &Value, value: &Value) -> Vec<FieldError> {
    if schema.is_null() {
        return Vec::new();
    }
    let validator = match compiled(schema) {
        Ok(validator) => validator,
        Err(message) => return vec![FieldError { field: String::new(), message }],
    };
    if !is_shallow(value, MAX_DEPTH) {
        let message = format!("The value nests deeper than {MAX_DEPTH} levels.");
        return vec![FieldError { field: String::new(), message }];
    }
    validator.iter_errors(value).flat_map(|error| told(&error)).take(MAX_FAULTS).collect()
}

/// The faults of [`check`] as one text, for a model that has to mend them and for logs.
#[must_use]
pub fn in_words(faults: &[FieldError]) -> String {
    faults
        .iter()
        .take(10)
        .map(|fault| match fault.field.as_str() {
            "" => fault.message.clone(),
            field => format!("{field}: {}", fault.message),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a value nests at most this deep.
#[must_use]
pub fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| is_shallow(field, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn compiled(schema: &Value) -> Result<Arc<Validator>, String> {
    if !is_shallow(schema, MAX_DEPTH) {
        return Err(format!("The schema nests deeper than {MAX_DEPTH} levels."));
    }
    let text = schema.to_string();
    if text.len() > MAX_SCHEMA_BYTES {
        return Err(format!("The schema is larger than {} KiB.", MAX_SCHEMA_BYTES >> 10));
    }
    let key: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let known = COMPILED.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(validator) = known {
        return Ok(validator);
    }
    let validator = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        // The linear engine: a pattern cannot be made to take exponential time.
        .with_pattern_options(PatternOptions::regex().size_limit(1 << 20))
        .build(schema)
        .map_err(|error| format!("This is not a JSON Schema: {}.", shortened(&error.to_string(), 200)))?;
    let validator = Arc::new(validator);
    let mut kept = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(key, Arc::clone(&validator));
    Ok(validator)
}

/// One fault of the library as ours: at the field, in words for the person who typed it.
fn told(error: &ValidationError<'_>) -> Vec<FieldError> {
    let place = dotted(error.instance_path().as_str());
    let at = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let one = |message: String| vec![FieldError { field: place.clone(), message }];
    match error.kind() {
        Fault::Required { property } => vec![FieldError {
            field: at(property.as_str().unwrap_or_default()),
            message: "This is needed and is missing.".to_owned(),
        }],
        Fault::AdditionalProperties { unexpected } | Fault::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| FieldError {
                field: at(&shortened(name, 80)),
                message: "There is no such field; take it out.".to_owned(),
            })
            .collect(),
        Fault::Enum { options } => {
            let words: Vec<_> =
                options.as_array().into_iter().flatten().take(20).map(|option| shortened(&plain(option), 60)).collect();
            one(format!("Choose one of: {}.", words.join(", ")))
        }
        Fault::Constant { expected_value } => one(format!("Must be {}.", shortened(&expected_value.to_string(), 60))),
        Fault::MinLength { limit: 1 } | Fault::MinItems { limit: 1 } => one("This must not be empty.".to_owned()),
        Fault::MinLength { limit } => one(format!("Must have at least {limit} characters.")),
        Fault::MaxLength { limit } => one(format!("Must have at most {limit} characters.")),
        Fault::Minimum { limit } => one(format!("Must be {limit} or more.")),
        Fault::Maximum { limit } => one(format!("Must be {limit} or less.")),
        Fault::ExclusiveMinimum { limit } => one(format!("Must be more than {limit}.")),
        Fault::ExclusiveMaximum { limit } => one(format!("Must be less than {limit}.")),
        Fault::MinItems { limit } => one(format!("Must have at least {limit} entries.")),
        Fault::MaxItems { limit } => one(format!("Must have at most {limit} entries.")),
        Fault::UniqueItems => one("No entry may stand there twice.".to_owned()),
        Fault::Format { format } => one(match format.as_str() {
            "email" => "Must be an e-mail address, such as ana@example.com.".to_owned(),
            "uri" => "Must be a web address, such as https://example.com.".to_owned(),
            "date" => "Must be a date, such as 2026-11-20.".to_owned(),
            "date-time" => "Must be a moment, such as 2026-11-20T14:30:00Z.".to_owned(),
            other => format!("Must have the format “{other}”."),
        }),
        Fault::Type { .. } => one(expected_type(error)),
        Fault::AnyOf { .. } | Fault::OneOfNotValid { .. } => one("Has none of the forms that are allowed.".to_owned()),
        _ => one(format!("{}.", shortened(&error.masked().to_string(), 200).trim_end_matches('.'))),
    }
}

fn expected_type(error: &ValidationError<'_>) -> String {
    let Fault::Type { kind } = error.kind() else { return String::new() };
    let word = match kind {
        jsonschema::error::TypeKind::Single(one) => article(&one.to_string()).to_owned(),
        jsonschema::error::TypeKind::Multiple(several) => {
            several.iter().map(|one| article(&one.to_string())).collect::<Vec<_>>().join(" or ")
        }
    };
    format!("Must be {word}.")
}

fn article(json_type: &str) -> &'static str {
    match json_type {
        "string" => "a text",
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `/items/0/name` as `items.0.name`.
fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_are_told_at_their_fields() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "minLength": 1 },
                "age": { "type": "integer", "minimum": 18 },
                "urgency": { "enum": ["low", "high"] },
                "mail": { "type": "string", "format": "email" },
                "tags": { "type": "array", "items": { "type": "string" } }
            },
            "required": ["name", "age"],
            "additionalProperties": false
        });
        let faults = check(&schema, &json!({"name": "", "urgency": "now", "mail": "x", "tags": ["a", 1], "extra": 1}));
        let find = |field: &str| faults.iter().find(|fault| fault.field == field).map(|fault| fault.message.as_str());
        assert_eq!(find("name"), Some("This must not be empty."));
        assert_eq!(find("age"), Some("This is needed and is missing."));
        assert_eq!(find("urgency"), Some("Choose one of: low, high."));
        assert_eq!(find("mail"), Some("Must be an e-mail address, such as ana@example.com."));
        assert_eq!(find("tags.1"), Some("Must be a text."));
        assert_eq!(find("extra"), Some("There is no such field; take it out."));
        assert!(check(&schema, &json!({"name": "Ana", "age": 18})).is_empty());
        assert!(check(&Value::Null, &json!([1])).is_empty());
    }

    #[test]
    fn a_schema_that_reaches_outside_or_is_no_schema_is_refused() {
        for schema in [
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "nonsense"}),
            json!({"type": "string", "pattern": "("}),
            json!({"description": "x".repeat(MAX_SCHEMA_BYTES)}),
        ] {
            assert!(check_schema(&schema).is_err(), "{}", shortened(&schema.to_string(), 80));
            assert!(!check(&schema, &json!("x")).is_empty());
        }
        let deep = (0..200).fold(json!({}), |inner, _| json!({ "not": inner }));
        assert!(check_schema(&deep).is_err());
        let deep_value = (0..200).fold(json!(1), |inner, _| json!([inner]));
        assert!(!check(&json!({}), &deep_value).is_empty());
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let schema = json!({"type": "string", "pattern": "^(a+)+$"});
        let started = std::time::Instant::now();
        assert!(!check(&schema, &json!(format!("{}!", "a".repeat(50_000)))).is_empty());
        assert!(started.elapsed().as_millis() < 2_000);
    }
}
