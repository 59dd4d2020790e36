//! A model server that does as it is told, and remembers each call before it answers. It speaks the languages of OpenAI
//! (chat completions and responses), Anthropic and Gemini, as they are published. What it does stands in the last message
//! of the user, so that a test needs no second channel:
//!
//! | the message has | the answer |
//! | --- | --- |
//! | `say: TEXT` | the text, streamed word by word |
//! | `slow: TEXT` | the same, with a pause of a fifth of a second after each word |
//! | `think: TEXT` | some reasoning, then the text |
//! | `tool: NAME {json}` | a call of the tool; after its result, the result as text |
//! | `loop: NAME {json}` | a call of the tool, again and again |
//! | `gullible: NAME {json}` | a call of the tool, then whatever its result tells it to do |
//! | `long: TEXT` | the text, which then ends by its length limit |
//! | `half: NAME {json}` | half a call of the tool, which then ends by its length limit |
//! | `status: 429 retry 7` | the status, with `Retry-After` |
//! | `hang` | nothing, for as long as the client waits |
//! | `stall` | half an answer, then nothing |
//! | `cut` | half an answer, then the connection ends |
//! | `end` | half an answer, then the stream ends as if it were whole |
//! | `garbage` | a stream that is none |
//! | `fault` | an error in the middle of the stream |
//! | `filtered` | an answer that the provider keeps to itself |
//!
//! Anything else is repeated. A line that begins with `@NAME` is for those calls alone whose model or key has that name;
//! the first such line counts. Used by the integration tests and, as an example program, by the tests in a browser.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

mod anthropic;
mod chat;
mod gemini;
mod responses;

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was asked.
    pub body: Value,
    /// The key that came along, as its header has it.
    pub authorization: String,
    /// The model that was asked for.
    pub model: String,
}

/// A running model server.
#[derive(Clone)]
pub struct FakeModel {
    /// Where it listens.
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// What a request says, in whatever language.
struct Heard {
    model: String,
    /// What the user asked last.
    asked: String,
    /// What the last tool returned, where that is the last message.
    returned: Option<String>,
    /// About how many tokens came in. A quarter of them counts as kept.
    tokens: usize,
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Stop,
    Tool,
    Length,
    Filter,
}

/// A provider's way of saying things.
trait Language: Send + Sync {
    fn hear(&self, body: &Value) -> Heard;
    /// What comes first.
    fn begin(&self, heard: &Heard) -> String;
    /// A text in pieces.
    fn text(&self, heard: &Heard, pieces: &[&str]) -> Vec<String>;
    /// A thought that is not part of the answer.
    fn thought(&self, heard: &Heard) -> Vec<String>;
    /// A call of a tool, with its arguments in pieces; the whole of it, or what came until it was cut.
    fn tool(&self, heard: &Heard, name: &str, arguments: [&str; 2], whole: bool) -> Vec<String>;
    /// What comes last, with the counts: written, and of these thought.
    fn end(&self, heard: &Heard, ending: Ending, written: usize, thought: usize) -> String;
    /// An error in the middle.
    fn fault(&self, heard: &Heard) -> String;
    /// The body of a refusal.
    fn refusal(&self, status: u16, kind: &str, message: &str) -> Value;
}

impl FakeModel {
    /// Starts one on a free port of this machine.
    pub async fn start() -> Self {
        Self::on("127.0.0.1:0").await
    }

    /// Starts one at an address. It lives as long as the runtime.
    pub async fn on(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let model = Self { address: listener.local_addr().expect("an address"), calls: Arc::default() };
        let router = Router::new()
            .route("/v1/chat/completions", post(|s, h, b| answer(&chat::Chat, s, h, b)))
            .route("/v1/responses", post(|s, h, b| answer(&responses::Responses, s, h, b)))
            .route("/v1/messages", post(|s, h, b| answer(&anthropic::Anthropic, s, h, b)))
            .route("/v1beta/models/{call}", post(gemini))
            .with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        model
    }

    /// The base address for clients.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base address for Gemini's clients.
    pub fn gemini_url(&self) -> String {
        format!("http://{}/v1beta", self.address)
    }

    /// The calls so far, in their order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn gemini(state: State<FakeModel>, Path(call): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(model) = call.strip_suffix(":streamGenerateContent") else { return StatusCode::NOT_FOUND.into_response() };
    // Its body does not name the model.
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    body["model"] = json!(model);
    answer(&gemini::Gemini, state, headers, Bytes::from(body.to_string())).await
}

async fn answer(
    language: &'static dyn Language,
    State(model): State<FakeModel>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = header("authorization") + &header("x-api-key") + &header("x-goog-api-key");
    let heard = language.hear(&body);
    // Before the answer: a test that kills the client counts what it would have paid for.
    let call = Call { body, authorization: authorization.clone(), model: heard.model.clone() };
    model.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    let asked = meant_for(&heard.asked, &heard.model, &authorization);
    perform(language, &heard, &asked).await
}

/// The lines of a message that are for a call with this model and key.
fn meant_for(asked: &str, model: &str, key: &str) -> String {
    if !asked.lines().any(|line| line.starts_with('@')) {
        return asked.to_owned();
    }
    let mine = asked.lines().filter_map(|line| line.strip_prefix('@')?.split_once(' '));
    let mut mine = mine.filter(|(name, _)| model.contains(name) || key.contains(name));
    let rest = || asked.lines().filter(|line| !line.starts_with('@')).collect::<Vec<_>>().join("\n");
    mine.next().map_or_else(rest, |(_, order)| order.to_owned())
}

/// What a message has after a word, to the end of the line.
fn after(asked: &str, word: &str) -> Option<String> {
    asked.split_once(word).map(|(_, rest)| rest.lines().next().unwrap_or_default().trim().to_owned())
}

async fn perform(language: &'static dyn Language, heard: &Heard, asked: &str) -> Response {
    let tool = |order: String| {
        let (name, arguments) = order.split_once(' ').unwrap_or((order.as_str(), "{}"));
        call_tool(language, heard, name, arguments)
    };
    if let Some(order) = after(asked, "loop:") {
        return tool(order);
    }
    if let Some(returned) = &heard.returned {
        let obeys = asked.contains("gullible:");
        return match after(returned, "tool:").filter(|_| obeys) {
            // What a tool returns comes as JSON: its quotes are escaped.
            Some(order) => tool(order.replace("\\\"", "\"").trim_end_matches('"').to_owned()),
            None => say(language, heard, &format!("The tool says: {returned}"), Duration::ZERO, Ending::Stop),
        };
    }
    if let Some(order) = after(asked, "status:") {
        return refuse(language, &order);
    }
    if let Some(order) = after(asked, "tool:").or_else(|| after(asked, "gullible:")) {
        return tool(order);
    }
    if let Some(order) = after(asked, "half:") {
        let (name, arguments) = order.split_once(' ').unwrap_or((order.as_str(), "{}"));
        let (first, second) = arguments.split_at(arguments.len() / 2);
        let mut events = vec![language.begin(heard)];
        events.extend(language.tool(heard, name, [first, second], false));
        events.push(language.end(heard, Ending::Length, 20, 0));
        return sse(Body::from(events.concat()));
    }
    let half = || {
        let mut events = vec![language.begin(heard)];
        events.extend(language.text(heard, &["Half an "]));
        events
    };
    match asked.trim() {
        "hang" => std::future::pending().await,
        "stall" => {
            let first = stream::iter(half()).map(Ok::<_, Infallible>);
            sse(Body::from_stream(first.chain(stream::pending())))
        }
        "cut" => {
            // Later than the half answer, which would be thrown away together with the connection.
            let cut = stream::once(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(std::io::Error::other("cut"))
            });
            sse(Body::from_stream(stream::iter(half()).map(Ok).chain(cut)))
        }
        "end" => sse(Body::from(half().concat())),
        "garbage" => sse(Body::from("data: <html>\n\ndata: {]\n\n")),
        "fault" => sse(Body::from(half().concat() + &language.fault(heard))),
        "filtered" => sse(Body::from(language.begin(heard) + &language.end(heard, Ending::Filter, 0, 0))),
        other => {
            if let Some(text) = after(other, "slow:") {
                return say(language, heard, &text, Duration::from_millis(200), Ending::Stop);
            }
            if let Some(text) = after(other, "long:") {
                return say(language, heard, &text, Duration::ZERO, Ending::Length);
            }
            if let Some(text) = after(other, "think:") {
                let mut events = vec![language.begin(heard)];
                events.extend(language.thought(heard));
                events.extend(language.text(heard, &[text.as_str()]));
                events.push(language.end(heard, Ending::Stop, text.len().div_ceil(4) + 8, 8));
                return sse(Body::from(events.concat()));
            }
            say(
                language,
                heard,
                &after(other, "say:").unwrap_or_else(|| other.to_owned()),
                Duration::ZERO,
                Ending::Stop,
            )
        }
    }
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}

fn sse(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn say(language: &dyn Language, heard: &Heard, text: &str, pause: Duration, ending: Ending) -> Response {
    let pieces: Vec<&str> = text.split_inclusive(' ').collect();
    let mut events = vec![language.begin(heard)];
    events.extend(language.text(heard, &pieces));
    events.push(language.end(heard, ending, text.len().div_ceil(4), 0));
    let stream = stream::iter(events).then(move |event| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(event)
    });
    sse(Body::from_stream(stream))
}

fn call_tool(language: &dyn Language, heard: &Heard, name: &str, arguments: &str) -> Response {
    // In pieces, as the real ones do.
    let (first, second) = arguments.split_at(arguments.len() / 2);
    let mut events = vec![language.begin(heard)];
    events.extend(language.tool(heard, name, [first, second], true));
    events.push(language.end(heard, Ending::Tool, 5, 0));
    sse(Body::from(events.concat()))
}

fn refuse(language: &dyn Language, order: &str) -> Response {
    let mut words = order.split_whitespace();
    let code = words.next().and_then(|word| word.parse::<u16>().ok()).unwrap_or(500);
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if order.contains("quota") { "insufficient_quota" } else { "fake_error" };
    let body = language.refusal(code, kind, &format!("As you wish: {order}")).to_string();
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let retry = order.split_once("retry ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    if let Some(retry) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, retry);
    }
    if let Ok(id) = "req-fake-1".parse() {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
