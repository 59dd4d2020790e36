//! Commands in a sandbox.

use serde_json::json;

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

pub(super) fn shell() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "command": {
                    "type": "string", "minLength": 1, "maxLength": 20_000,
                    "description": "Run by /bin/sh in the folder /work, where the run's files are."
                },
                "stdin": { "type": "string", "maxLength": 1_000_000 },
                "timeout_s": { "type": "integer", "minimum": 1, "maximum": 50, "default": 30 }
            },
            "required": ["command"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "exit_code": { "type": "integer" },
                "stdout": { "type": "string" },
                "stderr": { "type": "string" },
                "truncated": { "type": "boolean" },
                "written": { "type": "array", "items": { "type": "string" } },
                "deleted": { "type": "array", "items": { "type": "string" } },
                "left_out": { "type": "array", "items": { "type": "string" } },
                "duration_ms": { "type": "integer" }
            },
            "required": [
                "exit_code", "stdout", "stderr", "truncated", "written", "deleted", "left_out", "duration_ms"
            ]
        }),
        flow: Flow { untrusted: true, private: true, ..Flow::default() },
        set_up: Some(
            "The operator allows it with AGENTFLOW_SHELL=bubblewrap, where bubblewrap is installed.".to_owned(),
        ),
        ..tool(
            "shell",
            "Run a command",
            ToolEffect::Write,
            60,
            "Runs a shell command in a sandbox without network: it sees the run's files in /work and the programs of \
             the machine, and nothing else. Files that it leaves in /work become files of the run.",
        )
    }
}
