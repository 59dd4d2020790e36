//! The sandbox model: rules instead of a language model, for trying everything without a key. The same input always
//! gives the same answer. It writes out of what it was given and nothing else, knows no facts, and says what it is.
//!
//! It reads instructions in the user's messages alone: what a tool returns is data to it, whatever it says.

mod fill;
mod material;
mod verdict;
mod wishes;
mod words;
mod write;

use std::time::Duration;

use serde_json::Value;

use super::{SANDBOX, registry::OnText};
use crate::engine::{
    journal::Usage,
    port::{Message, ModelAnswer, ModelCall},
};

use material::Material;

/// The longest that a whole answer is slowed down for being watched.
const LONGEST_SHOW: Duration = Duration::from_millis(2_500);

/// The sandbox model.
pub(super) struct Sandbox {
    pause: Duration,
}

impl Sandbox {
    pub fn new(pause: Duration) -> Self {
        Self { pause }
    }

    pub async fn call(&self, call: &ModelCall, on_text: OnText<'_>) -> ModelAnswer {
        let mut answer = think(call);
        if answer.tool_calls.is_empty() {
            self.show(&answer.text, on_text).await;
        }
        answer.usage = Usage { tokens_in: tokens_in(call), tokens_out: tokens_out(&answer), ..Usage::default() };
        answer
    }

    /// Lets the text appear word by word.
    async fn show(&self, text: &str, on_text: OnText<'_>) {
        let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
        // A long text appears in larger pieces instead of taking long.
        let most = LONGEST_SHOW.as_millis().checked_div(self.pause.as_millis()).unwrap_or(u128::MAX).max(1);
        let piece = words.len().div_ceil(usize::try_from(most).unwrap_or(usize::MAX)).max(1);
        for piece in words.chunks(piece) {
            on_text(piece.concat());
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
    }
}

/// The answer, without its counts: the tools that are wanted and still missing, else the text.
fn think(call: &ModelCall) -> ModelAnswer {
    let material = Material::read(call);
    let mut answer = ModelAnswer {
        text: String::new(),
        tool_calls: wishes::next(call, &material),
        model: SANDBOX.to_owned(),
        usage: Usage::default(),
        fault: None,
        stop_reason: "stop".to_owned(),
        provider_request_id: None,
        ..ModelAnswer::default()
    };
    if !answer.tool_calls.is_empty() {
        answer.stop_reason = "tool_calls".to_owned();
    } else if call.output_schema.is_object() {
        answer.text = fill::value(&call.output_schema, &material).to_string();
    } else {
        answer.text = write::answer(&material);
    }
    answer
}

/// How tokens are counted: one for each four characters begun, as is usual for English text.
fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

fn tokens_in(call: &ModelCall) -> u64 {
    let said: u64 = call
        .messages
        .iter()
        .map(|message| match message {
            Message::User { text } => tokens(text),
            Message::Assistant { text, tool_calls } => {
                tokens(text) + tool_calls.iter().map(|one| tokens(&one.arguments.to_string())).sum::<u64>()
            }
            Message::Tool { output, .. } => tokens(&output.to_string()),
        })
        .sum();
    let offered: u64 = call
        .tools
        .iter()
        .map(|tool| tokens(&tool.name) + tokens(&tool.description) + tokens(&tool.parameters.to_string()))
        .sum();
    let schema = if call.output_schema == Value::Null { 0 } else { tokens(&call.output_schema.to_string()) };
    tokens(&call.system) + said + offered + schema
}

fn tokens_out(answer: &ModelAnswer) -> u64 {
    let calls = answer.tool_calls.iter().map(|one| tokens(&one.tool) + tokens(&one.arguments.to_string())).sum::<u64>();
    tokens(&answer.text) + calls
}

#[cfg(test)]
mod tests;
