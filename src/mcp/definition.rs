//! What a server says of a tool, taken over: checked, bounded, without letters that nobody sees, and with the hash that it
//! is pinned by.

use rmcp::model::Tool;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Definition;
use crate::{
    guardrails::outside::visible,
    kernel::text::{has_nul, shortened},
    schema,
    tools::http_request::clean,
};

/// The most characters of a description.
const MAX_DESCRIPTION: usize = 4_000;
/// The most characters of a tool's name, for the server and for models.
pub(super) const MAX_NAME: usize = 64;

/// A tool as a server lists it: its name, and what is kept of it. The error is a sentence that names it.
pub(super) fn read(tool: Tool) -> Result<(String, Definition), String> {
    let name = tool.name.into_owned();
    let shown = shortened(&visible(&name), MAX_NAME);
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !is_name {
        return Err(format!("“{shown}” is no name of a tool."));
    }
    let description = visible(&tool.description.unwrap_or_default()).into_owned();
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(format!("{shown}: its description has more than 4,000 characters."));
    }
    let mut input = Value::Object(tool.input_schema.as_ref().clone());
    let mut output = tool.output_schema.map_or(Value::Null, |schema| Value::Object(schema.as_ref().clone()));
    for schema in [&mut input, &mut output] {
        if schema.is_null() {
            continue;
        }
        schema::check_schema(schema).map_err(|problem| format!("{shown}: {problem}"))?;
        if has_nul(schema) {
            return Err(format!("{shown}: its schema contains the character U+0000."));
        }
        clean(schema);
    }
    if input["type"] != "object" {
        return Err(format!("{shown}: its arguments are no object."));
    }
    let mut annotations = Map::new();
    let mut title = tool.title.unwrap_or_default();
    if let Some(claimed) = tool.annotations {
        let claims = [
            ("readOnlyHint", claimed.read_only_hint),
            ("destructiveHint", claimed.destructive_hint),
            ("idempotentHint", claimed.idempotent_hint),
            ("openWorldHint", claimed.open_world_hint),
        ];
        annotations.extend(claims.into_iter().filter_map(|(name, claim)| Some((name.to_owned(), json!(claim?)))));
        if title.is_empty() {
            title = claimed.title.unwrap_or_default();
        }
    }
    let title = shortened(visible(&title).trim(), 100);
    let definition = Definition { title, description, input, output, annotations: Value::Object(annotations) };
    Ok((name, definition))
}

/// SHA-256 of a definition's canonical form (the fields of all objects in order), in hex.
pub(super) fn hash(definition: &Definition) -> String {
    let value = serde_json::to_value(definition).unwrap_or_default();
    let mut text = String::new();
    write_canonical(&value, &mut text);
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (place, (name, field)) in fields.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_canonical(field, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tool(value: Value) -> Result<(String, Definition), String> {
        read(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_definition_is_taken_over_without_what_nobody_sees() {
        let (name, definition) = tool(json!({
            "name": "echo",
            "description": "Says it\u{200b} again.\u{e0041}",
            "inputSchema": { "type": "object", "properties": { "message": { "type": "string", "description": "a\u{202e}b" } } },
            "annotations": { "title": "Echo", "readOnlyHint": true },
            "_meta": { "anything": 1 }
        }))
        .unwrap();
        assert_eq!((name.as_str(), definition.title.as_str()), ("echo", "Echo"));
        assert_eq!(definition.description, "Says it again.");
        assert_eq!(definition.input["properties"]["message"]["description"], "ab");
        assert_eq!(definition.claimed_effect(), crate::engine::plan::ToolEffect::Read);
    }

    #[test]
    fn what_is_too_large_or_no_tool_is_refused() {
        let object = json!({ "type": "object" });
        let deep = (0..200).fold(json!({}), |inner, _| json!({ "not": inner }));
        let large = json!({ "type": "object", "description": "x".repeat(100_000) });
        for (name, description, schema) in [
            ("", "", object.clone()),
            ("a b", "", object.clone()),
            ("ä", "", object.clone()),
            (&"x".repeat(65), "", object.clone()),
            ("x", &"y".repeat(4_001), object),
            ("x", "", json!({ "type": "string" })),
            ("x", "", json!({ "type": "object", "properties": { "a": { "$ref": "http://127.0.0.1/x" } } })),
            ("x", "", json!({ "type": "object", "properties": { "a": deep } })),
            ("x", "", large),
        ] {
            let said = tool(json!({ "name": name, "description": description, "inputSchema": schema }));
            assert!(said.is_err(), "{name} {}", shortened(&schema.to_string(), 60));
        }
    }

    #[test]
    fn the_hash_hangs_on_all_that_is_seen_and_not_on_the_order_of_fields() {
        let one = Definition { input: json!({ "a": 1, "b": { "c": [1, 2], "d": null } }), ..Definition::default() };
        let again =
            Definition { input: serde_json::from_str(r#"{"b":{"d":null,"c":[1,2]},"a":1}"#).unwrap(), ..one.clone() };
        assert_eq!(hash(&one), hash(&again));
        for other in [
            Definition { title: "x".into(), ..one.clone() },
            Definition { description: "x".into(), ..one.clone() },
            Definition { input: json!({ "a": 1, "b": { "c": [2, 1], "d": null } }), ..one.clone() },
            Definition { output: json!({}), ..one.clone() },
            Definition { annotations: json!({ "readOnlyHint": true }), ..one.clone() },
        ] {
            assert_ne!(hash(&one), hash(&other));
        }
    }

    proptest! {
        /// Two definitions with one hash are one definition.
        #[test]
        fn different_texts_have_different_hashes(a in ".{0,20}", b in ".{0,20}") {
            let of = |text: &str| hash(&Definition { description: text.to_owned(), ..Definition::default() });
            prop_assert_eq!(a == b, of(&a) == of(&b));
        }
    }
}
