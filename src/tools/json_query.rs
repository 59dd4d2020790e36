//! The tool json_query: the product's one expression language on one value.

use serde_json::{Map, Value, json};

use super::{
    deed::{bad, deeds, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{plan::template, port::Answer, state::StepError},
    expressions::Work,
    kernel::Timestamp,
};

deeds! {
    JsonQuery = "json_query" => query;
}

async fn query(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let expression = text(arguments, "expression").trim();
    let written = format!("{{{{ {expression} }}}}");
    if template::whole_expression(&written) != Some(expression) {
        return Err(bad("json_query.expression", "This is not one expression: its brackets or quotes do not match."));
    }
    let mut scope = Map::new();
    scope.insert("input".to_owned(), arguments.get("value").cloned().unwrap_or_default());
    // Neither the clock nor chance has a say: the same question has the same answer, so that it may be remembered.
    let work = Work { template: Value::String(written), scope, now: Timestamp::UNIX_EPOCH, seed: 0 };
    Ok(output(json!({ "result": context.expressions.evaluate(work).await? })))
}
