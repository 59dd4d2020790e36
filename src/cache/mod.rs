//! Answers of model and tool calls that a workflow declares repeatable: the same call of the same organization gets the
//! same answer again, for as long as its node says. Failures are never kept.

mod store;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    db::Db,
    engine::{
        journal::Usage,
        port::{Answer, Call, ModelAnswer},
    },
    kernel::{OrgId, Result},
};

/// Goes into every key: another form of calls or answers needs another number.
const FORM: &str = "1";

/// What a call is found by: a hash of everything that its answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a call. The model or tool, and all that is said to it, are in the call.
    #[must_use]
    pub fn of(org: OrgId, call: &Call) -> Option<Self> {
        let call = serde_json::to_value(call).ok()?;
        let mut text = format!("{FORM}/{org}/");
        write_canonical(&call, &mut text);
        Some(Self(Sha256::digest(text).into()))
    }
}

/// JSON in one form only: the fields of objects in the order of their names.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, field) in names {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_canonical(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// The answers that are kept. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    db: Db,
}

impl Cache {
    /// The answers that this database keeps.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The answer to a call, where there is one. Without a database there is none.
    pub async fn find(&self, org: OrgId, key: &CacheKey) -> Option<Answer> {
        match self.read(org, key).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "a cached answer could not be read; the call is made");
                None
            }
        }
    }

    async fn read(&self, org: OrgId, key: &CacheKey) -> Result<Option<Answer>> {
        let mut connection = self.db.engine().acquire().await?;
        let answer = store::find(&mut connection, org, &key.0).await?;
        Ok(answer.and_then(|answer| serde_json::from_value(answer).ok()))
    }

    /// Keeps the answer to a call for so many seconds, if it is one that may be given again.
    pub async fn keep(&self, org: OrgId, key: &CacheKey, answer: &Answer, seconds: u64) {
        let Some(answer) = repeatable(answer) else { return };
        let kept = async {
            let mut connection = self.db.engine().acquire().await?;
            store::keep(&mut connection, org, &key.0, &answer, seconds as f64).await
        };
        if let Err(error) = kept.await {
            tracing::warn!(%error, "an answer could not be kept; the next such call is made again");
        }
    }
}

/// An answer as it is given again, which costs nothing. Not one that is a failure in the form of an answer, and not one
/// that somebody must give each time.
fn repeatable(answer: &Answer) -> Option<Value> {
    let again = match answer {
        Answer::Model(answer) if answer.fault.is_none() && answer.stopped.is_none() => {
            let mut again = ModelAnswer { usage: Usage::default(), ..answer.clone() };
            again.tried.iter_mut().for_each(|tried| tried.usage = Usage::default());
            Answer::Model(again)
        }
        // An HTTP answer with a status of failure that the node accepts.
        Answer::Tool { output } if output.get("ok") != Some(&Value::Bool(false)) => answer.clone(),
        _ => return None,
    };
    serde_json::to_value(again).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(more: Value) -> Call {
        let mut call = json!({
            "type": "model", "model": "openai/x", "system": "s", "messages": [{ "role": "user", "text": "hello" }],
            "tools": [{ "name": "look", "description": "", "parameters": { "type": "object", "a": 1 } }],
        });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(call).unwrap()
    }

    #[test]
    fn all_that_matters_is_in_the_key_and_nothing_else() {
        let org = OrgId::new();
        let key = CacheKey::of(org, &model(json!({})));
        assert_eq!(key, CacheKey::of(org, &model(json!({}))));
        assert_ne!(key, CacheKey::of(OrgId::new(), &model(json!({}))));
        for other in [
            json!({ "model": "openai/y" }),
            json!({ "system": "t" }),
            json!({ "messages": [{ "role": "user", "text": "bye" }] }),
            json!({ "tools": [] }),
            json!({ "output_schema": { "type": "object" } }),
            json!({ "temperature": 0.5 }),
            json!({ "max_tokens": 7 }),
        ] {
            assert_ne!(key, CacheKey::of(org, &model(other.clone())), "{other}");
        }
    }

    #[test]
    fn the_order_of_fields_is_nothing_and_that_of_items_is_something() {
        let written = |text: &str| {
            let mut out = String::new();
            write_canonical(&serde_json::from_str(text).unwrap(), &mut out);
            out
        };
        assert_eq!(written(r#"{"b":[1,{"y":1,"x":2}],"a":"\""}"#), written(r#"{"a":"\"","b":[1,{"x":2,"y":1}]}"#));
        assert_ne!(written("[1,2]"), written("[2,1]"));
        assert_ne!(written(r#"["1"]"#), written("[1]"));
        assert_ne!(written(r#"[["a"],"b"]"#), written(r#"["a",["b"]]"#));
    }

    #[test]
    fn only_what_went_well_is_kept_and_it_costs_nothing_again() {
        let answer = |fault: Option<&str>| {
            Answer::Model(ModelAnswer {
                text: "hi".to_owned(),
                tool_calls: Vec::new(),
                model: "openai/x".to_owned(),
                usage: Usage { tokens_in: 3, ..Usage::default() },
                fault: fault.map(str::to_owned),
                stop_reason: "stop".to_owned(),
                ..ModelAnswer::default()
            })
        };
        assert_eq!(repeatable(&answer(None)).unwrap()["usage"]["tokens_in"], 0);
        assert_eq!(repeatable(&answer(Some("no JSON"))), None);
        assert!(repeatable(&Answer::Tool { output: json!({ "ok": true }) }).is_some());
        assert!(repeatable(&Answer::Tool { output: json!([1]) }).is_some());
        assert_eq!(repeatable(&Answer::Tool { output: json!({ "ok": false, "status": 500 }) }), None);
        assert_eq!(repeatable(&Answer::AskHuman { question: "?".to_owned() }), None);
    }
}
