//! Values as texts in fields. A text that reads as JSON is JSON; everything else is a text as it stands.

use serde_json::Value;

/// What a text in a field means.
///
/// # Errors
/// When it begins like JSON and is not; the error is a sentence.
pub fn read(text: &str) -> Result<Value, String> {
    let text = normal(text);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Value::Null);
    }
    match serde_json::from_str::<Value>(trimmed) {
        Ok(value) => Ok(value),
        Err(error) if is_meant_as_json(trimmed) => Err(format!(
            "This begins like JSON and cannot be read as such (line {}, column {}). Correct it, or put a text in \
             double quotes.",
            error.line(),
            error.column()
        )),
        Err(_) => Ok(Value::String(text)),
    }
}

fn is_meant_as_json(text: &str) -> bool {
    (text.starts_with('{') && !text.starts_with("{{")) || text.starts_with('[') || text.starts_with('"')
}

/// The text that means a value.
#[must_use]
pub fn write(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if read(text).as_ref() == Ok(value) => text.clone(),
        Value::Array(_) | Value::Object(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Browsers send line breaks as two characters.
#[must_use]
pub fn normal(text: &str) -> String {
    text.replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_what_it_looks_like() {
        assert_eq!(read("{{ input.a }}"), Ok(json!("{{ input.a }}")));
        assert_eq!(read(" 12 "), Ok(json!(12)));
        assert_eq!(read("{\"a\": \"{{ input.a }}\"}"), Ok(json!({ "a": "{{ input.a }}" })));
        assert_eq!(read("Dear Ana,\r\nhello"), Ok(json!("Dear Ana,\nhello")));
        assert_eq!(read("  "), Ok(Value::Null));
        assert_eq!(read("\"12\""), Ok(json!("12")));
        assert!(read("{ a: 1 }").is_err());
        assert!(read("[1, 2").is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[\\PC\n]{0,12}".prop_map(Value::from),
            "[0-9{}\"\\[]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"]{1,4}", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in value()) {
            prop_assert_eq!(read(&write(&value)), Ok(value));
        }
    }
}
