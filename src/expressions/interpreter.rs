//! One evaluation: a fresh QuickJS runtime, the data, the template's expressions one after the other, and the limits
//! around all of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rquickjs::{
    Context, Ctx, Error, Function, Runtime, Value as JsValue,
    context::{EvalOptions, intrinsic},
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

use super::{Fault, MAX_EXPRESSION, MAX_MEMORY, MAX_MS, MAX_NESTING, MAX_RESULT, NAMES, Work};
use crate::{
    engine::plan::template::{self, Piece},
    schema::is_shallow,
};

/// What the language has inside: no typed arrays, no proxies, nothing from outside. Promises are there because functions
/// that are `async` cannot be freed without them.
type Inside = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
);

const MAX_STACK: usize = 256 << 10;
const PRELUDE: &str = include_str!("prelude.js");

/// Fills in a template.
pub(super) fn evaluate(work: &Work) -> Result<Value, Fault> {
    if !is_shallow(&work.template, MAX_NESTING) {
        return Err(Fault::Nesting);
    }
    let deadline = worked() + Duration::from_millis(MAX_MS);
    let late = Arc::new(AtomicBool::new(false));
    let runtime = Runtime::new().map_err(|_| Fault::Memory(String::new()))?;
    runtime.set_memory_limit(MAX_MEMORY);
    runtime.set_max_stack_size(MAX_STACK);
    let seen = Arc::clone(&late);
    runtime.set_interrupt_handler(Some(Box::new(move || {
        let is_late = worked() >= deadline;
        seen.fetch_or(is_late, Ordering::Relaxed);
        is_late
    })));
    let context = Context::custom::<Inside>(&runtime).map_err(|_| Fault::Memory(String::new()))?;
    context.with(|ctx| {
        let mut filling = Filling { ctx: ctx.clone(), scope: &work.scope, late: &late, deadline, left: MAX_RESULT };
        filling.prepare(work)?;
        filling.fill(&work.template)
    })
}

/// How long this thread has worked so far. Not the clock on the wall: whoever has to wait for a core on a busy machine
/// uses up nothing.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

struct Filling<'js, 'a> {
    ctx: Ctx<'js>,
    scope: &'a Map<String, Value>,
    late: &'a AtomicBool,
    deadline: Duration,
    /// Bytes that the result may still grow by.
    left: usize,
}

impl<'js> Filling<'js, '_> {
    /// Puts the data in place: only the names that are mentioned, so that an expression pays for what it reads.
    fn prepare(&self, work: &Work) -> Result<(), Fault> {
        let mut data: Map<String, Value> = NAMES
            .iter()
            .filter(|name| template::mentions(&work.template, name))
            .filter_map(|name| Some(((*name).to_owned(), self.scope.get(*name)?.clone())))
            .collect();
        let now = work.now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        data.insert("now".to_owned(), Value::String(now));
        let names: Vec<String> = data.keys().cloned().collect();
        let json = Value::Object(data).to_string();
        let seed = (work.seed ^ (work.seed >> 32)) as u32;
        let ran = self
            .ctx
            .eval::<Function<'js>, _>(PRELUDE)
            .and_then(|prelude| prelude.call::<_, ()>((work.now.timestamp_millis() as f64, seed, names, json)));
        ran.map_err(|error| match self.sort("", &error) {
            // Our own code does not fail but for lack of room.
            Fault::Failed { error, .. } => {
                tracing::error!(error, "the expressions' prelude failed");
                Fault::Memory("the data that is read".to_owned())
            }
            other => other,
        })
    }

    fn fill(&mut self, template: &Value) -> Result<Value, Fault> {
        match template {
            Value::String(text) => self.fill_text(text),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => {
                let filled = fields.iter().map(|(name, field)| Ok((name.clone(), self.fill(field)?)));
                filled.collect::<Result<_, _>>().map(Value::Object)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(template.clone()),
        }
    }

    fn fill_text(&mut self, text: &str) -> Result<Value, Fault> {
        if let Some(expression) = template::whole_expression(text) {
            let json = self.json(expression)?;
            self.take(json.len())?;
            let value: Value = serde_json::from_str(&json).map_err(|_| Fault::Nesting)?;
            return if is_shallow(&value, MAX_NESTING) { Ok(value) } else { Err(Fault::Nesting) };
        }
        let mut filled = String::new();
        for piece in template::pieces(text).map_err(Fault::Template)? {
            let before = filled.len();
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Expression(expression) => filled.push_str(&self.text(expression)?),
            }
            self.take(filled.len() - before)?;
        }
        Ok(Value::String(filled))
    }

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(bytes).ok_or(Fault::Size)?;
        Ok(())
    }

    /// An expression's value as JSON; nothing is null.
    fn json(&self, expression: &str) -> Result<String, Fault> {
        let value = self.run(expression)?;
        if value.is_undefined() {
            return Ok("null".to_owned());
        }
        if value.is_promise() {
            return Err(Fault::failed(
                expression,
                "the result is a promise, and nothing can be waited for here",
                self.scope,
            ));
        }
        if let Some(number) = value.as_number().filter(|number| !number.is_finite()) {
            let error = format!("the result is {number}, which is not a number that data can hold");
            return Err(Fault::failed(expression, &error, self.scope));
        }
        let text = self.ctx.json_stringify(value).and_then(|text| text.map(|text| text.to_string()).transpose());
        match text.map_err(|error| self.sort(expression, &error))? {
            Some(text) => Ok(text),
            None => Err(Fault::failed(expression, "the result is a function, not data", self.scope)),
        }
    }

    /// An expression's value inside of a text: texts as they are, nothing as nothing, lists and objects as JSON.
    fn text(&self, expression: &str) -> Result<String, Fault> {
        let json = self.json(expression)?;
        Ok(match serde_json::from_str(&json).map_err(|_| Fault::Nesting)? {
            Value::Null => String::new(),
            Value::String(text) => text,
            _ => json,
        })
    }

    fn run(&self, expression: &str) -> Result<JsValue<'js>, Fault> {
        if expression.len() > MAX_EXPRESSION {
            return Err(Fault::Length);
        }
        if worked() >= self.deadline {
            return Err(Fault::Time(expression.to_owned()));
        }
        let mut options = EvalOptions::default();
        options.strict = true;
        options.filename = Some("expression".to_owned());
        // The line end closes a comment at the expression's end.
        let run = self.ctx.eval_with_options(format!("(\n{expression}\n)"), options);
        run.map_err(|error| self.sort(expression, &error))
    }

    /// What an error of the interpreter means.
    fn sort(&self, expression: &str, error: &Error) -> Fault {
        let thrown = if matches!(error, Error::Exception) { self.thrown() } else { error.to_string() };
        if self.late.load(Ordering::Relaxed) {
            return Fault::Time(expression.to_owned());
        }
        let low = thrown.to_lowercase();
        let full = ["out of memory", "stack overflow", "call stack size", "invalid string length", "string too long"];
        // With no memory left for an error object, null is thrown.
        let is_full =
            matches!(error, Error::Allocation) || thrown == "null" || full.iter().any(|words| low.contains(words));
        if is_full { Fault::Memory(expression.to_owned()) } else { Fault::failed(expression, &thrown, self.scope) }
    }

    /// The words of what was thrown.
    fn thrown(&self) -> String {
        let thrown = self.ctx.catch();
        if let Some(exception) = thrown.as_exception() {
            return exception.message().unwrap_or_default();
        }
        let text = thrown.as_string().and_then(|text| text.to_string().ok());
        text.unwrap_or_else(|| if thrown.is_null() { "null".to_owned() } else { "something was thrown".to_owned() })
    }
}
