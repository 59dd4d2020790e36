//! The small built-in tools: calculator, clock, mail, shared context, and asking a person.

use async_trait::async_trait;
use chrono::{Datelike as _, FixedOffset, Timelike as _};
use serde_json::{Value, json};

use super::{
    ToolInfo, arithmetic, catalog,
    registry::{Tool, ToolContext},
    store,
};
use crate::{
    engine::{
        journal::LogLevel,
        port::Answer,
        state::{ErrorClass, StepError},
    },
    kernel::{Error, Kind},
    mail::{Delivery, Letter},
    shared_context::{self, Change, Scope},
};

macro_rules! tools {
    ($($type:ident = $name:literal => $call:path;)*) => {
        $(
            struct $type(&'static ToolInfo);

            #[async_trait]
            impl Tool for $type {
                fn info(&self) -> &ToolInfo {
                    self.0
                }

                async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
                    $call(&arguments, context).await
                }
            }
        )*

        /// The tools of this file.
        pub(super) fn all() -> Vec<Box<dyn Tool>> {
            let mut all: Vec<Box<dyn Tool>> = Vec::new();
            $(all.extend(catalog::find($name).map(|info| Box::new($type(info)) as Box<dyn Tool>));)*
            all
        }
    };
}

tools! {
    Calculator = "calculator" => calculate;
    CurrentTime = "current_time" => tell_time;
    EmailSend = "email_send" => send_email;
    ContextGet = "context_get" => get_context;
    ContextSet = "context_set" => set_context;
    AskHuman = "ask_human" => ask_human;
}

fn output(value: Value) -> Answer {
    Answer::Tool { output: value }
}

fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An error of a service as the error of a step.
/// A service's error as that of a call.
pub(crate) fn classed(error: Error) -> StepError {
    let class = match error.kind {
        Kind::Unavailable => ErrorClass::Unavailable,
        Kind::Internal => ErrorClass::Internal,
        Kind::OverLimit => ErrorClass::Quota,
        _ => ErrorClass::BadInput,
    };
    StepError::new(class, error.code, error.message)
}

async fn calculate(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let expression = text(arguments, "expression");
    let result = arithmetic::evaluate(expression)
        .map_err(|message| StepError::new(ErrorClass::BadInput, "calculator.expression", message))?;
    // A whole number is written as one.
    let whole = result.fract() == 0.0 && result.abs() < 9e15;
    let result = if whole { json!(result as i64) } else { json!(result) };
    Ok(output(json!({ "expression": expression, "result": result })))
}

async fn tell_time(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let minutes = arguments.get("offset_minutes").and_then(Value::as_i64).unwrap_or(0);
    let offset = i32::try_from(minutes * 60).ok().and_then(FixedOffset::east_opt);
    let offset =
        offset.ok_or_else(|| StepError::new(ErrorClass::BadInput, "time.offset", "There is no such offset."))?;
    let mut tx = context.db.tenant(context.scope.org).await.map_err(classed)?;
    let now = store::now(&mut tx).await.map_err(classed)?.with_timezone(&offset);
    Ok(output(json!({
        "now": now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "date": now.format("%Y-%m-%d").to_string(),
        "time": format!("{:02}:{:02}", now.hour(), now.minute()),
        "weekday": weekday(now.weekday()),
        "unix": now.timestamp(),
    })))
}

fn weekday(day: chrono::Weekday) -> &'static str {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][day.num_days_from_monday() as usize]
}

async fn send_email(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let mut to: Vec<String> = match &arguments["to"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    };
    to.dedup();
    let letter =
        Letter { to, subject: text(arguments, "subject").to_owned(), body: text(arguments, "body").to_owned() };
    if letter.subject.chars().any(char::is_control) {
        return Err(StepError::new(ErrorClass::BadInput, "mail.message", "A subject is one line."));
    }
    let key = context.scope.idempotency_key();
    let receipt = context.mail.send(context.db, context.scope.org, &key, &letter).await?;
    let delivery = match receipt.delivery {
        Delivery::Sent => "sent",
        Delivery::Outbox => "outbox",
        Delivery::Unknown => {
            let line = "An earlier attempt was cut off while it was sending this e-mail. It is not sent a second time.";
            (context.log)(LogLevel::Warn, line.to_owned());
            "unknown"
        }
    };
    Ok(output(json!({
        "id": receipt.id,
        "delivery": delivery,
        "to": letter.to,
        "repeated": receipt.repeated,
    })))
}

fn scope_of(arguments: &Value, context: &ToolContext<'_>) -> Scope {
    match text(arguments, "scope") {
        "organization" => Scope::Organization,
        _ => Scope::Run(context.scope.run),
    }
}

async fn get_context(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let scope = scope_of(arguments, context);
    let found =
        shared_context::get(context.db, context.scope.org, scope, text(arguments, "key")).await.map_err(classed)?;
    Ok(output(json!({ "found": found.version > 0, "value": found.value, "version": found.version })))
}

async fn set_context(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let change = Change {
        value: arguments["value"].clone(),
        expires_s: arguments.get("expires_s").and_then(Value::as_i64).and_then(|seconds| i32::try_from(seconds).ok()),
        if_version: arguments.get("if_version").and_then(Value::as_i64),
    };
    let scope = scope_of(arguments, context);
    let key = text(arguments, "key");
    let stored = shared_context::set(context.db, context.scope.org, scope, key, &change).await.map_err(classed)?;
    Ok(output(match stored {
        Ok(version) => json!({ "stored": true, "version": version, "value": change.value }),
        Err(current) => json!({ "stored": false, "version": current.version, "value": current.value }),
    }))
}

async fn ask_human(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    Ok(Answer::AskHuman { question: text(arguments, "question").to_owned() })
}
