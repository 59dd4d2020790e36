//! The tool calculator.

use serde_json::{Value, json};

use super::{
    arithmetic,
    deed::{deeds, output, text},
    registry::ToolContext,
};
use crate::engine::{
    port::Answer,
    state::{ErrorClass, StepError},
};

deeds! {
    Calculator = "calculator" => calculate;
}

async fn calculate(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let expression = text(arguments, "expression");
    let result = arithmetic::evaluate(expression)
        .map_err(|message| StepError::new(ErrorClass::BadInput, "calculator.expression", message))?;
    // A whole number is written as one.
    let whole = result.fract() == 0.0 && result.abs() < 9e15;
    let result = if whole { json!(result as i64) } else { json!(result) };
    Ok(output(json!({ "expression": expression, "result": result })))
}
