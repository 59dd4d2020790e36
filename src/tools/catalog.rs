//! The tools that are built in. Data only: a description here, the deed in the file of the same subject.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::ToolInfo;
use crate::engine::plan::{Flow, MESSAGE_ASK, MESSAGE_REPLY, MESSAGE_SEND, MESSAGES_READ, ToolEffect};

static CATALOG: LazyLock<Vec<ToolInfo>> = LazyLock::new(|| {
    vec![
        calculator(),
        current_time(),
        http_request(),
        email_send(),
        context_get(),
        context_set(),
        ask_human(),
        message_send(),
        message_ask(),
        message_reply(),
        messages_read(),
    ]
});

/// All tools that are built in.
#[must_use]
pub fn catalog() -> &'static [ToolInfo] {
    &CATALOG
}

/// The tool of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ToolInfo> {
    CATALOG.iter().find(|tool| tool.name == name)
}

fn tool(name: &str, title: &str, effect: ToolEffect, timeout_s: u64, description: &str) -> ToolInfo {
    ToolInfo {
        name: name.to_owned(),
        title: title.to_owned(),
        description: description.to_owned(),
        effect,
        flow: Flow::default(),
        parameters: Value::Null,
        output: Value::Null,
        timeout_s,
        repeatable: false,
    }
}

fn calculator() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string", "minLength": 1, "maxLength": 1000,
                    "description": "Such as (1200 - 1.5) * 19% or sqrt(2) ^ 3."
                }
            },
            "required": ["expression"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": { "expression": { "type": "string" }, "result": { "type": "number" } },
            "required": ["expression", "result"]
        }),
        repeatable: true,
        ..tool(
            "calculator",
            "Calculator",
            ToolEffect::Read,
            5,
            "Works out an arithmetic expression: + - * / % ^, brackets, and the functions abs, ceil, floor, round, \
             sqrt, ln, log, exp, min, max, sum, avg. Use it for every calculation instead of working it out yourself.",
        )
    }
}

fn current_time() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "offset_minutes": {
                    "type": "integer", "minimum": -840, "maximum": 840,
                    "description": "Minutes east of UTC, such as 120 for Central European Summer Time. Left out: UTC."
                }
            },
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "now": { "type": "string", "format": "date-time" },
                "date": { "type": "string" },
                "time": { "type": "string" },
                "weekday": { "type": "string" },
                "unix": { "type": "integer" }
            },
            "required": ["now", "date", "time", "weekday", "unix"]
        }),
        ..tool("current_time", "Current time", ToolEffect::Read, 5, "Tells the date, the time and the day of the week.")
    }
}

fn http_request() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "url": { "type": "string", "minLength": 1, "maxLength": 4000, "description": "http:// or https://" },
                "method": {
                    "type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], "default": "GET"
                },
                "headers": {
                    "type": "object", "maxProperties": 30,
                    "additionalProperties": { "type": "string", "maxLength": 4000 },
                    "description": "Headers of the request, such as Accept or Authorization."
                },
                "query": {
                    "type": "object", "maxProperties": 50,
                    "additionalProperties": { "type": ["string", "number", "boolean"] },
                    "description": "Parameters to add to the address."
                },
                "body": { "description": "What to send: text as it is, anything else as JSON." },
                "accept_errors": {
                    "type": "boolean", "default": false,
                    "description": "Whether an answer with a status of 400 or more is a result and not a failure."
                }
            },
            "required": ["url"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "status": { "type": "integer" },
                "ok": { "type": "boolean" },
                "url": { "type": "string" },
                "headers": { "type": "object" },
                "body": {},
                "bytes": { "type": "integer" },
                "duration_ms": { "type": "integer" }
            },
            "required": ["status", "ok", "url", "headers", "body", "bytes", "duration_ms"]
        }),
        flow: Flow { untrusted: true, outbound: true, ..Flow::default() },
        ..tool(
            "http_request",
            "HTTP request",
            ToolEffect::Write,
            30,
            "Calls a public web address and returns the status, the headers and the body (JSON already read). Private \
             and internal addresses cannot be called.",
        )
    }
}

fn email_send() -> ToolInfo {
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

fn scope() -> Value {
    json!({
        "type": "string", "enum": ["run", "organization"], "default": "run",
        "description": "Whether the value belongs to this run or to all runs of the organization."
    })
}

fn context_get() -> ToolInfo {
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
        flow: Flow { private: true, ..Flow::default() },
        ..tool(
            "context_get",
            "Read shared context",
            ToolEffect::Read,
            10,
            "Reads a value that this run, or another run of the organization, has stored under a key.",
        )
    }
}

fn context_set() -> ToolInfo {
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

fn ask_human() -> ToolInfo {
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

fn message_send() -> ToolInfo {
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

fn message_ask() -> ToolInfo {
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

fn message_reply() -> ToolInfo {
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

fn messages_read() -> ToolInfo {
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

#[cfg(test)]
mod tests {
    use super::{catalog, find};

    #[test]
    fn every_tool_says_what_it_takes_and_refuses_what_it_does_not_know() {
        for tool in catalog() {
            assert_eq!(tool.parameters["additionalProperties"], false, "{}", tool.name);
            assert!(tool.description.len() > 30 && !tool.title.is_empty(), "{}", tool.name);
            assert!(tool.timeout_s > 0 && tool.timeout_s <= 60);
            assert_eq!(find(&tool.name), Some(tool));
        }
        assert_eq!(find("shell"), None);
    }
}
