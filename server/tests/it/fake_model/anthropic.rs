//! Anthropic's messages.

use serde_json::{Value, json};

use super::{Ending, Heard, Language, text};

pub struct Anthropic;

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn block(index: usize, block: &Value, deltas: impl IntoIterator<Item = Value>, whole: bool) -> Vec<String> {
    let mut events = vec![event(&json!({ "type": "content_block_start", "index": index, "content_block": block }))];
    events.extend(
        deltas
            .into_iter()
            .map(|delta| event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))),
    );
    events.extend(whole.then(|| event(&json!({ "type": "content_block_stop", "index": index }))));
    events
}

impl Language for Anthropic {
    fn hear(&self, body: &Value) -> Heard {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let result = |message: &Value| {
            let parts = message["content"].as_array()?;
            parts.iter().rev().find(|part| part["type"] == "tool_result").map(|part| text(&part["content"]))
        };
        let user = messages.iter().rev().find(|message| message["role"] == "user" && result(message).is_none());
        Heard {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            asked: user.map(|message| text(&message["content"])).unwrap_or_default(),
            returned: messages.last().and_then(result),
            tokens: body["messages"].to_string().len() / 4,
        }
    }

    fn begin(&self, heard: &Heard) -> String {
        let kept = heard.tokens / 4;
        let message = json!({
            "id": "msg_fake_1", "type": "message", "role": "assistant", "model": heard.model, "content": [],
            "stop_reason": null, "stop_sequence": null,
            // What was kept is counted apart.
            "usage": {
                "input_tokens": heard.tokens - kept, "cache_read_input_tokens": kept,
                "cache_creation_input_tokens": 0, "output_tokens": 1,
            },
        });
        event(&json!({ "type": "message_start", "message": message })) + &event(&json!({ "type": "ping" }))
    }

    fn text(&self, _: &Heard, pieces: &[&str]) -> Vec<String> {
        let deltas = pieces.iter().map(|piece| json!({ "type": "text_delta", "text": piece }));
        block(0, &json!({ "type": "text", "text": "" }), deltas, true)
    }

    fn thought(&self, _: &Heard) -> Vec<String> {
        let deltas = [
            json!({ "type": "thinking_delta", "thinking": "Let me see." }),
            json!({ "type": "signature_delta", "signature": "c2lnbmVk" }),
        ];
        block(0, &json!({ "type": "thinking", "thinking": "", "signature": "" }), deltas, true)
    }

    fn tool(&self, heard: &Heard, name: &str, pieces: [&str; 2], whole: bool) -> Vec<String> {
        let deltas = pieces.into_iter().take(if whole { 2 } else { 1 });
        let deltas = deltas.map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }));
        // A model that reasons does so before it calls.
        let mut events = self.thought(heard);
        events.extend(block(
            1,
            &json!({ "type": "tool_use", "id": "toolu_fake_1", "name": name, "input": {} }),
            deltas,
            whole,
        ));
        events
    }

    fn end(&self, _: &Heard, ending: Ending, written: usize, _: usize) -> String {
        let reason = match ending {
            Ending::Stop => "end_turn",
            Ending::Tool => "tool_use",
            Ending::Length => "max_tokens",
            Ending::Filter => "refusal",
        };
        let delta = json!({ "stop_reason": reason, "stop_sequence": null });
        event(&json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": written } }))
            + &event(&json!({ "type": "message_stop" }))
    }

    fn fault(&self, _: &Heard) -> String {
        let error = json!({ "type": "overloaded_error", "message": "The engine is overloaded" });
        event(&json!({ "type": "error", "error": error }))
    }

    fn refusal(&self, status: u16, kind: &str, message: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
        .to_owned()
            + if kind == "insufficient_quota" { " quota" } else { "" };
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req-fake-1" })
    }
}
