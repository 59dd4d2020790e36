//! Real models, through the genai library behind our own small interface.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use genai::{
    Client, ModelIden,
    adapter::AdapterKind,
    chat::{
        ChatMessage, ChatOptions, ChatRequest, ChatStreamEvent, JsonSpec, MessageContent, StreamEnd, Tool, ToolCall,
        ToolResponse,
    },
    resolver::{AuthData, Endpoint, ProviderConfig},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{
    ModelId, prices,
    registry::OnText,
    settings::{COMPATIBLE, ProviderSettings},
};
use crate::engine::{
    journal::Usage,
    port::{Message, ModelAnswer, ModelCall, ToolRequest},
    state::StepError,
};

mod faults;

/// The most bytes that a model may write in one answer.
const MAX_ANSWER: usize = 2 << 20;

/// One provider.
pub(super) struct Provider {
    name: String,
    label: String,
    key: Option<SecretString>,
    has_own_address: bool,
    client: Client,
}

impl Provider {
    pub fn new(settings: ProviderSettings, http: reqwest::Client) -> Result<Self, String> {
        let ProviderSettings { name, label, key, base_url, .. } = settings;
        // A server of one's own that wants no key still gets the header that the protocol has.
        let secret = key.as_ref().map_or("none", ExposeSecret::expose_secret);
        let mut config = ProviderConfig::from_auth(AuthData::from_single(secret));
        if let Some(url) = &base_url {
            config = config.with_endpoint(Endpoint::from_owned(url.as_str()));
        }
        let kinds: &[AdapterKind] = match name.as_str() {
            "anthropic" => &[AdapterKind::Anthropic],
            "openai" => &[AdapterKind::OpenAI, AdapterKind::OpenAIResp],
            "gemini" => &[AdapterKind::Gemini, AdapterKind::GeminiIx],
            "deepseek" => &[AdapterKind::DeepSeek],
            "xai" => &[AdapterKind::Xai],
            "mistral" => &[AdapterKind::Mistral],
            "groq" => &[AdapterKind::Groq],
            COMPATIBLE => &[AdapterKind::OpenAI],
            other => return Err(format!("There is no provider “{other}”.")),
        };
        let mut client = Client::builder().with_reqwest(http);
        for kind in kinds {
            client = client.append_provider_config(*kind, config.clone());
        }
        let client = client.build().map_err(|error| format!("The client for {label} cannot be made: {error}"))?;
        Ok(Self { name, label, key, has_own_address: base_url.is_some(), client })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the provider's protocols a model speaks.
    fn kind(&self, model: &str) -> AdapterKind {
        match self.name.as_str() {
            "anthropic" => AdapterKind::Anthropic,
            "gemini" if model.starts_with("gemini-4-argon") => AdapterKind::GeminiIx,
            "gemini" => AdapterKind::Gemini,
            "deepseek" => AdapterKind::DeepSeek,
            "xai" => AdapterKind::Xai,
            "mistral" => AdapterKind::Mistral,
            "groq" => AdapterKind::Groq,
            // Servers that only resemble OpenAI know its older protocol; the newest models want the newer one.
            "openai" if !self.has_own_address => AdapterKind::from_model(model)
                .ok()
                .filter(|kind| *kind == AdapterKind::OpenAIResp)
                .unwrap_or(AdapterKind::OpenAI),
            _ => AdapterKind::OpenAI,
        }
    }

    pub async fn call(&self, id: &ModelId, call: &ModelCall, on_text: OnText<'_>) -> Result<ModelAnswer, StepError> {
        let kind = self.kind(id.name());
        let request_id = Arc::new(Mutex::new(None));
        let options = options(kind, call, &request_id);
        let classed = |error: genai::Error| faults::classify(&error, &self.label, self.key.as_ref());
        let opened = self.client.exec_chat_stream(ModelIden::new(kind, id.name()), request(call), Some(&options)).await;
        let mut stream = opened.map_err(classed)?.stream;
        let mut text = String::new();
        let mut end = None;
        while let Some(event) = stream.next().await {
            match event.map_err(classed)? {
                ChatStreamEvent::Chunk(chunk) => {
                    text.push_str(&chunk.content);
                    if text.len() > MAX_ANSWER {
                        return Err(faults::too_large(&self.label));
                    }
                    on_text(chunk.content);
                }
                ChatStreamEvent::End(last) => end = Some(last),
                ChatStreamEvent::Start
                | ChatStreamEvent::ReasoningChunk(_)
                | ChatStreamEvent::ThoughtSignatureChunk(_)
                | ChatStreamEvent::ToolCallChunk(_)
                | ChatStreamEvent::Heartbeat => {}
            }
        }
        let end = end.ok_or_else(|| faults::cut_off(&self.label))?;
        let request_id = request_id.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(answer(id, text, end, request_id))
    }
}

fn options(kind: AdapterKind, call: &ModelCall, request_id: &Arc<Mutex<Option<String>>>) -> ChatOptions {
    let seen = Arc::clone(request_id);
    let mut options = ChatOptions::default().with_capture_usage(true).with_capture_tool_calls(true).with_raw_frame_fn(
        move |_, frame| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.is_none() && frame.index < 4 {
                *seen = frame.json().as_ref().and_then(name_of_request);
            }
        },
    );
    if let Some(temperature) = call.temperature {
        options = options.with_temperature(temperature);
    }
    if let Some(most) = call.max_tokens {
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

/// The provider's name for the request, as its first frame has it.
fn name_of_request(frame: &Value) -> Option<String> {
    ["/id", "/message/id", "/response/id", "/responseId"]
        .into_iter()
        .find_map(|place| frame.pointer(place)?.as_str())
        .filter(|id| !id.is_empty() && id.len() <= 200)
        .map(str::to_owned)
}

fn request(call: &ModelCall) -> ChatRequest {
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
    let mut request = ChatRequest::new(messages(&call.messages)).with_tools(tools);
    if request.tools.as_ref().is_some_and(Vec::is_empty) {
        request.tools = None;
    }
    if !system.trim().is_empty() {
        request = request.with_system(system);
    }
    request
}

fn messages(messages: &[Message]) -> Vec<ChatMessage> {
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
                let mut content = MessageContent::default();
                if !text.is_empty() {
                    content = MessageContent::from_text(text.clone());
                }
                content.extend(MessageContent::from_tool_calls(tool_calls.iter().map(as_genai).collect()));
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

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_genai(request: &ToolRequest) -> ToolCall {
    ToolCall {
        call_id: request.id.clone(),
        fn_name: request.tool.clone(),
        fn_arguments: request.arguments.clone(),
        thought_signatures: (!request.signatures.is_empty()).then(|| request.signatures.clone()),
    }
}

fn answer(id: &ModelId, text: String, end: StreamEnd, request_id: Option<String>) -> ModelAnswer {
    let usage = used(id, end.captured_usage.as_ref());
    let stop_reason = end.captured_stop_reason.as_ref().map(|reason| reason.raw().to_owned()).unwrap_or_default();
    let request_id = end.captured_response_id.clone().or(request_id);
    let tool_calls = end.captured_into_tool_calls().unwrap_or_default().into_iter().map(as_ours).collect();
    ModelAnswer {
        text,
        tool_calls,
        model: id.to_string(),
        usage,
        fault: None,
        stop_reason,
        provider_request_id: request_id,
        ..ModelAnswer::default()
    }
}

fn as_ours(call: ToolCall) -> ToolRequest {
    // A tool without arguments: some providers send nothing at all.
    let arguments = match call.fn_arguments {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(serde_json::Map::new()),
        other => other,
    };
    ToolRequest {
        id: call.call_id,
        tool: call.fn_name,
        arguments,
        signatures: call.thought_signatures.unwrap_or_default(),
    }
}

fn used(id: &ModelId, usage: Option<&genai::chat::Usage>) -> Usage {
    let count = |number: Option<i32>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    let (input, output) =
        (count(usage.and_then(|one| one.prompt_tokens)), count(usage.and_then(|one| one.completion_tokens)));
    let details = usage.and_then(|one| one.prompt_tokens_details.as_ref());
    let cached = count(details.and_then(|one| one.cached_tokens)).min(input);
    let cache_write = count(details.and_then(|one| one.cache_creation_tokens)).min(input - cached);
    let tokens = prices::Tokens { input: input - cached - cache_write, cached, cache_write, output };
    let cost = match prices::find(&id.to_string()) {
        Some(row) => prices::cost(&row.price, tokens),
        None => {
            tracing::info!(model = %id, "no price is known for this model; its cost counts as nothing");
            crate::kernel::Money::ZERO
        }
    };
    if usage.is_none() {
        tracing::warn!(model = %id, "the provider told no token counts");
    }
    Usage { tokens_in: input, tokens_out: output, cost }
}
