//! The shared context.

use serde_json::{Value, json};

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

fn scope() -> Value {
    json!({
        "type": "string", "enum": ["run", "organization"], "default": "run",
        "description": "Whether the value belongs to this run or to all runs of the organization."
    })
}

pub(super) fn context_get() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "key": { "type": "string", "minLength": 1, "maxLength": 200 },
                "scope": scope()
            },
            "required": ["key"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": { "found": { "type": "boolean" }, "value": {}, "version": { "type": "integer" } },
            "required": ["found", "value", "version"]
        }),
        // Another run may have put there what it had read outside.
        flow: Flow { untrusted: true, private: true, ..Flow::default() },
        ..tool(
            "context_get",
            "Read shared context",
            ToolEffect::Read,
            10,
            "Reads a value that this run, or another run of the organization, has stored under a key.",
        )
    }
}

pub(super) fn context_set() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "key": { "type": "string", "minLength": 1, "maxLength": 200 },
                "value": { "description": "Any JSON value, up to 256 KiB; null takes the key away." },
                "scope": scope(),
                "expires_s": {
                    "type": "integer", "minimum": 1, "maximum": 31_536_000,
                    "description": "Seconds until the value is forgotten. Left out: never."
                },
                "if_version": {
                    "type": "integer", "minimum": 0,
                    "description": "Store only if the version is still this one; 0 means that the key is not there yet."
                }
            },
            "required": ["key", "value"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": { "stored": { "type": "boolean" }, "version": { "type": "integer" }, "value": {} },
            "required": ["stored", "version", "value"]
        }),
        ..tool(
            "context_set",
            "Write shared context",
            // It stays inside of the organization, but other runs act on what is written.
            ToolEffect::Write,
            10,
            "Stores a value under a key for later steps, or for other runs of the organization. Not stored when \
             if_version no longer holds; the answer has the value that is there.",
        )
    }
}
