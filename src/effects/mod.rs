//! What a run may ask of the world, done with the features: models, tools and expressions behind the engine's port.

mod around;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::{
    budgets::{Admission, Budgets},
    cache::{Cache, CacheKey},
    connections::ModelConnections,
    credentials::Vault,
    db::Db,
    deps::Deps,
    egress::Egress,
    engine::{
        journal::{LogLevel, Usage},
        plan::template,
        port::{
            Answer, BUDGET_SPENT, Call, CallScope, Effects, Evaluation, MAX_ANSWER, MemoryCall, MemoryDeed,
            ModelAnswer, ModelCall, PastTask, Place, Progress, ToolCall, Tried,
        },
        state::{ErrorClass, StepError},
    },
    expressions::{Expressions, Work},
    guardrails::{Guard, Known},
    kernel::{Error, Kind, Money, text},
    limits::{LimitKey, Limits},
    mail::Mail,
    mcp::Connections,
    memory,
    models::{
        self, Class, Models,
        routing::{CallContext, Outcome},
    },
    schema, shared_context,
    tools::registry::{ToolContext, Tools},
};
use around::Around;

/// The characters of a task that are looked through before it is remembered.
const LOOKED_THROUGH: usize = 50_000;

/// Performs what runs ask for. Cheap to clone.
#[derive(Clone)]
pub struct Performer {
    budgets: Budgets,
    cache: Cache,
    connections: ModelConnections,
    db: Db,
    egress: Egress,
    known: Known,
    limits: Limits,
    mail: Mail,
    mcp: Connections,
    models: Models,
    tools: Tools,
    vault: Vault,
    expressions: Expressions,
}

impl Performer {
    /// A performer that works with what all operations work with.
    #[must_use]
    pub fn of(deps: &Deps) -> Self {
        let Deps { connections, db, egress, known, mail, mcp, models, expressions, tools, vault, .. } = deps.clone();
        let (budgets, cache, limits) = (Budgets::new(db.clone()), Cache::new(db.clone()), Limits::new(db.clone()));
        Self { budgets, cache, connections, db, egress, known, limits, mail, mcp, models, tools, vault, expressions }
    }

    /// Makes a call, whatever it costs and however often it was made.
    async fn call(
        &self,
        call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        match call {
            Call::Model(call) => self.call_model(call, scope, progress).await,
            Call::Memory(call) => self.call_memory(call, scope, progress).await,
            Call::Tool(call) => {
                let guardrails = call.guardrails.clone();
                let guard = Guard::of(&self.known, scope.org, guardrails.as_ref());
                let context = ToolContext {
                    db: &self.db,
                    egress: &self.egress,
                    expressions: &self.expressions,
                    mail: &self.mail,
                    mcp: &self.mcp,
                    vault: &self.vault,
                    guardrails: guardrails.as_ref(),
                    scope,
                    log: &|level, line| progress(Progress::Log(level, guard.line(&line))),
                };
                guard.result(self.tools.call(call, &context).await).await
            }
        }
    }

    /// Reserves what a model call may cost. Under a budget an answer is bounded, if only by the usual bound, and where it
    /// has no room for a class of tasks the call goes to a cheaper one: then the class that was asked for is given, too.
    async fn admit(&self, call: &mut ModelCall, scope: &CallScope) -> Result<(Admission, Option<Class>), StepError> {
        let own = call.max_tokens;
        call.max_tokens = own.or(Some(MAX_ANSWER));
        self.models.learn_classes(call, &self.around(scope)).await?;
        let mut ways = vec![self.models.most(call).cost];
        let asked = Class::of(&call.model);
        let lower = asked.and_then(Class::lowered);
        if let Some(lower) = lower {
            // The models to fall back on are chosen for the class that was asked for.
            let fallbacks = std::mem::take(&mut call.fallbacks);
            let model = std::mem::replace(&mut call.model, lower.id());
            let learned = self.models.learn_classes(call, &self.around(scope)).await;
            ways.push(self.models.most(call).cost);
            (call.model, call.fallbacks) = (model, fallbacks);
            learned?;
        }
        let (place, admission) = self.budgets.reserve_first(scope, &ways).await?;
        let lower = lower.filter(|_| place > 0);
        if let Some(lower) = lower {
            call.model = lower.id();
            call.fallbacks.clear();
        }
        if !matches!(admission, Admission::Held(_)) {
            call.max_tokens = own;
        }
        Ok((admission, asked.filter(|_| lower.is_some())))
    }

    async fn call_model(
        &self,
        call: ModelCall,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let guard = Guard::of(&self.known, scope.org, Some(&call.guardrails));
        let call = guard.admit(call, scope, &|line| progress(Progress::Log(LogLevel::Warn, line)))?;
        let hearing = guard.hearing(progress);
        let around = self.around(scope);
        let hear = |said| hearing.hear(said);
        let context = CallContext { org: scope.org, time: scope.time, around: &around, progress: &hear };
        let outcome = self.models.call(&call, &context).await;
        hearing.finish();
        let mut answer = match outcome.map_err(|error| guard.error(error))? {
            Outcome::Answer(answer) => *answer,
            Outcome::Later { until, whom } => return Ok(Limits::later(scope, until, &whom)),
        };
        let has_form = answer.tool_calls.is_empty() && answer.fault.is_none() && !call.output_schema.is_null();
        // JSON is read before it is cleaned: a number that becomes a mark is a text from then on.
        let mut value = has_form.then(|| json_in(&answer.text)).flatten();
        guard.answer(&mut answer, value.as_mut());
        if has_form && answer.stopped.is_none() {
            hold_to_schema(&mut answer, value, &call.output_schema);
        }
        Ok(Answer::Model(answer))
    }

    /// Reads what an agent remembers, or adds to it what its guardrails let it keep.
    async fn call_memory(
        &self,
        call: MemoryCall,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        let MemoryCall { agent, key, deed } = call;
        let say = |line: String| progress(Progress::Log(LogLevel::Info, line));
        match deed {
            MemoryDeed::Recall => {
                let recalled =
                    memory::service::recall(&self.db, scope.org, &agent, &key).await.map_err(as_step_error)?;
                say(match recalled.tasks.len() {
                    0 => format!("Nothing is remembered under “{key}” yet."),
                    1 => format!("One task is remembered under “{key}”."),
                    count => format!("{count} tasks are remembered under “{key}”."),
                });
                // What it was kept without then may have become known since.
                let output = serde_json::to_value(&recalled).unwrap_or_default();
                Guard::of(&self.known, scope.org, None).result(Ok(Answer::Tool { output })).await
            }
            MemoryDeed::Keep { task, guardrails } => {
                let guard = Guard::of(&self.known, scope.org, Some(&guardrails));
                // More than is kept, so that nothing is looked for in half a word.
                let clean = |text: &str| guard.line(&text.chars().take(LOOKED_THROUGH).collect::<String>());
                let task = PastTask { prompt: clean(&task.prompt), answer: clean(&task.answer) };
                let kept = memory::service::keep(&self.db, scope, &agent, &key, task).await;
                kept.map_err(as_step_error)?;
                say(format!("The task is remembered under “{key}”."));
                Ok(Answer::Tool { output: Value::Null })
            }
        }
    }

    fn around<'a>(&'a self, scope: &'a CallScope) -> Around<'a> {
        Around { db: &self.db, connections: &self.connections, limits: &self.limits, scope }
    }
}

#[async_trait]
impl Effects for Performer {
    async fn perform(
        &self,
        mut call: Call,
        scope: &CallScope,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Answer, StepError> {
        if let Call::Tool(call) = &call
            && call.simulated
        {
            return Ok(simulated(call));
        }
        let remembered = scope.cache_s.and_then(|seconds| Some((CacheKey::of(scope.org, &call)?, seconds)));
        if let Some((key, _)) = &remembered
            && let Some(answer) = self.cache.find(scope.org, key).await
        {
            // What it was kept without then may have become known since.
            let answer = Guard::of(&self.known, scope.org, None).result(Ok(answer)).await?;
            return Ok(Answer::Cached(Box::new(answer)));
        }
        // Whom a model's call goes to turns out on its way.
        let side = if let Call::Tool(call) = &call { LimitKey::of(call) } else { None };
        if let Some(side) = &side
            && let Some(later) = self.limits.put_off(scope, side).await
        {
            return Ok(later);
        }
        let price = if let Call::Tool(call) = &call { self.tools.cost(call) } else { Money::ZERO };
        let mut held = None;
        let mut bound = None;
        let mut lowered = None;
        if let Call::Model(call) = &mut call {
            let own = call.max_tokens;
            let (admission, asked) = self.admit(call, scope).await?;
            match admission {
                Admission::Free => {}
                Admission::Held(reservation) => held = Some(reservation),
                Admission::Later(later) => return Ok(later),
            }
            lowered = asked.map(|asked| lowered_from(asked, &call.model));
            if let Some(tried) = &lowered {
                progress(Progress::Log(LogLevel::Warn, tried.message.clone()));
            }
            bound = call.max_tokens.filter(|_| own.is_none());
        } else {
            match self.budgets.reserve(scope, price).await? {
                Admission::Free => {}
                Admission::Held(reservation) => held = Some(reservation),
                Admission::Later(later) => return Ok(later),
            }
        }
        let is_lowered = lowered.is_some();
        let mut result = self.call(call, scope, progress).await;
        if let (Some(tried), Ok(Answer::Model(answer))) = (lowered, &mut result) {
            answer.requested = Some(tried.model.clone());
            answer.tried.insert(0, tried);
        }
        // What came and could not be taken was answered, too.
        if let Err(error) = &mut result
            && error.class == ErrorClass::InvalidOutput
            && !price.is_zero()
        {
            error.set_used(Usage { cost: price, ..Usage::default() });
        }
        if let Some(reservation) = held {
            let (cost, usage) = match &result {
                Ok(Answer::Model(answer)) => (answer.spent().cost, answer.usage),
                Ok(_) => (price, Usage::default()),
                Err(error) => (error.used().cost, Usage::default()),
            };
            reservation.settle(cost).await;
            if let Some(most) = bound.filter(|most| usage.tokens_out >= *most) {
                let most = text::grouped(most);
                let line = format!("The answer was cut off: under a budget it has {most} tokens at most.");
                progress(Progress::Log(LogLevel::Warn, line));
            }
        }
        if let (Some(side), Err(error)) = (&side, &result) {
            self.limits.hear(scope.org, side, error).await;
        }
        // The answer of a cheaper class is none to the same question another time.
        if let (Some((key, seconds)), Ok(answer), false) = (&remembered, &result, is_lowered) {
            self.cache.keep(scope.org, key, answer, *seconds).await;
        }
        if price.is_zero() {
            return result;
        }
        result.map(|answer| Answer::Paid { answer: Box::new(answer), cost: price })
    }

    async fn place(&self, call: &Call, scope: &CallScope) -> Option<Box<dyn Place>> {
        let key = match call {
            Call::Model(call) => {
                let provider = self.models.first_provider(call, scope.org, &self.around(scope)).await?;
                LimitKey::of_provider(&provider)
            }
            Call::Tool(call) => LimitKey::of(call)?,
            Call::Memory(_) => return None,
        };
        Some(self.limits.place(scope.org, key).await)
    }

    fn most(&self, call: &ModelCall) -> Usage {
        self.models.most(call)
    }

    async fn evaluate(&self, evaluation: Evaluation) -> Result<Value, StepError> {
        let Evaluation { template, scope, now, seed, org, run } = evaluation;
        let mut scope = if let Value::Object(scope) = scope { scope } else { Map::new() };
        if template::mentions(&template, "context") {
            let context = shared_context::load(&self.db, org, run).await.map_err(as_step_error)?;
            scope.insert("context".to_owned(), Value::Object(context));
        }
        let mut value = self.expressions.evaluate(Work { template, scope, now, seed }).await?;
        Guard::of(&self.known, org, None).value(&mut value);
        Ok(value)
    }
}

/// A class that a budget had no room for, as it is recorded.
fn lowered_from(asked: Class, model: &str) -> Tried {
    let (from, to) = (asked.label(), models::label(model));
    let message = format!("A budget has no room for the class “{from}”: this call goes to the class “{to}” instead.");
    Tried { model: asked.id(), code: BUDGET_SPENT.to_owned(), message, usage: Usage::default() }
}

/// What went wrong in the database, as a step's error.
fn as_step_error(error: Error) -> StepError {
    let class = match error.kind {
        Kind::Unavailable => ErrorClass::Unavailable,
        Kind::TooLarge => ErrorClass::BadInput,
        _ => ErrorClass::Internal,
    };
    StepError::new(class, error.code, error.message)
}

/// What a tool says that was not called, since the run is a trial.
fn simulated(call: &ToolCall) -> Answer {
    let note = "This is a trial: nothing was changed or sent. Go on as if it had been.";
    Answer::Tool { output: json!({ "simulated": true, "note": note, "would_have": call.arguments }) }
}

/// Makes the answer's text the JSON that was asked for, or says in the answer what is wrong with it.
fn hold_to_schema(answer: &mut ModelAnswer, value: Option<Value>, wanted: &Value) {
    let Some(value) = value else {
        let cut = "Your answer was cut off by its length limit before its JSON was complete. Be shorter.";
        if models::was_cut(&answer.stop_reason) {
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
            hold_to_schema(&mut answer, json_in(text), &schema);
            assert_eq!((answer.text.as_str(), answer.fault), ("{\"a\":1}", None), "{text}");
        }
    }

    #[test]
    fn a_faulty_answer_says_what_is_wrong() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"] });
        let fault = |text: &str| {
            let mut answer = answer(text);
            hold_to_schema(&mut answer, json_in(text), &schema);
            answer.fault.unwrap_or_default()
        };
        assert!(fault("I cannot do that.").contains("not JSON"));
        assert!(fault("{\"a\": \"x\"}").contains("a: Must be a whole number."));
        assert!(fault("{}").contains("a: This is needed"));
        assert!(!fault(&"[".repeat(100_000)).is_empty());
    }
}
