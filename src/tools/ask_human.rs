//! The tool ask_human: the engine opens the question.

use serde_json::Value;

use super::{
    deed::{deeds, text},
    registry::ToolContext,
};
use crate::engine::{port::Answer, state::StepError};

deeds! {
    AskHuman = "ask_human" => ask_human;
}

async fn ask_human(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    Ok(Answer::AskHuman { question: text(arguments, "question").to_owned() })
}
