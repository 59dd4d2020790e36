//! Mail.

use serde_json::json;

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

pub(super) fn email_send() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "to": {
                    "description": "One address or a list of up to 20.",
                    "anyOf": [
                        { "type": "string", "format": "email", "maxLength": 254 },
                        {
                            "type": "array", "minItems": 1, "maxItems": 20,
                            "items": { "type": "string", "format": "email", "maxLength": 254 }
                        }
                    ]
                },
                "subject": { "type": "string", "minLength": 1, "maxLength": 250 },
                "body": { "type": "string", "minLength": 1, "maxLength": 100_000, "description": "Plain text." }
            },
            "required": ["to", "subject", "body"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "delivery": { "type": "string", "enum": ["sent", "outbox", "unknown"] },
                "to": { "type": "array", "items": { "type": "string" } },
                "repeated": { "type": "boolean" }
            },
            "required": ["id", "delivery", "to", "repeated"]
        }),
        flow: Flow { outbound: true, ..Flow::default() },
        ..tool(
            "email_send",
            "Send an e-mail",
            ToolEffect::Write,
            60,
            "Sends an e-mail in plain text. Without a mail server it is kept in the local outbox instead of being sent.",
        )
    }
}
