//! JSON, text, tables and web pages: made smaller, or brought into another form. All of it is worked out here.

use serde_json::json;

use super::tool;
use crate::{engine::plan::ToolEffect, tools::ToolInfo};

pub(super) fn json_query() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "value": { "description": "Any JSON value. A text that is JSON can be read with JSON.parse(input)." },
                "expression": {
                    "type": "string", "minLength": 1, "maxLength": 10_000,
                    "description": "One JavaScript expression in which the value is called input, such as \
                                    input.items.filter(item => item.price > 10).map(item => item.name)."
                }
            },
            "required": ["value", "expression"],
            "additionalProperties": false
        }),
        output: json!({ "type": "object", "properties": { "result": {} }, "required": ["result"] }),
        repeatable: true,
        ..tool(
            "json_query",
            "Query JSON",
            ToolEffect::Read,
            15,
            "Picks out, filters, sorts, counts, groups or reshapes JSON with a JavaScript expression, and returns its \
             value. Nothing outside of the value can be reached.",
        )
    }
}

pub(super) fn text_extract() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "text": { "type": "string", "maxLength": 250_000 },
                "pattern": {
                    "type": "string", "minLength": 1, "maxLength": 1_000,
                    "description": "A regular expression without look-around and back-references, such as \
                                    (?i)order\\s+#(?P<number>\\d+)."
                },
                "limit": {
                    "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100,
                    "description": "The most matches to return."
                }
            },
            "required": ["text", "pattern"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "matches": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": { "type": "string" },
                            "groups": { "type": "array", "items": { "type": ["string", "null"] } },
                            "named": { "type": "object" }
                        },
                        "required": ["text", "groups", "named"]
                    }
                },
                "count": { "type": "integer" },
                "truncated": { "type": "boolean" }
            },
            "required": ["matches", "count", "truncated"]
        }),
        repeatable: true,
        ..tool(
            "text_extract",
            "Extract from text",
            ToolEffect::Read,
            15,
            "Finds all places in a text that match a regular expression, with the groups of each: numbers, dates, \
             addresses, identifiers.",
        )
    }
}

fn delimiter() -> serde_json::Value {
    json!({ "type": "string", "enum": [",", ";", "\t", "|"], "default": ",", "description": "What stands between cells." })
}

pub(super) fn csv_parse() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "text": { "type": "string", "maxLength": 1_000_000 },
                "delimiter": delimiter(),
                "header": {
                    "type": "boolean", "default": true,
                    "description": "Whether the first line has the names of the columns."
                },
                "limit": {
                    "type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000,
                    "description": "The most rows to return."
                }
            },
            "required": ["text"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "columns": { "type": "array", "items": { "type": "string" } },
                "rows": { "type": "array", "items": { "type": ["object", "array"] } },
                "count": { "type": "integer" },
                "truncated": { "type": "boolean" }
            },
            "required": ["columns", "rows", "count", "truncated"]
        }),
        repeatable: true,
        ..tool(
            "csv_parse",
            "Read CSV",
            ToolEffect::Read,
            15,
            "Reads a table in CSV. With a header each row is an object by column, otherwise a list; all cells are texts.",
        )
    }
}

pub(super) fn csv_format() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "rows": {
                    "type": "array", "maxItems": 10_000, "items": { "type": ["object", "array"] },
                    "description": "Objects by column, or lists of cells."
                },
                "columns": {
                    "type": "array", "maxItems": 500, "items": { "type": "string", "maxLength": 500 },
                    "description": "Which columns, in which order, written as the first line. Left out: those of the objects."
                },
                "delimiter": delimiter()
            },
            "required": ["rows"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": { "text": { "type": "string" }, "rows": { "type": "integer" } },
            "required": ["text", "rows"]
        }),
        repeatable: true,
        ..tool(
            "csv_format",
            "Write CSV",
            ToolEffect::Read,
            15,
            "Writes rows as a table in CSV, quoted where it is needed: for a file, or for an e-mail.",
        )
    }
}

pub(super) fn html_to_text() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "html": { "type": "string", "maxLength": 1_000_000 },
                "links": {
                    "type": "boolean", "default": true, "description": "Whether the addresses of links are kept."
                },
                "max_chars": {
                    "type": "integer", "minimum": 100, "maximum": 500_000, "default": 50_000,
                    "description": "The most characters to return."
                }
            },
            "required": ["html"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "title": { "type": "string" },
                "text": { "type": "string" },
                "truncated": { "type": "boolean" }
            },
            "required": ["title", "text", "truncated"]
        }),
        repeatable: true,
        ..tool(
            "html_to_text",
            "Web page to text",
            ToolEffect::Read,
            15,
            "Turns the HTML of a web page into readable text with headings, lists and links, without scripts, styles \
             and anything that is hidden. A fifth of the tokens, mostly.",
        )
    }
}
