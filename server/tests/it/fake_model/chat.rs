//! OpenAI's chat completions, and all that resemble them.

use serde_json::{Value, json};

use super::{Ending, Heard, Language, text};

pub struct Chat;

/// What answers: behind the name `other` stands a version.
fn served(model: &str) -> &str {
    if model == "other" { "other-2026-09-01" } else { model }
}

fn chunk(heard: &Heard, delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-fake-1",
        "object": "chat.completion.chunk",
        "model": served(&heard.model),
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
    });
    format!("data: {chunk}\n\n")
}

impl Language for Chat {
    fn hear(&self, body: &Value) -> Heard {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let last = messages.last().cloned().unwrap_or_default();
        let user = messages.iter().rev().find(|message| message["role"] == "user");
        Heard {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            asked: user.map(|message| text(&message["content"])).unwrap_or_default(),
            returned: (last["role"] == "tool").then(|| text(&last["content"])),
            tokens: body["messages"].to_string().len() / 4,
        }
    }

    fn begin(&self, heard: &Heard) -> String {
        chunk(heard, &json!({ "role": "assistant", "content": "" }), None)
    }

    fn text(&self, heard: &Heard, pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|piece| chunk(heard, &json!({ "content": piece }), None)).collect()
    }

    fn thought(&self, heard: &Heard) -> Vec<String> {
        vec![chunk(heard, &json!({ "reasoning_content": "Let me see." }), None)]
    }

    fn tool(&self, heard: &Heard, name: &str, [first, second]: [&str; 2], whole: bool) -> Vec<String> {
        let begin = json!({ "tool_calls": [{
            "index": 0, "id": "call_fake_1", "type": "function", "function": { "name": name, "arguments": first },
        }] });
        let rest = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": second } }] });
        let mut events = vec![chunk(heard, &begin, None)];
        events.extend(whole.then(|| chunk(heard, &rest, None)));
        events
    }

    fn end(&self, heard: &Heard, ending: Ending, written: usize, thought: usize) -> String {
        let reason = match ending {
            Ending::Stop => "stop",
            Ending::Tool => "tool_calls",
            Ending::Length => "length",
            Ending::Filter => "content_filter",
        };
        let usage = json!({
            "id": "chatcmpl-fake-1",
            "model": heard.model,
            "choices": [],
            "usage": {
                "prompt_tokens": heard.tokens,
                "completion_tokens": written,
                "total_tokens": heard.tokens + written,
                "prompt_tokens_details": { "cached_tokens": heard.tokens / 4 },
                "completion_tokens_details": { "reasoning_tokens": thought },
            },
        });
        format!("{}data: {usage}\n\ndata: [DONE]\n\n", chunk(heard, &json!({}), Some(reason)))
    }

    fn fault(&self, _: &Heard) -> String {
        let fault = json!({ "error": { "message": "The engine is overloaded", "type": "overloaded_error" } });
        format!("data: {fault}\n\n")
    }

    fn refusal(&self, _: u16, kind: &str, message: &str) -> Value {
        json!({ "error": { "message": message, "type": kind, "code": kind } })
    }
}
