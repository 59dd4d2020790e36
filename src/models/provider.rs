//! Real models, through the genai library behind our own small interface.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use genai::{
    Client, ModelIden,
    adapter::AdapterKind,
    chat::{ChatStreamEvent, RawFrameRef, StopReason},
    resolver::{AuthData, Endpoint, ProviderConfig},
};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    ModelId,
    breaker::{Breaker, Verdict},
    connection::Connection,
    prices::Prices,
    registry::OnText,
    routing::Side,
    settings::{COMPATIBLE, ProviderSettings},
};
use crate::{
    engine::{
        journal::Usage,
        port::{ModelAnswer, ModelCall, Served, tokens_at_most},
        state::{ErrorClass, StepError},
    },
    kernel::Money,
};

mod answer;
mod faults;
mod request;

pub use answer::was_cut;

/// The most bytes that a model may write in one answer.
const MAX_ANSWER: usize = 2 << 20;
/// The most bytes of the arguments of one tool call.
const MAX_ARGUMENTS: usize = 1 << 20;
/// The most bytes of all frames of an answer. A word's frame has some hundred.
const MAX_FRAMES: usize = 64 << 20;
/// The most tool calls of one answer. The engine takes fewer.
const MAX_CALLS: usize = 128;

/// How long a provider may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the first piece of its answer.
    pub first: Duration,
    /// Between two pieces.
    pub between: Duration,
    /// Until the end of its answer.
    pub whole: Duration,
}

/// One connection to a provider, and what is known of it.
pub(super) struct Provider {
    settings: ProviderSettings,
    by_operator: bool,
    side: Side,
    client: Client,
    prices: Prices,
    breaker: Mutex<Breaker>,
    under_way: AtomicUsize,
}

/// A call that is counted as under way for as long as this lives.
pub(super) struct UnderWay<'a> {
    provider: &'a Provider,
    is_probe: bool,
    verdict: Verdict,
}

impl Provider {
    pub fn new(connection: &Connection, http: reqwest::Client, prices: Prices) -> Result<Self, String> {
        let settings = connection.provider.clone();
        let ProviderSettings { name, label, key, base_url, .. } = &settings;
        // A server of one's own that wants no key still gets the header that the protocol has.
        let secret = key.as_ref().map_or("none", ExposeSecret::expose_secret);
        let mut config = ProviderConfig::from_auth(AuthData::from_single(secret));
        if let Some(url) = base_url.as_ref().map(url::Url::as_str).or_else(|| usual_address(name)) {
            // Joining needs the slash.
            let slash = if url.ends_with('/') { "" } else { "/" };
            config = config.with_endpoint(Endpoint::from_owned(format!("{url}{slash}")));
        }
        let kinds: &[AdapterKind] = match name.as_str() {
            "anthropic" => &[AdapterKind::Anthropic],
            "openai" => &[AdapterKind::OpenAI, AdapterKind::OpenAIResp],
            "gemini" => &[AdapterKind::Gemini, AdapterKind::GeminiIx],
            "deepseek" => &[AdapterKind::DeepSeek],
            "xai" => &[AdapterKind::Xai],
            "perplexity" => &[AdapterKind::OpenAIResp],
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
        let side = Side { provider: name.clone(), connection: connection.id.clone() };
        let by_operator = connection.by_operator;
        let (breaker, under_way) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { settings, by_operator, side, client, prices, breaker, under_way })
    }

    /// Whether it is the client of this connection as it is now.
    pub fn is_of(&self, connection: &Connection) -> bool {
        let key = |settings: &ProviderSettings| settings.key.as_ref().map(|key| key.expose_secret().to_owned());
        let (ours, theirs) = (&self.settings, &connection.provider);
        self.by_operator == connection.by_operator
            && ours.base_url == theirs.base_url
            && ours.label == theirs.label
            && key(ours) == key(theirs)
    }

    /// Who is called through it.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// What people call it.
    pub fn label(&self) -> String {
        let whose = if self.by_operator { "" } else { " (own key)" };
        format!("{}{whose}", self.settings.label)
    }

    /// How many calls are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Whether calls had better go elsewhere.
    pub fn is_open(&self, now: Instant) -> bool {
        self.breaker().is_open(now)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that begins now.
    pub fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { provider: self, is_probe: self.breaker().begin(Instant::now()), verdict: Verdict::Nothing }
    }

    /// Which of the provider's protocols a model speaks.
    fn kind(&self, model: &str) -> AdapterKind {
        match self.settings.name.as_str() {
            "anthropic" => AdapterKind::Anthropic,
            "gemini" if model.starts_with("gemini-4-argon") => AdapterKind::GeminiIx,
            "gemini" => AdapterKind::Gemini,
            "deepseek" => AdapterKind::DeepSeek,
            "xai" => AdapterKind::Xai,
            // Its older protocol was switched off in September 2026.
            "perplexity" => AdapterKind::OpenAIResp,
            "mistral" => AdapterKind::Mistral,
            "groq" => AdapterKind::Groq,
            // The newest models want the newer protocol. Servers that only resemble OpenAI know the older one: they are
            // another provider.
            "openai" => AdapterKind::from_model(model)
                .ok()
                .filter(|kind| *kind == AdapterKind::OpenAIResp)
                .unwrap_or(AdapterKind::OpenAI),
            _ => AdapterKind::OpenAI,
        }
    }

    /// Calls a model. The error of an answer that broke off says what it used.
    pub async fn call(
        &self,
        id: &ModelId,
        call: &ModelCall,
        patience: Patience,
        on_text: OnText<'_>,
    ) -> Result<ModelAnswer, StepError> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut result = self.answer(id, call, patience, on_text, &seen).await;
        match &mut result {
            Err(error) => error.set_used(self.used(id, call, &locked(&seen))),
            // A server that tells no counts.
            Ok(answer) if answer.usage.is_none() => answer.usage = self.used(id, call, &locked(&seen)),
            Ok(_) => {}
        }
        result
    }

    /// What an answer used that broke off: as its provider told until then, else what was asked, counted on the safe side,
    /// and what came. One that had not begun is not billed.
    fn used(&self, id: &ModelId, call: &ModelCall, seen: &Seen) -> Usage {
        if !seen.begun {
            return Usage::default();
        }
        let tokens_in = if seen.tokens_in > 0 { seen.tokens_in } else { call.tokens_in_at_most() };
        let came = tokens_at_most(seen.written + seen.arguments);
        let tokens_out = call.max_answer().map_or(came, |most| came.min(most)).max(seen.tokens_out);
        let priced = self.prices.of(&id.to_string());
        let cost = priced.map_or(Money::ZERO, |priced| priced.row.most(tokens_in, tokens_out));
        Usage { tokens_in, tokens_out, cost }
    }

    async fn answer(
        &self,
        id: &ModelId,
        call: &ModelCall,
        patience: Patience,
        on_text: OnText<'_>,
        seen: &Arc<Mutex<Seen>>,
    ) -> Result<ModelAnswer, StepError> {
        let kind = self.kind(id.name());
        let label = &self.settings.label;
        let options = request::options(kind, id, call, seen);
        let classed = |error: genai::Error| {
            let told = locked(seen).failure.take();
            faults::classify(&error, told.as_ref(), label, self.settings.key.as_ref())
        };
        let begun = Instant::now();
        let mut wait = patience.first;
        let opening =
            self.client.exec_chat_stream(ModelIden::new(kind, id.name()), request::of(kind, call), Some(&options));
        let opened = tokio::time::timeout(wait, opening).await.map_err(|_| faults::timeout(label))?;
        let mut stream = opened.map_err(classed)?.stream;
        let (mut text, mut end, mut first) = (String::new(), None, None);
        loop {
            let next = AssertUnwindSafe(stream.next()).catch_unwind();
            let wait_now = wait.min(patience.whole.saturating_sub(begun.elapsed()));
            let next = tokio::time::timeout(wait_now, next).await.map_err(|_| faults::timeout(label))?;
            let event = match next {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(stop) if stop.is::<TooLarge>() => return Err(faults::too_large(label)),
                Err(panic) => resume_unwind(panic),
            };
            match event.map_err(classed)? {
                // The library says so before anything has come.
                ChatStreamEvent::Start => continue,
                ChatStreamEvent::Chunk(chunk) => {
                    first.get_or_insert_with(|| begun.elapsed());
                    text.push_str(&chunk.content);
                    locked(seen).written += chunk.content.len();
                    if text.len() > MAX_ANSWER {
                        return Err(faults::too_large(label));
                    }
                    on_text(chunk.content);
                }
                ChatStreamEvent::ToolCallChunk(chunk) => {
                    first.get_or_insert_with(|| begun.elapsed());
                    let arguments = chunk.tool_call.fn_arguments.as_str().map_or(0, str::len);
                    locked(seen).argue(arguments);
                    if arguments > MAX_ARGUMENTS {
                        return Err(faults::too_large(label));
                    }
                }
                ChatStreamEvent::ReasoningChunk(chunk) => {
                    first.get_or_insert_with(|| begun.elapsed());
                    locked(seen).written += chunk.content.len();
                }
                ChatStreamEvent::End(last) => end = Some(last),
                ChatStreamEvent::ThoughtSignatureChunk(_) | ChatStreamEvent::Heartbeat => {}
            }
            wait = patience.between;
        }
        let (is_garbled, request_id, served) = {
            let mut seen = locked(seen);
            (seen.is_garbled, seen.id.take(), seen.model.take())
        };
        // In these protocols every answer says why it ends; the library makes an end of a broken connection, too.
        let end = end.filter(|end| match (kind, &end.captured_stop_reason) {
            (AdapterKind::OpenAIResp | AdapterKind::Gemini, reason) => reason.is_some(),
            (AdapterKind::GeminiIx, reason) => !matches!(reason, None | Some(StopReason::Other(_))),
            _ => true,
        });
        let end = end.ok_or_else(|| if is_garbled { faults::garbled(label) } else { faults::cut_off(label) })?;
        let mut answer = answer::of(id, label, kind, text, end, request_id, &self.prices)?;
        answer.served = served.filter(|served| served != id.name()).map(|name| Box::new(Served(name)));
        answer.first_token_ms = first.map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
        Ok(answer)
    }
}

/// Where a provider is that the library does not know.
fn usual_address(name: &str) -> Option<&'static str> {
    (name == "perplexity").then_some("https://api.perplexity.ai/v1/")
}

/// What the frames of an answer hold that the library does not tell.
#[derive(Debug, Default)]
struct Seen {
    /// The provider's name for the request.
    id: Option<String>,
    /// What it says has answered.
    model: Option<String>,
    /// Why it failed in the middle.
    failure: Option<Value>,
    /// Whether there were frames that are none.
    is_garbled: bool,
    /// The bytes of all frames so far.
    bytes: usize,
    /// Whether something came that is part of an answer.
    begun: bool,
    /// The bytes of its text so far, and of its reasoning.
    written: usize,
    /// The bytes of the arguments of its tool calls.
    arguments: usize,
    /// The bytes of those of the last one.
    last_arguments: usize,
    /// The tokens read and written, as far as its provider has told.
    tokens_in: u64,
    tokens_out: u64,
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What unwinds out of the library when a frame must not be read.
struct TooLarge;

impl Seen {
    /// Ends the call before the library reads a frame that would take all memory. It has no other way to be stopped there,
    /// and makes room for as many tool calls as the number of one says.
    fn weigh(&mut self, frame: &RawFrameRef<'_>) {
        self.bytes += frame.data.len();
        let far = || {
            let frame = frame.json().unwrap_or_default();
            let choices = frame["choices"].as_array().into_iter().flatten();
            let calls = choices.filter_map(|choice| choice["delta"]["tool_calls"].as_array()).flatten();
            calls.filter_map(|call| call["index"].as_u64()).any(|place| place >= MAX_CALLS as u64)
        };
        if self.bytes > MAX_FRAMES || (frame.data.contains("tool_calls") && far()) {
            resume_unwind(Box::new(TooLarge));
        }
    }
}

impl Seen {
    /// Counts the arguments of a tool call, which come longer each time until the next call begins.
    fn argue(&mut self, length: usize) {
        if length < self.last_arguments {
            self.last_arguments = 0;
        }
        self.arguments += length - self.last_arguments;
        self.last_arguments = length;
    }

    /// Notes whether an answer has begun, and what its provider says it uses.
    fn count(&mut self, frame: &RawFrameRef<'_>) {
        let tells = frame.data.contains("_tokens\"") || frame.data.contains("TokenCount\"");
        if self.begun && !tells {
            return;
        }
        let Some(frame) = frame.json().filter(|_| frame.event != Some("error")) else { return };
        let is_error = frame["type"] == "error" || frame.get("error").is_some_and(|error| !error.is_null());
        self.begun |= frame.is_object() && !is_error;
        let places = ["/usage", "/message/usage", "/response/usage", "/interaction/usage", "/usageMetadata"];
        for usage in places.into_iter().filter_map(|place| frame.pointer(place)) {
            let sum = |names: &[&str]| names.iter().filter_map(|name| usage[*name].as_u64()).sum::<u64>();
            self.tokens_in = self.tokens_in.max(sum(&READ));
            self.tokens_out = self.tokens_out.max(sum(&WRITTEN));
        }
    }
}

/// What providers call the tokens that a model has read. Anthropic counts those of its cache apart.
const READ: [&str; 6] = [
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_tokens",
    "promptTokenCount",
    "total_input_tokens",
];
/// What they call those that it has written. Gemini counts its thoughts apart.
const WRITTEN: [&str; 5] =
    ["output_tokens", "completion_tokens", "candidatesTokenCount", "thoughtsTokenCount", "total_output_tokens"];

impl UnderWay<'_> {
    /// What came of it.
    pub fn ended(mut self, result: &Result<ModelAnswer, StepError>) {
        self.verdict = match result.as_ref().map_err(|error| error.class) {
            Err(ErrorClass::Unavailable | ErrorClass::Timeout) => Verdict::Failed,
            Err(ErrorClass::Auth | ErrorClass::Quota) => Verdict::Refused,
            // How long it wants to be left alone it says itself.
            Err(ErrorClass::RateLimited) => Verdict::Nothing,
            Ok(_) | Err(_) => Verdict::Answered,
        };
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.provider.under_way.fetch_sub(1, Ordering::Relaxed);
        self.provider.breaker().end(self.is_probe, self.verdict, Instant::now());
    }
}
