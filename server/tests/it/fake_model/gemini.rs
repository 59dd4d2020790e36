//! Gemini's content.

use serde_json::{Value, json};

use super::{Ending, Heard, Language, text};

pub struct Gemini;

fn chunk(heard: &Heard, parts: &Value, more: Value) -> String {
    let mut chunk = json!({
        "candidates": [{ "content": { "role": "model", "parts": parts }, "index": 0 }],
        "modelVersion": heard.model,
        "responseId": "gemini-fake-1",
    });
    if let Value::Object(mut more) = more {
        if let Some(reason) = more.remove("finishReason") {
            chunk["candidates"][0]["finishReason"] = reason;
        }
        if let Some(chunk) = chunk.as_object_mut() {
            chunk.extend(more);
        }
    }
    format!("data: {chunk}\r\n\r\n")
}

impl Language for Gemini {
    fn hear(&self, body: &Value) -> Heard {
        let contents = body["contents"].as_array().cloned().unwrap_or_default();
        let result = |content: &Value| {
            let parts = content["parts"].as_array()?;
            parts.iter().rev().find_map(|part| part.get("functionResponse")).map(|part| part["response"].to_string())
        };
        let user = contents.iter().rev().find(|content| content["role"] == "user" && result(content).is_none());
        Heard {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            asked: user.map(|content| text(&content["parts"])).unwrap_or_default(),
            returned: contents.last().and_then(result),
            tokens: body["contents"].to_string().len() / 4,
        }
    }

    fn begin(&self, heard: &Heard) -> String {
        chunk(heard, &json!([{ "text": "" }]), json!({}))
    }

    fn text(&self, heard: &Heard, pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|piece| chunk(heard, &json!([{ "text": piece }]), json!({}))).collect()
    }

    fn thought(&self, heard: &Heard) -> Vec<String> {
        vec![chunk(heard, &json!([{ "text": "Let me see.", "thought": true }]), json!({}))]
    }

    fn tool(&self, heard: &Heard, name: &str, [first, second]: [&str; 2], whole: bool) -> Vec<String> {
        // It sends a call as a whole or not at all.
        let arguments: Value = serde_json::from_str(&format!("{first}{second}")).unwrap_or_default();
        let call = json!([{ "functionCall": { "name": name, "args": arguments }, "thoughtSignature": "c2lnbmVk" }]);
        if whole { vec![chunk(heard, &call, json!({}))] } else { Vec::new() }
    }

    fn end(&self, heard: &Heard, ending: Ending, written: usize, thought: usize) -> String {
        let reason = match ending {
            Ending::Stop | Ending::Tool => "STOP",
            Ending::Length => "MAX_TOKENS",
            Ending::Filter => "SAFETY",
        };
        let usage = json!({
            "promptTokenCount": heard.tokens,
            "cachedContentTokenCount": heard.tokens / 4,
            // What was thought is counted apart.
            "candidatesTokenCount": written - thought,
            "thoughtsTokenCount": thought,
            "totalTokenCount": heard.tokens + written,
        });
        chunk(heard, &json!([{ "text": "" }]), json!({ "finishReason": reason, "usageMetadata": usage }))
    }

    fn fault(&self, _: &Heard) -> String {
        let error = json!({ "code": 503, "message": "The engine is overloaded", "status": "UNAVAILABLE" });
        format!("data: {}\r\n\r\n", json!({ "error": error }))
    }

    fn refusal(&self, status: u16, kind: &str, message: &str) -> Value {
        let name = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            500.. => "UNAVAILABLE",
            _ => "INVALID_ARGUMENT",
        };
        json!({ "error": { "code": status, "message": message, "status": name, "details": [{ "reason": kind }] } })
    }
}
