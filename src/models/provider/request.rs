//! A call in the library's words.

use std::sync::{Arc, Mutex, PoisonError};

use genai::{
    adapter::AdapterKind,
    chat::{
        ChatMessage, ChatOptions, ChatRequest, ContentPart, CustomPart, JsonSpec, MessageContent, ReasoningEffort,
        Tool, ToolCall, ToolResponse,
    },
};
use serde_json::Value;

use super::{Seen, answer::is_thinking};
use crate::{
    engine::{
        plan::Reasoning,
        port::{Message, ModelCall, ToolRequest},
    },
    models::ModelId,
};

pub(super) fn options(kind: AdapterKind, id: &ModelId, call: &ModelCall, seen: &Arc<Mutex<Seen>>) -> ChatOptions {
    let seen = Arc::clone(seen);
    let mut options = ChatOptions::default()
        .with_capture_usage(true)
        .with_capture_tool_calls(true)
        // Its reasoning has to go back together with the tool calls that came of it.
        .with_capture_reasoning_content(kind == AdapterKind::Anthropic)
        .with_raw_frame_fn(move |_, frame| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.weigh(&frame);
            seen.count(&frame);
            if (seen.id.is_none() || seen.model.is_none()) && frame.index < 4 {
                let frame = frame.json().unwrap_or_default();
                seen.id = seen.id.take().or_else(|| named(&frame, &REQUEST));
                seen.model = seen.model.take().or_else(|| named(&frame, &MODEL));
            }
            if frame.data.contains("\"response.failed\"") || frame.event == Some("error") {
                let error =
                    |frame: Value| ["/response/error", "/error"].iter().find_map(|at| frame.pointer(at).cloned());
                seen.failure = frame.json().and_then(error);
            }
            seen.is_garbled |= !frame.data.is_empty() && frame.data != "[DONE]" && !frame.data.starts_with('{');
        });
    let reasons = can_reason(id);
    let effort = call.options.reasoning.filter(|_| reasons).map(|reasoning| match reasoning {
        Reasoning::Low => ReasoningEffort::Low,
        Reasoning::Medium => ReasoningEffort::Medium,
        Reasoning::High => ReasoningEffort::High,
    });
    // A model that reasons chooses its words by itself: these two refuse to be told how.
    let is_fixed = match id.provider() {
        "anthropic" => effort.is_some(),
        "openai" => reasons,
        _ => false,
    };
    if let Some(effort) = effort {
        options = options.with_reasoning_effort(effort);
    }
    if let Some(temperature) = call.temperature.filter(|_| !is_fixed) {
        options = options.with_temperature(temperature);
    }
    // Anthropic takes one of the two.
    let is_one_too_many = id.provider() == "anthropic" && call.temperature.is_some();
    if let Some(top_p) = call.options.top_p.filter(|_| !is_fixed && !is_one_too_many) {
        options = options.with_top_p(top_p);
    }
    if let Some(most) = call.max_answer() {
        options = options.with_max_tokens(u32::try_from(most).unwrap_or(u32::MAX));
    }
    // Where a provider can be held to a schema it is; Gemini cannot while tools are on offer, and servers that resemble
    // OpenAI often cannot at all. The words in the prompt say it in any case.
    let can_be_held = match kind {
        AdapterKind::OpenAIResp | AdapterKind::Anthropic => true,
        AdapterKind::Gemini | AdapterKind::GeminiIx => call.tools.is_empty(),
        _ => false,
    };
    if can_be_held && call.output_schema.is_object() {
        options = options.with_response_format(JsonSpec::new("answer", call.output_schema.clone()));
    }
    options
}

/// Whether a model can be told how much to reason. Those that cannot refuse the whole request.
fn can_reason(id: &ModelId) -> bool {
    let begins = |names: &[&str]| names.iter().any(|name| id.name().starts_with(name));
    match id.provider() {
        "anthropic" => !begins(&["claude-2", "claude-3-5", "claude-3-haiku", "claude-3-opus", "claude-3-sonnet"]),
        "openai" => !begins(&["gpt-3", "gpt-4", "chatgpt"]),
        "gemini" => !begins(&["gemini-1", "gemini-2.0"]),
        "groq" => begins(&["openai/gpt-oss"]),
        "xai" => begins(&["grok-3-mini"]),
        // The operator knows what the server is.
        super::COMPATIBLE => true,
        _ => false,
    }
}

/// Where the first frames have the provider's name for the request.
const REQUEST: [&str; 5] = ["/id", "/message/id", "/response/id", "/responseId", "/interaction/id"];
/// Where they say which model answers.
const MODEL: [&str; 5] = ["/model", "/message/model", "/response/model", "/modelVersion", "/interaction/model"];

/// The name that stands at one of these places.
fn named(frame: &Value, places: &[&str]) -> Option<String> {
    let found = places.iter().find_map(|place| frame.pointer(place)?.as_str());
    found.filter(|name| !name.is_empty() && name.len() <= 200).map(str::to_owned)
}

pub(super) fn of(kind: AdapterKind, call: &ModelCall) -> ChatRequest {
    let mut system = call.system.clone();
    if call.output_schema.is_object() {
        system.push_str(&format!(
            "\n\nYour final answer must be one JSON value that fits this JSON Schema, and nothing else: no words around \
             it, no code fence.\n{}",
            call.output_schema,
        ));
    }
    let tools = call.tools.iter().map(|tool| {
        Tool::new(tool.name.clone()).with_description(tool.description.clone()).with_schema(tool.parameters.clone())
    });
    let mut request = ChatRequest::new(messages(kind, &call.messages)).with_tools(tools);
    if request.tools.as_ref().is_some_and(Vec::is_empty) {
        request.tools = None;
    }
    if !system.trim().is_empty() {
        request = request.with_system(system);
    }
    request
}

fn messages(kind: AdapterKind, messages: &[Message]) -> Vec<ChatMessage> {
    let mut out: Vec<ChatMessage> = Vec::new();
    let mut results: Vec<ToolResponse> = Vec::new();
    for message in messages {
        if let Message::Tool { id, tool, output, failed } = message {
            let content = if *failed { format!("ERROR: {}", as_text(output)) } else { as_text(output) };
            results.push(ToolResponse::new(id.clone(), content).with_fn_name(tool.clone()));
            continue;
        }
        // All results of a turn go back together.
        if !results.is_empty() {
            out.push(ChatMessage::tool(MessageContent::from_tool_responses(std::mem::take(&mut results))));
        }
        match message {
            Message::User { text } => out.push(ChatMessage::user(text.clone())),
            Message::Assistant { text, tool_calls } => {
                let mut content = MessageContent::from_parts(thinking(kind, tool_calls));
                if !text.is_empty() {
                    content.extend(MessageContent::from_text(text.clone()));
                }
                content.extend(MessageContent::from_tool_calls(
                    tool_calls.iter().map(|one| as_genai(kind, one)).collect(),
                ));
                out.push(ChatMessage::assistant(content));
            }
            Message::Tool { .. } => {}
        }
    }
    if !results.is_empty() {
        out.push(ChatMessage::tool(MessageContent::from_tool_responses(results)));
    }
    out
}

/// What Anthropic had thought before it asked for these tools. It is nothing to the others.
fn thinking(kind: AdapterKind, requests: &[ToolRequest]) -> Vec<ContentPart> {
    let blocks = requests.iter().flat_map(|request| &request.signatures).filter_map(|text| {
        let data = serde_json::from_str(text).ok().filter(is_thinking)?;
        Some(ContentPart::Custom(CustomPart { model_iden: None, data }))
    });
    if kind == AdapterKind::Anthropic { blocks.collect() } else { Vec::new() }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_genai(kind: AdapterKind, request: &ToolRequest) -> ToolCall {
    // Gemini's signatures are for Gemini alone: another model may have asked first.
    let is_gemini = matches!(kind, AdapterKind::Gemini | AdapterKind::GeminiIx);
    let signatures = request.signatures.iter().filter(|text| is_gemini && !text.starts_with('{')).cloned();
    let signatures: Vec<String> = signatures.collect();
    ToolCall {
        call_id: request.id.clone(),
        fn_name: request.tool.clone(),
        fn_arguments: request.arguments.clone(),
        thought_signatures: (!signatures.is_empty()).then_some(signatures),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::plan::ModelOptions;

    fn made(model: &str) -> ChatOptions {
        let call = ModelCall {
            temperature: Some(0.5),
            max_tokens: Some(900),
            options: ModelOptions {
                top_p: Some(0.9),
                max_output_tokens: Some(400),
                reasoning: Some(Reasoning::High),
                ..ModelOptions::default()
            },
            ..ModelCall::default()
        };
        options(AdapterKind::OpenAI, &ModelId::parse(model).unwrap(), &call, &Arc::default())
    }

    #[test]
    fn a_model_is_told_what_it_takes() {
        let told = |model| {
            let options = made(model);
            assert_eq!(options.max_tokens, Some(400), "the lower bound holds");
            (options.temperature.is_some(), options.top_p.is_some(), options.reasoning_effort.is_some())
        };
        assert_eq!(told("openai/gpt-4o"), (true, true, false));
        assert_eq!(told("openai/gpt-6-sol"), (false, false, true));
        assert_eq!(told("anthropic/claude-opus-5-5"), (false, false, true));
        assert_eq!(told("anthropic/claude-3-5-haiku"), (true, false, false));
        assert_eq!(told("gemini/gemini-3.8-flash"), (true, true, true));
        assert_eq!(told("deepseek/deepseek-chat"), (true, true, false));
    }

    #[test]
    fn each_provider_says_in_its_place_which_model_answers() {
        let said = |frame: Value| (named(&frame, &REQUEST), named(&frame, &MODEL));
        let both = |id: &str, model: &str| (Some(id.to_owned()), Some(model.to_owned()));
        let chat = json!({ "id": "chatcmpl-1", "model": "gpt-4o-2024-11-20", "choices": [] });
        assert_eq!(said(chat), both("chatcmpl-1", "gpt-4o-2024-11-20"));
        let anthropic = json!({ "type": "message_start", "message": { "id": "msg_1", "model": "claude-x-1" } });
        assert_eq!(said(anthropic), both("msg_1", "claude-x-1"));
        let responses = json!({ "type": "response.created", "response": { "id": "resp_1", "model": "gpt-5" } });
        assert_eq!(said(responses), both("resp_1", "gpt-5"));
        let gemini = json!({ "responseId": "g1", "modelVersion": "gemini-3.8-flash-001" });
        assert_eq!(said(gemini), both("g1", "gemini-3.8-flash-001"));
        assert_eq!(said(json!({ "id": "", "model": "x".repeat(201) })), (None, None));
    }

    #[test]
    fn what_one_provider_wants_to_see_again_is_not_shown_to_another() {
        let thought = json!({ "type": "thinking", "thinking": "hm", "signature": "s" }).to_string();
        let request = ToolRequest {
            id: "1".to_owned(),
            tool: "t".to_owned(),
            arguments: json!({}),
            signatures: vec![thought, "CgQ=".to_owned()],
        };
        let said = [Message::Assistant { text: String::new(), tool_calls: vec![request.clone()] }];
        let parts = |kind| messages(kind, &said)[0].content.parts().len();
        assert_eq!((parts(AdapterKind::Anthropic), parts(AdapterKind::Gemini), parts(AdapterKind::OpenAI)), (2, 1, 1));
        let signed = |kind| as_genai(kind, &request).thought_signatures;
        assert_eq!(signed(AdapterKind::Gemini), Some(vec!["CgQ=".to_owned()]));
        assert_eq!((signed(AdapterKind::Anthropic), signed(AdapterKind::OpenAI)), (None, None));
    }
}
