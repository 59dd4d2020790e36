//! What goes out to the net.

use serde_json::json;

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

pub(super) fn http_request() -> ToolInfo {
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

pub(super) fn web_search() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "query": { "type": "string", "minLength": 1, "maxLength": 400 },
                "count": { "type": "integer", "minimum": 1, "maximum": 20, "default": 10 },
                "language": {
                    "type": "string", "pattern": "^[a-z]{2}$",
                    "description": "The language of the results, such as en or de."
                }
            },
            "required": ["query"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "results": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "title": { "type": "string" },
                            "url": { "type": "string" },
                            "snippet": { "type": "string" }
                        },
                        "required": ["title", "url", "snippet"]
                    }
                }
            },
            "required": ["results"]
        }),
        flow: Flow { untrusted: true, outbound: true, ..Flow::default() },
        set_up: Some(
            "The operator names a search service: AGENTFLOW_SEARCH_URL for a SearXNG server, or AGENTFLOW_BRAVE_API_KEY."
                .to_owned(),
        ),
        ..tool(
            "web_search",
            "Search the web",
            ToolEffect::Read,
            30,
            "Searches the web and returns titles, addresses and a few words of each result. Read a page itself with \
             http_request.",
        )
    }
}
