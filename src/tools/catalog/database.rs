//! Other people's databases.

use serde_json::json;

use super::tool;
use crate::{
    engine::plan::{Flow, ToolEffect},
    tools::ToolInfo,
};

pub(super) fn database_query() -> ToolInfo {
    ToolInfo {
        parameters: json!({
            "type": "object",
            "properties": {
                "connection": {
                    "type": "string", "minLength": 1, "maxLength": 100,
                    "description": "The name of one of the organization's PostgreSQL credentials."
                },
                "sql": {
                    "type": "string", "minLength": 1, "maxLength": 20_000,
                    "description": "One query: select, with or values. Parameters are $1, $2 and so on; a text where \
                                    the column is no text needs a cast, such as $1::date."
                },
                "params": {
                    "type": "array", "maxItems": 50,
                    "description": "The values of $1, $2 and so on."
                },
                "max_rows": {
                    "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100,
                    "description": "The most rows to return."
                },
                "timeout_s": {
                    "type": "integer", "minimum": 1, "maximum": 20, "default": 10,
                    "description": "Seconds that the query may take."
                }
            },
            "required": ["connection", "sql"],
            "additionalProperties": false
        }),
        output: json!({
            "type": "object",
            "properties": {
                "rows": { "type": "array", "items": { "type": "object" } },
                "count": { "type": "integer" },
                "truncated": { "type": "boolean" },
                "duration_ms": { "type": "integer" }
            },
            "required": ["rows", "count", "truncated", "duration_ms"]
        }),
        flow: Flow { untrusted: true, private: true, ..Flow::default() },
        ..tool(
            "database_query",
            "Query a database",
            ToolEffect::Read,
            45,
            "Asks a PostgreSQL database a question in SQL and returns the rows. It can read and not write. Ask \
             information_schema.columns first where you do not know the tables.",
        )
    }
}
