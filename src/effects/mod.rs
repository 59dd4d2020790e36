//! What a run may ask of the world, done with the features: models, tools and expressions behind the engine's port.

mod around;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{
    cache::{Cache, CacheKey},
    credentials::Vault,
    db::Db,
    deps::Deps,
    egress::Egress,
    engine::{
        journal::Usage,
        port::{Answer, Call, CallScope, Effects, Evaluation, ModelAnswer, ModelCall, Place, Progress},
        state::{ErrorClass, StepError},
    },
    expressions::{self, Expressions, Work},
    kernel::Kind,
    limits::{LimitKey, Limits},
    mail::Mail,
    models::{
        self, Models,
        routing::{CallContext, Outcome},
    },
    schema, shared_context,
    tools::registry::{ToolContext, Tools},
};
use around::Around;

/// Performs what runs ask for. Cheap to clone.
#[derive(Clone)]
pub struct Performer {
    cache: Cache,
    db: Db,
    egress: Egress,
    limits: Limits,
    mail: Mail,
    models: Models,
    tools: Arc<Tools>,
    vault: Vault,
    expressions: Expressions,
}

impl Performer {
    /// A performer that works with what all operations work with.
    #[must_use]
    pub fn of(deps: &Deps) -> Self {
        let Deps { db, egress, mail, models, expressions, vault, .. } = deps.clone();
        let (cache, limits) = (Cache::new(db.clone()), Limits::new(db.clone()));
        Self { cache, db, egress, limits, mail, models, tools: Arc::default(), vault, expressions }
    }

    /// Makes a call, whatever it costs and however often it was made.
    async fn call(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        match call {
            Call::Model(call) => self.call_model(&call, scope, progress).await,
            Call::Tool(call) => {
                let guardrails = call.guardrails.clone();
                let context = ToolContext {
                    db: &self.db,
                    egress: &self.egress,
                    mail: &self.mail,
                    vault: &self.vault,
                    guardrails: guardrails.as_ref(),
                    scope,
                    log: &|level, line| progress(Progress::Log(level, line)),
                };
                self.tools.call(call, &context).await
            }
        }
    }

    async fn call_model(
        &self,
        call: &ModelCall,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let around = self.around(scope);
        let context = CallContext { org: scope.org, time: scope.time, around: &around, progress };
        let mut answer = match self.models.call(call, &context).await? {
            Outcome::Answer(answer) => *answer,
            Outcome::Later { until, whom } => return Ok(Limits::later(scope, until, &whom)),
        };
        if answer.tool_calls.is_empty() && answer.fault.is_none() && !call.output_schema.is_null() {
            hold_to_schema(&mut answer, &call.output_schema);
        }
        Ok(Answer::Model(answer))
    }

    fn around<'a>(&'a self, scope: &CallScope) -> Around<'a> {
        Around { db: &self.db, limits: &self.limits, org: scope.org }
    }
}

#[async_trait]
impl Effects for Performer {
    async fn perform(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let remembered = scope.cache_s.and_then(|seconds| Some((CacheKey::of(scope.org, &call)?, seconds)));
        if let Some((key, _)) = &remembered
            && let Some(answer) = self.cache.find(scope.org, key).await
        {
            return Ok(Answer::Cached(Box::new(answer)));
        }
        // Whom a model's call goes to turns out on its way.
        let side = if let Call::Tool(call) = &call { LimitKey::of(call) } else { None };
        if let Some(side) = &side
            && let Some(later) = self.limits.put_off(scope, side).await
        {
            return Ok(later);
        }
        let result = self.call(call, scope, progress).await;
        if let (Some(side), Err(error)) = (&side, &result) {
            self.limits.hear(scope.org, side, error).await;
        }
        if let (Some((key, seconds)), Ok(answer)) = (&remembered, &result) {
            self.cache.keep(scope.org, key, answer, *seconds).await;
        }
        result
    }

    async fn place(&self, call: &Call, scope: &CallScope) -> Option<Box<dyn Place>> {
        let key = match call {
            Call::Model(call) => {
                let provider = self.models.first_provider(call, scope.org, &self.around(scope)).await?;
                LimitKey::of_provider(&provider)
            }
            Call::Tool(call) => LimitKey::of(call)?,
        };
        Some(self.limits.place(scope.org, key).await)
    }

    fn most(&self, call: &ModelCall) -> Usage {
        self.models.most(call)
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        let Evaluation { template, scope, now, seed, org, run } = evaluation;
        let mut scope = if let Value::Object(scope) = scope { scope } else { Map::new() };
        if expressions::mentions(&template, "context") {
            let context = shared_context::load(&self.db, org, run).await.map_err(|error| {
                let class = match error.kind {
                    Kind::Unavailable => ErrorClass::Unavailable,
                    Kind::TooLarge => ErrorClass::BadInput,
                    _ => ErrorClass::Internal,
                };
                StepError::new(class, error.code, error.message)
            })?;
            scope.insert("context".to_owned(), Value::Object(context));
        }
        self.expressions.evaluate(Work { template, scope, now, seed }).await
    }
}

/// Makes the answer's text the JSON that was asked for, or says in the answer what is wrong with it.
fn hold_to_schema(answer: &mut ModelAnswer, wanted: &Value) {
    let Some(value) = json_in(&answer.text) else {
        let cut = "Your answer was cut off by its length limit before its JSON was complete. Be shorter.";
        if models::was_cut(answer) {
            answer.fault = Some(cut.to_owned());
            return;
        }
        let fault = "Your answer is not JSON. Answer with one JSON value that fits the schema, and nothing else.";
        answer.fault = Some(fault.to_owned());
        return;
    };
    let faults = schema::check(wanted, &value);
    if faults.is_empty() {
        answer.text = value.to_string();
    } else {
        answer.fault = Some(format!("Your answer does not fit the schema. {}", schema::in_words(&faults)));
    }
}

/// The JSON of an answer: alone, in a code fence, or between words.
fn json_in(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let fenced = text.split("```").nth(1).map(|inside| inside.trim_start_matches("json").trim());
    if let Some(value) = fenced.and_then(|inside| serde_json::from_str(inside).ok()) {
        return Some(value);
    }
    let start = text.find(['{', '['])?;
    serde_json::Deserializer::from_str(&text[start..]).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(text: &str) -> ModelAnswer {
        ModelAnswer {
            text: text.to_owned(),
            tool_calls: Vec::new(),
            model: "x/y".to_owned(),
            usage: Usage::default(),
            fault: None,
            stop_reason: String::new(),
            provider_request_id: None,
            ..ModelAnswer::default()
        }
    }

    #[test]
    fn json_is_found_however_a_model_wraps_it() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
        for text in ["{\"a\": 1}", " ```json\n{\"a\": 1}\n``` ", "Here you are:\n{\"a\": 1}\nAnything else?"] {
            let mut answer = answer(text);
            hold_to_schema(&mut answer, &schema);
            assert_eq!((answer.text.as_str(), answer.fault), ("{\"a\":1}", None), "{text}");
        }
    }

    #[test]
    fn a_faulty_answer_says_what_is_wrong() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
        let fault = |text: &str| {
            let mut answer = answer(text);
            hold_to_schema(&mut answer, &schema);
            answer.fault.unwrap_or_default()
        };
        assert!(fault("I cannot do that.").contains("not JSON"));
        assert!(fault("{\"a\": \"x\"}").contains("a: Must be a whole number."));
        assert!(fault("{}").contains("a: This is needed"));
        assert!(!fault(&"[".repeat(100_000)).is_empty());
    }
}
