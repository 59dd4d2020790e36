//! What the sandbox model was given, taken apart: instructions, labelled lines, JSON, sentences, tool results.

use std::borrow::Cow;

use serde_json::Value;

use super::words::{self, key};
use crate::{
    engine::port::{Message, ModelCall},
    guardrails::outside,
};

/// What a tool returned since the last question.
pub(super) struct ToolResult<'a> {
    pub tool: &'a str,
    pub arguments: &'a Value,
    pub output: Cow<'a, Value>,
    pub failed: bool,
}

/// What the model was given.
pub(super) struct Material<'a> {
    /// The agent's instructions.
    pub system: &'a str,
    /// The last message of the user: the question.
    pub ask: &'a str,
    /// All messages of the user.
    pub text: String,
    /// What tools returned since the question.
    pub results: Vec<ToolResult<'a>>,
    /// `Label: value` lines and blocks, in their order.
    labelled: Vec<(String, String)>,
    /// JSON objects and lists that stand in the text or came from tools.
    json: Vec<Value>,
}

impl<'a> Material<'a> {
    pub fn read(call: &'a ModelCall) -> Self {
        let asked = call.messages.iter().rposition(|message| matches!(message, Message::User { .. }));
        let texts: Vec<&str> = call
            .messages
            .iter()
            .filter_map(|message| if let Message::User { text } = message { Some(text.as_str()) } else { None })
            .collect();
        let since = &call.messages[asked.unwrap_or(0)..];
        let text = words::unwrapped(&texts.join("\n\n"));
        let results = results(since);
        let mut json = words::json_in(&text);
        json.extend(results.iter().filter(|one| !one.failed).map(|one| one.output.clone().into_owned()));
        Self {
            system: &call.system,
            ask: texts.last().copied().unwrap_or_default(),
            labelled: words::labelled(&text),
            text,
            results,
            json,
        }
    }

    /// The material of one entry of a list: nothing but the entry.
    pub fn of_entry(&self, entry: &Value) -> Self {
        let text = match entry {
            Value::Object(fields) => fields.values().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            other => plain(other),
        };
        Self {
            system: self.system,
            ask: self.ask,
            labelled: words::labelled(&text),
            text,
            results: Vec::new(),
            json: if entry.is_object() { vec![entry.clone()] } else { Vec::new() },
        }
    }

    /// The value that stands under a name: in JSON, then in labelled lines, then under a name that says nearly the same.
    pub fn lookup(&self, name: &str) -> Option<Value> {
        let wanted = key(name);
        let exact = self.json.iter().find_map(|value| find_key(value, &|found| key(found) == wanted, 4));
        exact
            .or_else(|| self.label(&|label| key(label) == wanted))
            .or_else(|| self.json.iter().find_map(|value| find_key(value, &|found| words::is_near(found, name), 3)))
            .or_else(|| self.label(&|label| words::is_near(label, name)))
            .filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    fn label(&self, fits: &dyn Fn(&str) -> bool) -> Option<Value> {
        self.labelled.iter().find(|(label, _)| fits(label)).map(|(_, value)| Value::String(value.clone()))
    }

    /// The labelled blocks that are whole paragraphs: notes of others that are to be brought together.
    pub fn blocks(&self) -> Vec<(&str, &str)> {
        self.labelled
            .iter()
            .filter(|(_, value)| value.len() > 80 || value.contains('\n'))
            .map(|(label, value)| (label.as_str(), value.as_str()))
            .collect()
    }

    /// The short labelled values, where the text is a form filled in: three of them or more.
    pub fn form(&self) -> Vec<(&str, &str)> {
        let short = |value: &str| !value.is_empty() && value.len() <= 300 && !value.contains('\n');
        let fields = self.labelled.iter().filter(|(_, value)| short(value));
        let fields: Vec<_> = fields.map(|(label, value)| (label.as_str(), value.as_str())).collect();
        if fields.len() >= 3 { fields } else { Vec::new() }
    }

    /// The number under a name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        match self.lookup(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => words::numbers(&text).first().map(|one| one.value),
            _ => None,
        }
    }

    /// What is given besides the question: the sentences under all other labels.
    pub fn given(&self) -> Vec<&str> {
        let of_question = ["question", "subject", "title", "topic", "readers", "audience"];
        let others = self.labelled.iter().filter(|(label, _)| !of_question.contains(&key(label).as_str()));
        others.flat_map(|(_, value)| words::sentences(value)).filter(|one| *one != "nothing yet").take(6).collect()
    }

    /// Whether the text puts a question under that label.
    pub fn has_question(&self) -> bool {
        self.lookup_exact("question").is_some()
    }

    /// The lists of objects in the text and in results, the longest first.
    pub fn lists(&self) -> Vec<&Vec<Value>> {
        let mut found = Vec::new();
        self.json.iter().for_each(|value| collect_lists(value, &mut found, 4));
        found.sort_by_key(|list| std::cmp::Reverse(list.len()));
        found
    }

    /// What the question is about, without instructions: the message, the document, the text.
    pub fn core(&self) -> String {
        for name in ["message", "text", "body", "content", "document", "question", "description", "notes"] {
            if let Some(Value::String(text)) = self.lookup_exact(name)
                && !text.trim().is_empty()
            {
                return text;
            }
        }
        let paragraphs: Vec<&str> = self.text.split("\n\n").map(str::trim).filter(|one| !one.is_empty()).collect();
        let told: Vec<&str> = paragraphs
            .iter()
            .copied()
            .filter(|one| !words::is_instruction(one) && !words::is_labels_only(one))
            .collect();
        let kept = if told.is_empty() { paragraphs } else { told };
        kept.join("\n\n")
    }

    /// What a colleague asks to be different from the last draft.
    pub fn changes(&self) -> Option<String> {
        self.lookup_exact("changes").map(|text| plain(&text))
    }

    fn lookup_exact(&self, name: &str) -> Option<Value> {
        let fits = |found: &str| key(found) == name;
        self.json.iter().find_map(|value| find_key(value, &fits, 4)).or_else(|| self.label(&fits))
    }

    /// The subject in a few words: as labelled, else the first sentence of the core.
    pub fn subject(&self) -> String {
        for name in ["subject", "title", "topic", "question"] {
            if let Some(Value::String(text)) = self.lookup_exact(name)
                && !text.trim().is_empty()
            {
                return words::short_line(&text, 120);
            }
        }
        let core = self.core();
        let first = words::sentences(&core).into_iter().next().unwrap_or_default().to_owned();
        words::short_line(words::without_command(&first), 120)
    }

    /// The name of the person who writes, where the text tells it.
    pub fn person(&self) -> Option<String> {
        for name in ["customer_name", "from", "customer", "name", "sender"] {
            if let Some(Value::String(text)) = self.lookup_exact(&key(name)) {
                let name = text.split(['<', '(', ',']).next().unwrap_or_default().trim().trim_matches('"').to_owned();
                if !name.is_empty() && !name.contains('@') && name.len() <= 60 {
                    return Some(name);
                }
            }
        }
        words::author(&self.text).or_else(|| words::signature(&self.core()))
    }
}

fn results(since: &[Message]) -> Vec<ToolResult<'_>> {
    let requests: Vec<_> = since
        .iter()
        .filter_map(|message| if let Message::Assistant { tool_calls, .. } = message { Some(tool_calls) } else { None })
        .flatten()
        .collect();
    since
        .iter()
        .filter_map(|message| {
            let Message::Tool { id, tool, output, failed } = message else { return None };
            let arguments = requests.iter().find(|one| one.id == *id).map_or(&Value::Null, |one| &one.arguments);
            Some(ToolResult { tool, arguments, output: unmarked(output), failed: *failed })
        })
        .collect()
}

/// A tool's result as it was before it was marked as outside text.
fn unmarked(output: &Value) -> Cow<'_, Value> {
    match output.as_str().and_then(outside::between_marks) {
        Some(text) => Cow::Owned(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))),
        None => Cow::Borrowed(output),
    }
}

fn find_key(value: &Value, fits: &dyn Fn(&str) -> bool, levels: usize) -> Option<Value> {
    if levels == 0 {
        return None;
    }
    match value {
        Value::Object(fields) => fields
            .iter()
            .find(|(name, _)| fits(name))
            .map(|(_, found)| found.clone())
            .or_else(|| fields.values().find_map(|inner| find_key(inner, fits, levels - 1))),
        Value::Array(items) => items.iter().take(20).find_map(|inner| find_key(inner, fits, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn collect_lists<'v>(value: &'v Value, found: &mut Vec<&'v Vec<Value>>, levels: usize) {
    match value {
        Value::Array(items) => {
            if items.iter().any(Value::is_object) {
                found.push(items);
            }
            if levels > 0 {
                items.iter().for_each(|item| collect_lists(item, found, levels - 1));
            }
        }
        Value::Object(fields) if levels > 0 => {
            fields.values().for_each(|field| collect_lists(field, found, levels - 1));
        }
        _ => {}
    }
}

/// A value as a person would write it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
