//! The tools context_get and context_set.

use serde_json::{Value, json};

use super::{
    deed::{classed, deeds, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{port::Answer, state::StepError},
    shared_context::{self, Change, Scope},
};

deeds! {
    ContextGet = "context_get" => get_context;
    ContextSet = "context_set" => set_context;
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
