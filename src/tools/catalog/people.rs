//! Asking people, and talking with other agents of the run.

use serde_json::{Value, json};

use super::tool;
use crate::{
    engine::plan::{MESSAGE_ASK, MESSAGE_REPLY, MESSAGE_SEND, MESSAGES_READ, ToolEffect},
    tools::ToolInfo,
};

pub(super) fn ask_human() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "question": { "type": "string", "minLength": 1, "maxLength": 2000, "description": "One clear question." }
            },
            "required": ["question"],
            "additionalProperties": false
        }),
        output: json!({ "type": "string" }),
        ..tool(
            "ask_human",
            "Ask a person",
            ToolEffect::Read,
            10,
            "Asks a person of the organization a question and waits for the answer. Use it when something is missing \
             that only a person can know or decide.",
        )
    }
}

/// What an agent says to another one in the same run.
fn message(what: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 32_768, "description": what })
}

pub(super) fn message_send() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "to": { "type": "string", "description": "The key of an agent's step in this run, or “all”." },
                "text": message("What is said.")
            },
            "required": ["to", "text"],
            "additionalProperties": false
        }),
        output: json!({ "type": "object", "properties": { "id": {}, "to": {} } }),
        ..tool(
            MESSAGE_SEND,
            "Send a message to an agent",
            ToolEffect::Read,
            5,
            "Sends a message to another agent of this run, or to all of them. It reads it before its next turn.",
        )
    }
}

pub(super) fn message_ask() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "to": { "type": "string", "description": "The key of an agent's step in this run." },
                "question": message("One clear question."),
                "timeout_s": {
                    "type": "integer", "minimum": 1, "maximum": 86_400,
                    "description": "Seconds to wait for the answer. Left out: 300."
                }
            },
            "required": ["to", "question"],
            "additionalProperties": false
        }),
        output: json!({ "type": "object", "properties": { "from": {}, "text": {} } }),
        ..tool(
            MESSAGE_ASK,
            "Ask an agent",
            ToolEffect::Read,
            5,
            "Asks another agent of this run a question and waits for its answer.",
        )
    }
}

pub(super) fn message_reply() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": { "id": message("The question's id."), "text": message("The answer.") },
            "required": ["id", "text"],
            "additionalProperties": false
        }),
        output: json!({ "type": "object", "properties": { "to": {} } }),
        ..tool(
            MESSAGE_REPLY,
            "Answer an agent",
            ToolEffect::Read,
            5,
            "Answers a question that another agent of this run has asked.",
        )
    }
}

pub(super) fn messages_read() -> ToolInfo {
    ToolInfo {
        parameters: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        output: json!({ "type": "object", "properties": { "messages": { "type": "array" } } }),
        ..tool(
            MESSAGES_READ,
            "Read messages",
            ToolEffect::Read,
            5,
            "Reads what other agents of this run have said or asked and was not read yet, the oldest first.",
        )
    }
}
