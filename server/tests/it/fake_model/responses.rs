//! OpenAI's responses.

use serde_json::{Value, json};

use super::{Ending, Heard, Language, text};

pub struct Responses;

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

fn response(heard: &Heard, status: &str, more: Value) -> Value {
    let mut response = json!({ "id": "resp_fake_1", "object": "response", "status": status, "model": heard.model });
    if let (Some(response), Value::Object(more)) = (response.as_object_mut(), more) {
        response.extend(more);
    }
    response
}

impl Language for Responses {
    fn hear(&self, body: &Value) -> Heard {
        let items = match &body["input"] {
            Value::Array(items) => items.clone(),
            text => vec![json!({ "role": "user", "content": text })],
        };
        let last = items.last().cloned().unwrap_or_default();
        let user = items.iter().rev().find(|item| item["role"] == "user");
        Heard {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            asked: user.map(|item| text(&item["content"])).unwrap_or_default(),
            returned: (last["type"] == "function_call_output").then(|| text(&last["output"])),
            tokens: body["input"].to_string().len() / 4,
        }
    }

    fn begin(&self, heard: &Heard) -> String {
        let response = response(heard, "in_progress", json!({ "output": [] }));
        event(&json!({ "type": "response.created", "response": response }))
    }

    fn text(&self, _: &Heard, pieces: &[&str]) -> Vec<String> {
        let item = json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [] });
        let part = json!({ "type": "output_text", "text": "" });
        let mut events = vec![
            event(&json!({ "type": "response.output_item.added", "output_index": 0, "item": item })),
            event(
                &json!({ "type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": part }),
            ),
        ];
        events.extend(pieces.iter().map(|piece| {
            event(&json!({
                "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece,
            }))
        }));
        events
    }

    fn thought(&self, _: &Heard) -> Vec<String> {
        vec![event(&json!({
            "type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Let me see.",
        }))]
    }

    fn tool(&self, _: &Heard, name: &str, [first, second]: [&str; 2], whole: bool) -> Vec<String> {
        let item = |arguments: &str| {
            json!({
                "type": "function_call", "id": "fc_1", "call_id": "call_fake_1", "name": name, "arguments": arguments,
            })
        };
        let delta = |delta: &str| {
            event(&json!({ "type": "response.function_call_arguments.delta", "output_index": 0, "delta": delta }))
        };
        let mut events = vec![
            event(&json!({ "type": "response.output_item.added", "output_index": 0, "item": item("") })),
            delta(first),
        ];
        if whole {
            events.push(delta(second));
            let item = item(&format!("{first}{second}"));
            events.push(event(&json!({ "type": "response.output_item.done", "output_index": 0, "item": item })));
        }
        events
    }

    fn end(&self, heard: &Heard, ending: Ending, written: usize, thought: usize) -> String {
        let usage = json!({
            "input_tokens": heard.tokens,
            "input_tokens_details": { "cached_tokens": heard.tokens / 4 },
            "output_tokens": written,
            "output_tokens_details": { "reasoning_tokens": thought },
            "total_tokens": heard.tokens + written,
        });
        let (status, reason) = match ending {
            Ending::Stop | Ending::Tool => ("completed", Value::Null),
            Ending::Length => ("incomplete", json!({ "reason": "max_output_tokens" })),
            Ending::Filter => ("incomplete", json!({ "reason": "content_filter" })),
        };
        let response = response(heard, status, json!({ "output": [], "usage": usage, "incomplete_details": reason }));
        event(&json!({ "type": format!("response.{status}"), "response": response }))
    }

    fn fault(&self, heard: &Heard) -> String {
        let error = json!({ "code": "server_error", "message": "The engine is overloaded" });
        event(&json!({ "type": "response.failed", "response": response(heard, "failed", json!({ "error": error })) }))
    }

    fn refusal(&self, _: u16, kind: &str, message: &str) -> Value {
        json!({ "error": { "message": message, "type": kind, "code": kind } })
    }
}
