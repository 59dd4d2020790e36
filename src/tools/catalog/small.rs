//! Small helpers: the calculator and the clock.

use serde_json::json;

use super::tool;
use crate::{engine::plan::ToolEffect, tools::ToolInfo};

pub(super) fn calculator() -> ToolInfo {
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

pub(super) fn current_time() -> ToolInfo {
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
