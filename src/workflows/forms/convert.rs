//! From a step to its form and back. Faults name the form's fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    StepForm,
    values::{self, normal},
};
use crate::{
    access::Role,
    engine::plan::{
        Alternative, Approval, Branch, BranchName, Budget, Cache, Gate, Http, Join, MAX_QUORUM, MAX_ROUNDS, Node,
        NodeKey, NodeKind, OnError, OnExpiry, Port, RetryPolicy, ToolAlternative, validate::MAX_SECONDS,
    },
    kernel::{Error, FieldError, Money, Result},
    tools,
};

impl StepForm {
    /// The form of a step.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let text = |on: Option<String>| on.unwrap_or_default();
        let form = Self {
            name: node.name.clone(),
            key: node.id.to_string(),
            kind: node.kind.word().to_owned(),
            after: numbered(node.after.iter().map(ToString::to_string)),
            join: match node.join {
                Join::All => "all".to_owned(),
                Join::Any => "any".to_owned(),
                Join::Count(count) => count.to_string(),
            },
            timeout_s: text(node.timeout_s.map(|seconds| seconds.to_string())),
            attempts: text(node.retry.as_ref().map(|retry| retry.attempts.to_string())),
            pause_s: text(node.retry.as_ref().map(|retry| seconds(retry.backoff_ms))),
            on_error: match node.on_error {
                OnError::Default => "default",
                OnError::Fail => "fail",
                OnError::Continue => "continue",
                OnError::Ask => "ask",
            }
            .to_owned(),
            alternatives: node.alternatives.iter().map(alternative_line).collect::<Vec<_>>().join("\n"),
            requires_approval: node.requires_approval.as_str().to_owned(),
            at_most_once: flag(node.at_most_once),
            budget: text(node.budget.and_then(|budget| budget.cost).map(Money::typed)),
            cache_h: node.cache.seconds().map(hours).unwrap_or_default(),
            locks: node.locks.join("\n"),
            lock_s: text(node.lock_s.map(|seconds| seconds.to_string())),
            pinned: values::write(&node.pinned),
            otherwise: BranchName::otherwise().to_string(),
            on_expiry: OnExpiry::default().as_str().to_owned(),
            concurrency: "5".to_owned(),
            ..Self::default()
        };
        form.with_kind(&node.kind)
    }

    fn with_kind(self, kind: &NodeKind) -> Self {
        match kind {
            NodeKind::Start => self,
            NodeKind::Agent { agent, prompt, history, memory_key } => Self {
                agent: agent.clone(),
                prompt: prompt.clone(),
                history: values::write(history),
                memory_key: memory_key.clone(),
                ..self
            },
            NodeKind::Tool { tool, arguments } => {
                let mut form = Self { tool: tool.clone(), ..self };
                match arguments {
                    // Only of built-in tools the form has a field for each argument.
                    Value::Object(fields) if tools::find(tool).is_some() => {
                        form.arguments =
                            fields.iter().map(|(name, value)| (name.clone(), argument(tool, name, value))).collect();
                    }
                    other => form.arguments_value = values::write(other),
                }
                form
            }
            NodeKind::Http(http) => Self {
                method: http.method.clone(),
                url: http.url.clone(),
                query: values::write(&http.query),
                headers: values::write(&http.headers),
                body: values::write(&http.body),
                accept_errors: flag(http.accept_errors),
                ..self
            },
            NodeKind::Transform { value } => Self { value: values::write(value), ..self },
            NodeKind::Decision { branches, otherwise } => Self {
                branch: numbered(branches.iter().map(|branch| branch.name.to_string())),
                when: numbered(branches.iter().map(|branch| branch.when.clone())),
                otherwise: otherwise.to_string(),
                ..self
            },
            NodeKind::Approval(approval) => Self {
                title: approval.title.clone(),
                message: approval.message.clone(),
                payload: values::write(&approval.payload),
                impact: approval.impact.clone(),
                amount: values::write(&approval.amount),
                currency: approval.currency.clone(),
                why: approval.why.clone(),
                confidence: values::write(&approval.confidence),
                reversible_until: approval.reversible_until.clone(),
                reversible: flag(approval.reversible),
                role: approval.role.map(|role| role.as_str().to_owned()).unwrap_or_default(),
                expires_h: approval.expires_s.map(hours).unwrap_or_default(),
                people: approval.people.join("\n"),
                quorum: approval.quorum.to_string(),
                not_own: flag(approval.not_own),
                on_expiry: match (approval.on_expiry, approval.escalate_to) {
                    (OnExpiry::Escalate, Some(to)) if to != Role::Admin => format!("escalate_{}", to.as_str()),
                    (on_expiry, _) => on_expiry.as_str().to_owned(),
                },
                ..self
            },
            NodeKind::Map { items, concurrency, result, max_failures, .. } => Self {
                items: items.clone(),
                concurrency: concurrency.to_string(),
                result: values::write(result),
                max_failures: max_failures.to_string(),
                ..self
            },
            NodeKind::Loop { until, max, result, .. } => {
                Self { until_done: until.clone(), max: max.to_string(), result: values::write(result), ..self }
            }
            NodeKind::Workflow { workflow, version, input } => Self {
                workflow: workflow.clone(),
                version: version.map(|version| version.to_string()).unwrap_or_default(),
                input: values::write(input),
                ..self
            },
            NodeKind::WaitEvent { event } => Self { event: event.clone(), ..self },
            NodeKind::Wait { seconds, until } => {
                Self { seconds: values::write(seconds), until: values::write(until), ..self }
            }
            NodeKind::End { output } => Self { output: values::write(output), ..self },
        }
    }

    /// The step of a form. What the form does not show (the steps inside of a group, the growth of pauses) is taken from the
    /// step as it was before.
    ///
    /// # Errors
    /// `invalid`, with the form's fields at fault. Whether the step can run is said later, by validation.
    pub fn node(&self, before: Option<&Node>) -> Result<Node> {
        let mut form = Reader { faults: Vec::new() };
        let id = form.named("key", &self.key, NodeKey::parse);
        let after: Vec<Option<Port>> =
            in_order(&self.after).map(|port| form.named("after", port, Port::parse)).collect();
        let inner = before.and_then(|before| before.kind.inner()).cloned().unwrap_or_default();
        let kind = self.kind(inner, &mut form);
        let longest = if self.kind == "wait_event" { MAX_SECONDS } else { 86_400 };
        let timeout_s = form.number("timeout_s", &self.timeout_s, 1, longest);
        let retry = form.number("attempts", &self.attempts, 1, 10).map(|attempts| {
            let default = before.and_then(|before| before.retry.clone()).unwrap_or_default();
            let pause = form.decimal("pause_s", &self.pause_s, 3_600.0).unwrap_or(1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 3,600 seconds")]
            let backoff_ms = (pause * 1_000.0).round() as u64;
            RetryPolicy {
                attempts: u32::try_from(attempts).unwrap_or(1),
                backoff_ms,
                max_backoff_ms: default.max_backoff_ms.max(backoff_ms),
                ..default
            }
        });
        // What follows a failure is asked of some kinds only; of the others it stays as it was.
        let kept = before.filter(|_| self.on_error.is_empty());
        let alternatives = match kept {
            Some(kept) => kept.alternatives.clone(),
            None => form.alternatives(&self.alternatives, before),
        };
        let pinned = form.value("pinned", &self.pinned);
        let budget = form.budget(&self.budget, before.filter(|before| before.kind.word() == self.kind));
        let cache = match before.map(|before| before.cache).unwrap_or_default() {
            // Hours say it less exactly.
            same if same.seconds().map(hours).unwrap_or_default() == self.cache_h.trim() => same,
            _ => form.decimal("cache_h", &self.cache_h, 720.0).map_or_else(Cache::default, |hours| {
                let seconds = (hours * 3_600.0).round() as u64;
                if seconds == 0 { Cache::default() } else { Cache::of(seconds) }
            }),
        };
        let lock_s = form.count("lock_s", &self.lock_s, 1, 86_400);
        let join = match self.join.as_str() {
            "any" => Join::Any,
            "" | "all" => Join::All,
            count => form
                .number("join", count, 1, 300)
                .and_then(|count| u32::try_from(count).ok())
                .map_or(Join::All, Join::Count),
        };
        if let Some(error) = Error::invalid_fields(form.faults) {
            return Err(error);
        }
        let (Some(id), Some(kind)) = (id, kind) else { return Err(Error::invalid("kind", "Choose a kind of step.")) };
        Ok(Node {
            id,
            name: self.name.trim().to_owned(),
            kind,
            after: after.into_iter().flatten().collect(),
            join,
            timeout_s,
            retry,
            on_error: match self.on_error.as_str() {
                "" => kept.map(|kept| kept.on_error).unwrap_or_default(),
                "fail" => OnError::Fail,
                "continue" => OnError::Continue,
                "ask" => OnError::Ask,
                _ => OnError::Default,
            },
            alternatives,
            requires_approval: kept
                .map_or_else(|| Gate::parse(&self.requires_approval), |kept| kept.requires_approval.clone()),
            at_most_once: kept.map_or(self.at_most_once == "true", |kept| kept.at_most_once),
            cache,
            budget,
            locks: kept.map_or_else(|| lines(&self.locks), |kept| kept.locks.clone()),
            lock_s: kept.map_or(lock_s, |kept| kept.lock_s),
            pinned: kept.map_or(pinned, |kept| kept.pinned.clone()),
        })
    }

    fn kind(&self, inner: Vec<Node>, form: &mut Reader) -> Option<NodeKind> {
        Some(match self.kind.as_str() {
            "start" => NodeKind::Start,
            "agent" => NodeKind::Agent {
                agent: self.agent.clone(),
                prompt: normal(&self.prompt),
                history: form.value("history", &self.history),
                memory_key: self.memory_key.trim().to_owned(),
            },
            "tool" => NodeKind::Tool { tool: self.tool.clone(), arguments: self.tool_arguments(form) },
            "http" => NodeKind::Http(Box::new(Http {
                method: if self.method.is_empty() { "GET".to_owned() } else { self.method.clone() },
                url: self.url.trim().to_owned(),
                query: form.value("query", &self.query),
                headers: form.value("headers", &self.headers),
                body: form.value("body", &self.body),
                accept_errors: self.accept_errors == "true",
            })),
            "transform" => NodeKind::Transform { value: form.value("value", &self.value) },
            "decision" => NodeKind::Decision {
                branches: self.branches(form),
                otherwise: form.named("otherwise", &self.otherwise, BranchName::parse)?,
            },
            "approval" => NodeKind::Approval(Box::new(Approval {
                title: normal(&self.title),
                message: normal(&self.message),
                payload: form.value("payload", &self.payload),
                impact: normal(&self.impact),
                amount: form.value("amount", &self.amount),
                currency: self.currency.trim().to_owned(),
                why: normal(&self.why),
                confidence: form.value("confidence", &self.confidence),
                reversible: self.reversible == "true",
                reversible_until: self.reversible_until.trim().to_owned(),
                role: Role::parse(&self.role),
                expires_s: form.decimal("expires_h", &self.expires_h, 8_784.0).map(|hours| {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 366 days")]
                    let seconds = (hours * 3_600.0).round() as u64;
                    seconds
                }),
                people: self.people.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect(),
                quorum: form.count("quorum", &self.quorum, 1, u64::from(MAX_QUORUM)).unwrap_or(1),
                not_own: self.not_own == "true",
                on_expiry: match self.on_expiry.as_str() {
                    "approve" => OnExpiry::Approve,
                    word if word.starts_with("escalate") => OnExpiry::Escalate,
                    _ => OnExpiry::Reject,
                },
                escalate_to: self.on_expiry.strip_prefix("escalate_").and_then(Role::parse),
            })),
            "map" => NodeKind::Map {
                items: normal(&self.items),
                concurrency: form.count("concurrency", &self.concurrency, 1, 100).unwrap_or(5),
                nodes: inner,
                result: form.value("result", &self.result),
                max_failures: form.count("max_failures", &self.max_failures, 0, 10_000).unwrap_or(0),
            },
            "loop" => NodeKind::Loop {
                until: normal(&self.until_done),
                max: form.count("max", &self.max, 1, u64::from(MAX_ROUNDS)).unwrap_or(10),
                nodes: inner,
                result: form.value("result", &self.result),
            },
            "workflow" => NodeKind::Workflow {
                workflow: self.workflow.trim().to_owned(),
                version: form
                    .number("version", &self.version, 1, 1_000_000)
                    .and_then(|version| i32::try_from(version).ok()),
                input: form.value("input", &self.input),
            },
            "wait_event" => NodeKind::WaitEvent { event: normal(&self.event).trim().to_owned() },
            "wait" => NodeKind::Wait {
                seconds: form.value("seconds", &self.seconds),
                until: form.value("until", &self.until),
            },
            "end" => NodeKind::End { output: form.value("output", &self.output) },
            _ => {
                form.fault("kind", "Choose a kind of step.");
                return None;
            }
        })
    }

    /// Only the arguments that the tool has: what was typed for another tool before is left behind.
    fn tool_arguments(&self, form: &mut Reader) -> Value {
        let named = tools::find(&self.tool).and_then(|tool| tool.parameters["properties"].as_object());
        let Some(properties) = named.filter(|_| self.arguments_value.trim().is_empty()) else {
            return form.value("arguments_value", &self.arguments_value);
        };
        let mut arguments = Map::new();
        for name in properties.keys() {
            let Some(text) = self.arguments.get(name).filter(|text| !text.trim().is_empty()) else { continue };
            let value = if takes_text(&self.tool, name) {
                Value::String(normal(text))
            } else {
                form.value(&format!("arguments.{name}"), text)
            };
            arguments.insert(name.clone(), value);
        }
        Value::Object(arguments)
    }

    fn branches(&self, form: &mut Reader) -> Vec<Branch> {
        let mut branches = Vec::new();
        for (place, name) in &self.branch {
            let when = self.when.get(place).map(String::as_str).unwrap_or_default();
            if name.trim().is_empty() && when.trim().is_empty() {
                continue;
            }
            if let Some(name) = form.named(&format!("branch.{place}"), name, BranchName::parse) {
                branches.push(Branch { name, when: normal(when) });
            }
        }
        branches
    }
}

fn alternative_line(alternative: &Alternative) -> String {
    let what = match alternative {
        Alternative::Agent(_) => "agent",
        Alternative::Model(_) => "model",
        Alternative::Tool(_) => "tool",
    };
    format!("{what} {}", alternative.about())
}

/// The texts of a field that takes one in each line.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A box as it is sent when it is ticked.
fn flag(ticked: bool) -> String {
    if ticked { "true".to_owned() } else { String::new() }
}

/// An argument as its field shows it: what must be a text stands there as it is.
fn argument(tool: &str, name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if takes_text(tool, name) => text.clone(),
        value => values::write(value),
    }
}

fn takes_text(tool: &str, name: &str) -> bool {
    tools::find(tool).is_some_and(|tool| tool.parameters["properties"][name]["type"] == "string")
}

struct Reader {
    faults: Vec<FieldError>,
}

impl Reader {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.faults.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    fn named<T>(&mut self, field: &str, text: &str, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        parse(text.trim()).map_err(|message| self.fault(field, message)).ok()
    }

    fn value(&mut self, field: &str, text: &str) -> Value {
        values::read(text).unwrap_or_else(|message| {
            self.fault(field, message);
            Value::Null
        })
    }

    fn count(&mut self, field: &str, text: &str, least: u64, most: u64) -> Option<u32> {
        self.number(field, text, least, most).and_then(|count| u32::try_from(count).ok())
    }

    /// One alternative in each line. The arguments of a tool that was there before are kept.
    fn alternatives(&mut self, text: &str, before: Option<&Node>) -> Vec<Alternative> {
        let mut found = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            found.push(match line.split_once(char::is_whitespace).map(|(what, name)| (what, name.trim())) {
                Some(("agent", name)) => Alternative::Agent(name.to_owned()),
                Some(("model", name)) => Alternative::Model(name.to_owned()),
                Some(("tool", name)) => {
                    let kept = before.into_iter().flat_map(|before| &before.alternatives).find_map(|old| match old {
                        Alternative::Tool(tool) if tool.name == name => Some(tool.arguments.clone()),
                        _ => None,
                    });
                    let arguments = kept.unwrap_or_default();
                    Alternative::Tool(ToolAlternative { name: name.to_owned(), arguments })
                }
                _ => {
                    self.fault("alternatives", "Write “agent”, “model” or “tool” and its name, one in each line.");
                    continue;
                }
            });
        }
        found
    }

    /// In dollars. A limit on tokens, which the form does not show, is kept.
    fn budget(&mut self, text: &str, before: Option<&Node>) -> Option<Budget> {
        let tokens = before.and_then(|before| before.budget?.tokens);
        let cost = match text.trim() {
            "" => None,
            text => Money::parse(text).or_else(|| {
                self.fault("budget", "Enter an amount in dollars, such as 1.00, or leave it empty.");
                None
            }),
        };
        (cost.is_some() || tokens.is_some()).then_some(Budget { cost, tokens })
    }

    fn number(&mut self, field: &str, text: &str, least: u64, most: u64) -> Option<u64> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(field, format!("Enter a whole number from {least} to {most}, or leave it empty."));
        }
        number
    }

    fn decimal(&mut self, field: &str, text: &str, most: f64) -> Option<f64> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
        if number.is_none() {
            self.fault(field, format!("Enter a number from 0 to {most}, or leave it empty."));
        }
        number
    }
}

fn numbered(texts: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    texts.enumerate().map(|(place, text)| (format!("{place:02}"), text)).collect()
}

fn in_order(texts: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    texts.values().map(String::as_str).filter(|text| !text.is_empty())
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    trimmed(ms as f64 / 1_000.0)
}

/// Seconds as hours.
fn hours(seconds: u64) -> String {
    trimmed(seconds as f64 / 3_600.0)
}

fn trimmed(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: Value) -> Node {
        serde_json::from_value(value).expect("a node")
    }

    #[test]
    fn every_kind_survives_its_form() {
        for value in [
            json!({ "id": "start", "name": "Start", "kind": "start" }),
            json!({ "id": "a", "kind": "agent", "agent": "writer", "prompt": "Write\n{{ input.x }}", "after": ["start", "size.large"],
                    "join": "any", "timeout_s": 60, "on_error": "continue", "cache": true,
                    "budget": { "cost": 0.25, "tokens": 5000 },
                    "retry": { "attempts": 2, "backoff_ms": 1500, "factor": 2.0, "max_backoff_ms": 60000 } }),
            json!({ "id": "t", "kind": "tool", "tool": "http_request",
                    "arguments": { "url": "{{ item }}", "headers": { "Accept": "text/html" }, "accept_errors": true, "body": "12 apples" } }),
            json!({ "id": "e", "kind": "tool", "tool": "email_send",
                    "arguments": { "to": ["a@example.com"], "subject": "12", "body": "Hello\n\nyou" } }),
            json!({ "id": "u", "kind": "tool", "tool": "unheard_of", "arguments": "{{ input }}",
                    "locks": ["invoice {{ input.number }}", "till"], "lock_s": 60 }),
            json!({ "id": "u", "kind": "tool", "tool": "email_send", "arguments": "{{ input.mail }}" }),
            json!({ "id": "c", "kind": "tool", "tool": "calculator", "arguments": { "expression": "1" }, "cache": 100 }),
            json!({ "id": "v", "kind": "transform", "value": { "a": "{{ 1 }}", "b": [1, "2"] } }),
            json!({ "id": "d", "kind": "decision", "branches": [{ "name": "large", "when": "{{ true }}" }, { "name": "mid", "when": "{{ false }}" }], "otherwise": "small" }),
            json!({ "id": "q", "kind": "approval", "title": "Send", "message": "m", "payload": { "a": 1 }, "impact": "i",
                    "amount": "{{ input.amount }}", "currency": "EUR", "why": "w", "confidence": 0.9,
                    "reversible": true, "reversible_until": "2026-12-24T18:00:00Z", "role": "admin", "expires_s": 5400,
                    "on_expiry": "approve" }),
            json!({ "id": "q", "kind": "approval", "title": "Send", "people": ["ana@example.com", "{{ input.boss }}"], "quorum": 2,
                    "not_own": true, "expires_s": 3600, "on_expiry": "escalate", "escalate_to": "owner" }),
            json!({ "id": "q", "kind": "approval", "title": "Send", "expires_s": 3600, "on_expiry": "escalate" }),
            json!({ "id": "m", "kind": "map", "items": "{{ input.list }}", "concurrency": 7, "result": "{{ steps.a.output }}",
                    "nodes": [{ "id": "a", "kind": "wait", "seconds": 1 }] }),
            json!({ "id": "w", "kind": "wait", "seconds": "{{ input.n }}" }),
            json!({ "id": "w", "kind": "wait", "until": "2026-12-24T18:00:00Z" }),
            json!({ "id": "z", "kind": "end", "output": "{{ steps.a.output }}" }),
        ] {
            let node = node(value);
            assert_eq!(StepForm::of(&node).node(Some(&node)).expect("it reads"), node);
        }
    }

    #[test]
    fn faults_name_the_forms_fields() {
        let form = StepForm {
            key: "Not a key".into(),
            kind: "approval".into(),
            payload: "{ broken".into(),
            timeout_s: "soon".into(),
            attempts: "0".into(),
            expires_h: "-1".into(),
            ..StepForm::default()
        };
        let fields: Vec<String> =
            form.node(None).expect_err("faults").fields.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["key", "payload", "expires_h", "timeout_s", "attempts"]);
    }

    #[test]
    fn arguments_of_another_tool_are_left_behind() {
        let form = StepForm {
            key: "t".into(),
            kind: "tool".into(),
            tool: "calculator".into(),
            arguments: BTreeMap::from([("url".into(), "x".into()), ("expression".into(), "1 + 1".into())]),
            ..StepForm::default()
        };
        let NodeKind::Tool { arguments, .. } = form.node(None).expect("it reads").kind else { panic!("a tool") };
        assert_eq!(arguments, json!({ "expression": "1 + 1" }));
    }
}
