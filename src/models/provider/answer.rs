//! An answer in our words.

use genai::{
    adapter::AdapterKind,
    chat::{ContentPart, StopReason, StreamEnd, ToolCall},
};
use serde_json::{Value, json};

use super::{MAX_CALLS, faults};
use crate::{
    engine::{
        journal::Usage,
        port::{ModelAnswer, TokenKinds, ToolRequest},
        state::StepError,
    },
    kernel::Money,
    models::{
        ModelId,
        prices::{Prices, Tokens},
    },
};

/// The most bytes of a tool's name and of a call's.
const MAX_NAME: usize = 1_000;

/// Whether an answer ended because it was as long as it may be.
pub fn was_cut(stop_reason: &str) -> bool {
    stop_reason == "budget_exceeded" || matches!(StopReason::from(stop_reason.to_owned()), StopReason::MaxTokens(_))
}

/// Whether it is a block of Anthropic's reasoning, which goes back as it came.
pub(super) fn is_thinking(block: &Value) -> bool {
    matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
}

pub(super) fn of(
    id: &ModelId,
    label: &str,
    kind: AdapterKind,
    text: String,
    end: StreamEnd,
    request_id: Option<String>,
    prices: &Prices,
) -> Result<ModelAnswer, StepError> {
    let (usage, tokens) = used(prices, id, end.captured_usage.as_ref());
    let reason = end.captured_stop_reason.clone();
    let stop_reason = reason.as_ref().map(|reason| reason.raw().to_owned()).unwrap_or_default();
    let provider_request_id = end.captured_response_id.clone().or(request_id);
    let thoughts = if kind == AdapterKind::Anthropic { thoughts(&end) } else { Vec::new() };
    let calls = end.captured_into_tool_calls().unwrap_or_default();
    let cut = matches!(reason, Some(StopReason::MaxTokens(_)));
    let mut fault = None;
    let is_named = |call: &ToolCall| call.fn_name.len() <= MAX_NAME && call.call_id.len() <= MAX_NAME;
    // Arguments that are not JSON are what came until then.
    if cut && calls.iter().any(|call| call.fn_arguments.is_string()) {
        fault = Some("Your answer was cut off by its length limit in the middle of a tool call. Be shorter.");
    } else if calls.len() > MAX_CALLS {
        fault = Some("Your answer asked for far too many tool calls at once.");
    } else if !calls.iter().all(is_named) {
        fault = Some("Your answer asked for a tool by a name that is far too long.");
    } else if text.trim().is_empty() && calls.is_empty() {
        fault = match reason {
            Some(StopReason::ContentFilter(reason)) => return Err(faults::filtered(label, &reason)),
            Some(StopReason::MaxTokens(_)) => {
                Some("Your answer was cut off by its length limit before it said anything. Be shorter.")
            }
            Some(StopReason::Other(_)) => Some("Your answer was empty."),
            _ => None,
        };
    }
    let mut tool_calls: Vec<ToolRequest> = Vec::new();
    if fault.is_none() {
        tool_calls = calls.into_iter().map(|call| as_ours(kind, call)).collect();
        if let Some(first) = tool_calls.first_mut() {
            first.signatures.extend(thoughts);
        }
    }
    Ok(ModelAnswer {
        text,
        tool_calls,
        model: id.to_string(),
        usage,
        tokens,
        fault: fault.map(str::to_owned),
        stop_reason,
        provider_request_id,
        ..ModelAnswer::default()
    })
}

/// The blocks of reasoning before an answer, each as the text that it goes back as.
fn thoughts(end: &StreamEnd) -> Vec<String> {
    let parts = end.captured_content.as_ref().map(|content| content.parts().as_slice()).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut signature = None;
    for part in parts {
        match part {
            ContentPart::ThoughtSignature(text) => signature = Some(text),
            ContentPart::ReasoningContent(thinking) => {
                let signed = signature.take();
                blocks.extend(signed.map(|signature| {
                    json!({ "type": "thinking", "thinking": thinking, "signature": signature }).to_string()
                }));
            }
            ContentPart::Custom(part) if is_thinking(&part.data) => blocks.push(part.data.to_string()),
            _ => {}
        }
    }
    blocks
}

fn as_ours(kind: AdapterKind, call: ToolCall) -> ToolRequest {
    // A tool without arguments: some providers send nothing at all.
    let arguments = match call.fn_arguments {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        other => other,
    };
    // Anthropic's are in its blocks of reasoning already.
    let signatures = call.thought_signatures.filter(|_| kind != AdapterKind::Anthropic).unwrap_or_default();
    ToolRequest { id: call.call_id, tool: call.fn_name, arguments, signatures }
}

fn used(prices: &Prices, id: &ModelId, usage: Option<&genai::chat::Usage>) -> (Usage, TokenKinds) {
    let count = |number: Option<i32>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    let (input, output) =
        (count(usage.and_then(|one| one.prompt_tokens)), count(usage.and_then(|one| one.completion_tokens)));
    let details = usage.and_then(|one| one.prompt_tokens_details.as_ref());
    let cached = count(details.and_then(|one| one.cached_tokens)).min(input);
    let cache_write = count(details.and_then(|one| one.cache_creation_tokens)).min(input - cached);
    let written = usage.and_then(|one| one.completion_tokens_details.as_ref());
    let reasoning = count(written.and_then(|one| one.reasoning_tokens)).min(output);
    if usage.is_none() {
        tracing::warn!(model = %id, "the provider told no token counts");
    }
    let tokens = Tokens { input: input - cached - cache_write, cached, cache_write, output };
    let cost = prices.of(&id.to_string()).map_or(Money::ZERO, |priced| priced.row.cost(tokens));
    (Usage { tokens_in: input, tokens_out: output, cost }, TokenKinds { cached, cache_write, reasoning })
}

#[cfg(test)]
mod tests {
    use genai::chat::MessageContent;

    use super::*;

    fn answer(reason: &str, text: &str, arguments: Option<Value>) -> Result<ModelAnswer, StepError> {
        let calls = arguments.map(|fn_arguments| ToolCall {
            call_id: "1".to_owned(),
            fn_name: "calculator".to_owned(),
            fn_arguments,
            thought_signatures: None,
        });
        let end = StreamEnd {
            captured_stop_reason: Some(StopReason::from(reason.to_owned())),
            captured_content: calls.map(|call| MessageContent::from_tool_calls(vec![call])),
            ..StreamEnd::default()
        };
        of(
            &ModelId::parse("openai/gpt-5").unwrap(),
            "OpenAI",
            AdapterKind::OpenAI,
            text.to_owned(),
            end,
            None,
            &Prices::default(),
        )
    }

    #[test]
    fn an_answer_that_was_cut_in_a_tool_call_is_not_good() {
        let cut = answer("length", "", Some(json!("{\"expression\": \"1"))).unwrap();
        assert!(cut.fault.is_some_and(|fault| fault.contains("length limit")) && cut.tool_calls.is_empty());
        let empty = answer("max_tokens", "", Some(json!(""))).unwrap();
        assert!(empty.fault.is_some() && empty.tool_calls.is_empty(), "nothing came of its arguments");
        let whole = answer("length", "", Some(json!({ "expression": "1" }))).unwrap();
        assert!(whole.fault.is_none() && whole.tool_calls.len() == 1);
        let none = answer("tool_calls", "", Some(json!(""))).unwrap();
        assert_eq!((none.fault, none.tool_calls[0].arguments.clone()), (None, json!({})));
    }

    #[test]
    fn an_answer_without_a_word_says_why() {
        assert!(answer("MAX_TOKENS", " ", None).unwrap().fault.is_some());
        assert!(answer("MALFORMED_FUNCTION_CALL", "", None).unwrap().fault.is_some());
        assert_eq!(answer("SAFETY", "", None).unwrap_err().code, "model.filtered");
        assert_eq!(answer("stop", "", None).unwrap().fault, None);
        assert_eq!(answer("length", "Half a", None).unwrap().fault, None);
        assert!(was_cut("length") && was_cut("max_tokens") && was_cut("MAX_TOKENS") && !was_cut("stop"));
    }
}
