//! A model that speaks OpenAI's language and keeps its own books: what each call is billed with follows from the call's
//! place in the run alone, so that the run's totals can be held against it however often a call was cut off.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use agentflow::engine::retry::{scramble, seed_of};
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::header,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::outside::{Call, Moment, Outside, Watch};

/// What the prompt begins with: the step's key follows.
pub const ABOUT: &str = "The step is ";

/// Answers a call: the first of an agent wants a tool called, the second is the agent's answer.
pub async fn complete(
    State(outside): State<Outside>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let turn = 1 + messages.iter().filter(|message| message["role"] == "assistant").count();
    let asked = messages.iter().find(|message| message["role"] == "user").map(|message| text(&message["content"]));
    let asked = asked.unwrap_or_default();
    let agent = asked.strip_prefix(ABOUT).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let key = format!("{agent}.model{turn}");
    let tokens = billed(&key);
    let number = outside.note(Call {
        at: Instant::now(),
        wall: SystemTime::now(),
        key: key.clone(),
        attempt: 0,
        fence: 0,
        about: key.clone(),
        body: Value::Null,
        nonce: String::new(),
        answered: None,
        dropped: None,
        tokens,
    });
    let watch = Watch::over(&outside, number);
    outside.spring(Moment::Called, peer, false);
    let events = if turn == 1 { tool_call(&outside, agent, tokens) } else { words(&key, tokens) };
    let mut watch = Some(watch);
    let last = events.len() - 1;
    let stream = stream::iter(events.into_iter().enumerate()).then(move |(place, event)| {
        let done = (place == last).then(|| watch.take()).flatten();
        let (outside, key) = (outside.clone(), key.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(8)).await;
            if let Some(watch) = done {
                watch.answered(200);
                outside.answered(peer, &key);
            }
            Ok::<_, Infallible>(event)
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

/// What a call is billed with: tokens in, tokens out.
pub fn billed(key: &str) -> (u64, u64) {
    let number = scramble(seed_of(key));
    (50 + number % 400, 5 + (number >> 32) % 60)
}

fn text(content: &Value) -> String {
    match content {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn event(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    });
    format!("data: {chunk}\n\n")
}

fn end((read, written): (u64, u64)) -> String {
    let usage = json!({
        "id": "chatcmpl-1", "model": "fake", "choices": [],
        "usage": { "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written },
    });
    format!("data: {usage}\n\ndata: [DONE]\n\n")
}

fn words(key: &str, tokens: (u64, u64)) -> Vec<String> {
    let said = format!("This is the answer of {key} .");
    let mut events: Vec<_> = said.split_inclusive(' ').map(|word| event(&json!({ "content": word }), None)).collect();
    events.extend([event(&json!({}), Some("stop")), end(tokens)]);
    events
}

fn tool_call(outside: &Outside, agent: &str, tokens: (u64, u64)) -> Vec<String> {
    let run = agent.split('/').next().unwrap_or_default();
    let arguments = json!({
        "url": format!("http://{}/do/it", outside.address), "method": "POST",
        "body": { "run": run, "node": "tool of the agent" },
    });
    let call = json!({ "tool_calls": [{
        "index": 0, "id": "call_1", "type": "function",
        "function": { "name": "http_request", "arguments": arguments.to_string() },
    }] });
    vec![event(&call, None), event(&json!({}), Some("tool_calls")), end(tokens)]
}
