//! A model server that does as it is told, and remembers each call before it answers. It speaks OpenAI's language. What it
//! does stands in the last message of the user, so that a test needs no second channel:
//!
//! | the message has | the answer |
//! | --- | --- |
//! | `say: TEXT` | the text, streamed word by word |
//! | `tool: NAME {json}` | a call of the tool; after its result, the result as text |
//! | `status: 429 retry 7` | the status, with `Retry-After` |
//! | `hang` | nothing, for as long as the client waits |
//! | `cut` | half an answer, then the connection ends |
//! | `garbage` | a stream that is none |
//! | `fault` | an error in the middle of the stream |
//! | `slow: TEXT` | a pause of a fifth of a second after each word |
//!
//! Anything else is repeated. Used by the integration tests and, as an example program, by the tests in a browser.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

/// A call that was made.
#[derive(Debug, Clone)]
pub struct Call {
    /// What was asked.
    pub body: Value,
    /// The key that came along.
    pub authorization: String,
}

/// A running model server.
#[derive(Clone)]
pub struct FakeModel {
    /// Where it listens.
    pub address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
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
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        model
    }

    /// The base address for clients.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The calls so far, in their order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn complete(State(model): State<FakeModel>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Before the answer: a test that kills the client counts what it would have paid for.
    let call = Call { body: body.clone(), authorization: authorization.to_owned() };
    model.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);

    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.last().cloned().unwrap_or_default();
    if last["role"] == "tool" {
        return say(&format!("The tool says: {}", text(&last["content"])), Duration::ZERO, &body);
    }
    let asked =
        messages.iter().rev().find(|message| message["role"] == "user").map(|message| text(&message["content"]));
    perform(&asked.unwrap_or_default(), &body).await
}

async fn perform(asked: &str, body: &Value) -> Response {
    let after =
        |word: &str| asked.split_once(word).map(|(_, rest)| rest.lines().next().unwrap_or_default().trim().to_owned());
    if let Some(order) = after("status:") {
        return refuse(&order);
    }
    if let Some(order) = after("tool:") {
        let (name, arguments) = order.split_once(' ').unwrap_or((order.as_str(), "{}"));
        return call_tool(name, arguments, body);
    }
    match asked.trim() {
        "hang" => std::future::pending().await,
        "cut" => cut(body),
        "garbage" => (sse_type(), "data: <html>\n\ndata: {]\n\n").into_response(),
        "fault" => {
            let fault = json!({ "error": { "message": "The engine is overloaded", "type": "overloaded_error" } });
            (sse_type(), format!("{}data: {fault}\n\n", event(body, &json!({ "content": "Half " }), None)))
                .into_response()
        }
        other => match (after("slow:"), after("say:")) {
            (Some(text), _) => say(&text, Duration::from_millis(200), body),
            (None, Some(text)) => say(&text, Duration::ZERO, body),
            (None, None) => say(other, Duration::ZERO, body),
        },
    }
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}

fn sse_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "text/event-stream")]
}

fn event(body: &Value, delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-fake-1",
        "object": "chat.completion.chunk",
        "model": body["model"],
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    });
    format!("data: {chunk}\n\n")
}

/// The end of a stream: token counts by the length of what went both ways, a quarter of the input from the cache.
fn end(body: &Value, written: usize) -> String {
    let input = body["messages"].to_string().len() / 4;
    let usage = json!({
        "id": "chatcmpl-fake-1",
        "model": body["model"],
        "choices": [],
        "usage": {
            "prompt_tokens": input,
            "completion_tokens": written.div_ceil(4),
            "total_tokens": input + written.div_ceil(4),
            "prompt_tokens_details": { "cached_tokens": input / 4 },
        },
    });
    format!("data: {usage}\n\ndata: [DONE]\n\n")
}

fn say(text: &str, pause: Duration, body: &Value) -> Response {
    let mut events: Vec<String> =
        text.split_inclusive(' ').map(|word| event(body, &json!({ "content": word }), None)).collect();
    events.push(event(body, &json!({}), Some("stop")));
    events.push(end(body, text.len()));
    let stream = stream::iter(events).then(move |event| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(event)
    });
    (sse_type(), Body::from_stream(stream)).into_response()
}

fn call_tool(name: &str, arguments: &str, body: &Value) -> Response {
    // In pieces, as the real ones do.
    let (first, second) = arguments.split_at(arguments.len() / 2);
    let begin = json!({ "tool_calls": [{
        "index": 0, "id": "call_fake_1", "type": "function", "function": { "name": name, "arguments": first },
    }] });
    let rest = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": second } }] });
    let stream = [
        event(body, &begin, None),
        event(body, &rest, None),
        event(body, &json!({}), Some("tool_calls")),
        end(body, 20),
    ];
    (sse_type(), stream.concat()).into_response()
}

fn refuse(order: &str) -> Response {
    let mut words = order.split_whitespace();
    let status =
        words.next().and_then(|word| word.parse::<u16>().ok()).and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if order.contains("quota") { "insufficient_quota" } else { "fake_error" };
    let body =
        json!({ "error": { "message": format!("As you wish: {order}"), "type": kind, "code": kind } }).to_string();
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let retry = order.split_once("retry ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    if let Some(retry) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, retry);
    }
    response
}

fn cut(body: &Value) -> Response {
    let pieces = vec![Ok(event(body, &json!({ "content": "Half an " }), None)), Err(std::io::Error::other("cut"))];
    (sse_type(), Body::from_stream(stream::iter(pieces))).into_response()
}
