//! The files of a run. They change nothing outside of the run, and go with it.

use serde_json::{Value, json};

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

fn path() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 200,
        "description": "Such as report.md or data/orders.csv."
    })
}

/// What a file is, besides what is in it.
fn file(more: &[(&str, Value)]) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "path": { "type": "string" },
            "size": { "type": "integer" },
            "media_type": { "type": "string" }
        }
    });
    for (name, field) in more {
        schema["properties"][*name] = field.clone();
    }
    schema["required"] =
        schema["properties"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    schema
}

pub(super) fn file_write() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "path": path(),
                "content": { "type": "string", "maxLength": 1_400_000 },
                "encoding": {
                    "type": "string", "enum": ["utf-8", "base64"], "default": "utf-8",
                    "description": "base64 for what is no text."
                },
                "append": {
                    "type": "boolean", "default": false,
                    "description": "Whether it is added to what is in the file already."
                }
            },
            "required": ["path", "content"],
            "additionalProperties": false
        }),
        output: file(&[("repeated", json!({ "type": "boolean" }))]),
        ..tool(
            "file_write",
            "Write a file",
            ToolEffect::Read,
            15,
            "Writes a file of this run, which later steps can read and people can download. At most 1 MiB a file, and \
             100 files and 10 MiB a run.",
        )
    }
}

pub(super) fn file_read() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "path": path(),
                "offset": { "type": "integer", "minimum": 0, "default": 0, "description": "The byte to begin at." },
                "limit": {
                    "type": "integer", "minimum": 4, "maximum": 262_144, "default": 65_536,
                    "description": "The most bytes to read."
                }
            },
            "required": ["path"],
            "additionalProperties": false
        }),
        output: file(&[
            ("content", json!({ "type": "string" })),
            ("encoding", json!({ "type": "string", "enum": ["utf-8", "base64"] })),
            ("next_offset", json!({ "type": ["integer", "null"] })),
        ]),
        flow: Flow { untrusted: true, private: true, ..Flow::default() },
        ..tool(
            "file_read",
            "Read a file",
            ToolEffect::Read,
            15,
            "Reads a file of this run, or a part of it. next_offset says where to go on, and is null at the end.",
        )
    }
}

pub(super) fn file_list() -> ToolInfo {
    ToolInfo {
        parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        output: json!({
            "type": "object",
            "properties": {
                "files": { "type": "array", "items": file(&[("updated_at", json!({ "type": "string" }))]) },
                "bytes": { "type": "integer" }
            },
            "required": ["files", "bytes"]
        }),
        flow: Flow { private: true, ..Flow::default() },
        ..tool(
            "file_list",
            "List files",
            ToolEffect::Read,
            15,
            "Lists the files of this run with their sizes and kinds.",
        )
    }
}

pub(super) fn file_delete() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": { "path": path() },
            "required": ["path"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": { "deleted": { "type": "boolean" } },
            "required": ["deleted"]
        }),
        ..tool("file_delete", "Delete a file", ToolEffect::Read, 15, "Takes a file of this run away, if it is there.")
    }
}
