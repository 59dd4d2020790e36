//! The one interface of all tools, and the register that finds one, checks what it is given, and bounds it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{ToolInfo, custom, http_request, small};
use crate::{
    credentials::Vault,
    db::Db,
    egress::Egress,
    engine::{
        journal::LogLevel,
        plan::{Guardrails, ToolSource},
        port::{Answer, CallScope, MAX_OUTPUT_BYTES, ToolCall},
        state::{ErrorClass, StepError},
    },
    expressions::Expressions,
    kernel::text::{duration, shortened},
    mail::Mail,
    mcp, schema,
};

/// What a call of a tool works with and belongs to.
pub struct ToolContext<'a> {
    /// The database.
    pub db: &'a Db,
    /// The way out.
    pub egress: &'a Egress,
    /// Evaluates templates of the organization's own tools.
    pub expressions: &'a Expressions,
    /// The way out for mail.
    pub mail: &'a Mail,
    /// The connections to MCP servers.
    pub mcp: &'a mcp::Connections,
    /// The door to the organization's credentials.
    pub vault: &'a Vault,
    /// The guardrails of the agent whose model chose the call; nothing where a builder placed it.
    pub guardrails: Option<&'a Guardrails>,
    /// The organization, run, step and attempt; the idempotency key; the deadline.
    pub scope: &'a CallScope,
    /// Takes lines for the run's log.
    pub log: &'a (dyn Fn(LogLevel, String) + Send + Sync),
}

/// A tool.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> &ToolInfo;

    /// Does it. The arguments fit its schema. Dropping the future ends the call.
    async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError>;
}

/// The tools that can be called, by name.
pub struct Tools {
    by_name: BTreeMap<String, Box<dyn Tool>>,
}

impl Default for Tools {
    fn default() -> Self {
        let mut all = small::all();
        all.extend(http_request::tool());
        Self { by_name: all.into_iter().map(|tool| (tool.info().name.clone(), tool)).collect() }
    }
}

impl Tools {
    /// Calls a tool: an unknown one, and arguments that do not fit, are refused before anything happens.
    ///
    /// # Errors
    /// Classed.
    pub async fn call(&self, call: ToolCall, context: &ToolContext<'_>) -> Result<Answer, StepError> {
        let ToolCall { tool, arguments, .. } = call;
        bounded(match &call.source {
            ToolSource::Custom { id, version } => {
                Box::pin(custom::call(*id, *version, &tool, arguments, context)).await?
            }
            ToolSource::Mcp { server, tool: theirs, hash } => {
                Box::pin(mcp::call(*server, theirs, hash, arguments, context)).await?
            }
            _ => self.built_in(&tool, arguments, context).await?,
        })
    }

    async fn built_in(&self, name: &str, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
        let tool = self.by_name.get(name).ok_or_else(|| {
            let message = format!("There is no tool “{}”.", shortened(name, 60));
            StepError::new(ErrorClass::BadInput, "tool.unknown", message)
        })?;
        let info = tool.info();
        let arguments = if arguments.is_null() { serde_json::json!({}) } else { arguments };
        let faults = schema::check(&info.parameters, &arguments);
        if !faults.is_empty() {
            let message = format!("The arguments do not fit the tool {}. {}", info.name, schema::in_words(&faults));
            return Err(StepError::new(ErrorClass::BadInput, "tool.arguments", message));
        }
        let limit = Duration::from_secs(info.timeout_s);
        tokio::time::timeout(limit, tool.call(arguments, context)).await.map_err(|_| {
            let message = format!("The tool {} took longer than {}.", info.name, duration(limit.as_millis() as i64));
            StepError::new(ErrorClass::Timeout, "tool.timeout", message)
        })?
    }
}

fn bounded(answer: Answer) -> Result<Answer, StepError> {
    if let Answer::Tool { output } = &answer
        && output.to_string().len() > MAX_OUTPUT_BYTES
    {
        let message = format!("The tool's result is larger than {} MiB.", MAX_OUTPUT_BYTES >> 20);
        return Err(StepError::new(ErrorClass::InvalidOutput, "tool.too_large", message));
    }
    Ok(answer)
}
