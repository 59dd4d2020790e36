//! The one interface of all tools, and the register that finds one, checks what it is given, and bounds it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    ToolInfo, ask_human, calculator, catalog, context, csv, current_time, custom, database_query, deed::classed,
    email_send, files, html_to_text, http_request, json_query, settings::ToolSettings, shell, store, text_extract,
    web_search,
};
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
    guardrails::Domains,
    kernel::{
        Money,
        text::{duration, shortened},
    },
    mail::Mail,
    mcp, schema,
};

/// What a call of a tool works with and belongs to.
pub struct ToolContext<'a> {
    /// The database.
    pub db: &'a Db,
    /// The way out.
    pub egress: &'a Egress,
    /// Evaluates expressions.
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

impl ToolContext<'_> {
    /// The hosts that the call may go to: those of the organization, and of the agent.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn domains(&self) -> Result<Domains, StepError> {
        let of_org = async {
            let mut tx = self.db.tenant(self.scope.org).await?;
            store::allowed_domains(&mut tx).await
        };
        let of_org = of_org.await.map_err(classed)?;
        let of_agent = self.guardrails.map(|rails| Domains::of(&rails.allowed_domains)).unwrap_or_default();
        Ok(of_agent.and(&of_org))
    }
}

/// A tool.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> &ToolInfo;

    /// Does it. The arguments fit its schema. Dropping the future ends the call.
    async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError>;
}

/// The tools that can be called, by name. Cheap to clone.
#[derive(Clone)]
pub struct Tools {
    by_name: Arc<BTreeMap<String, Box<dyn Tool>>>,
    /// What has to be done before a tool can be called that cannot be called now.
    set_up: Arc<BTreeMap<String, String>>,
}

impl Tools {
    /// The tools, as the operator has set them up.
    pub async fn new(settings: &ToolSettings) -> Self {
        let mut all = [
            ask_human::tools(),
            calculator::tools(),
            context::tools(),
            csv::tools(),
            current_time::tools(),
            database_query::tools(),
            email_send::tools(),
            files::tools(),
            html_to_text::tools(),
            json_query::tools(),
            text_extract::tools(),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
        all.extend(http_request::tool());
        all.extend(settings.search.clone().and_then(|service| web_search::tool(service, settings.search_cost)));
        let mut fault = None;
        if settings.shell {
            match Box::pin(shell::tool()).await {
                Ok(tool) => all.extend(tool),
                Err(why) => {
                    tracing::warn!(why, "the tool shell is not on offer");
                    fault = Some(why);
                }
            }
        }
        let by_name: BTreeMap<_, _> = all.into_iter().map(|tool| (tool.info().name.clone(), tool)).collect();
        let missing = catalog().iter().filter(|tool| !by_name.contains_key(&tool.name));
        let mut set_up: BTreeMap<_, _> =
            missing.filter_map(|tool| Some((tool.name.clone(), tool.set_up.clone()?))).collect();
        set_up.extend(fault.map(|why| ("shell".to_owned(), why)));
        Self { by_name: Arc::new(by_name), set_up: Arc::new(set_up) }
    }

    /// The tools that are built in, and of each that cannot be called what has to be done first.
    #[must_use]
    pub fn catalog(&self) -> Vec<ToolInfo> {
        let as_it_is = |tool: &ToolInfo| {
            let known = self.by_name.get(&tool.name).map_or(tool, |there| there.info());
            ToolInfo { set_up: self.set_up.get(&tool.name).cloned(), ..known.clone() }
        };
        catalog().iter().map(as_it_is).collect()
    }

    /// What a call costs: of a built-in tool as the operator has said, of another as the run's plan says.
    #[must_use]
    pub fn cost(&self, call: &ToolCall) -> Money {
        match call.source {
            ToolSource::BuiltIn => self.by_name.get(&call.tool).map_or(Money::ZERO, |tool| tool.info().cost),
            _ => call.cost,
        }
    }

    /// Calls a tool: an unknown one, and arguments that do not fit, are refused before anything happens; a result that
    /// does not fit goes no further.
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
        let tool = self.by_name.get(name).ok_or_else(|| match self.set_up.get(name) {
            Some(how) => {
                let message = format!("The tool {name} is not set up. {how}");
                StepError::new(ErrorClass::BadInput, "tool.not_set_up", message)
            }
            None => {
                let message = format!("There is no tool “{}”.", shortened(name, 60));
                StepError::new(ErrorClass::BadInput, "tool.unknown", message)
            }
        })?;
        let info = tool.info();
        let arguments = if arguments.is_null() { serde_json::json!({}) } else { arguments };
        let faults = schema::check(&info.parameters, &arguments);
        if !faults.is_empty() {
            let message = format!("The arguments do not fit the tool {}. {}", info.name, schema::in_words(&faults));
            return Err(StepError::new(ErrorClass::BadInput, "tool.arguments", message));
        }
        let limit = Duration::from_secs(info.timeout_s);
        let answer = tokio::time::timeout(limit, tool.call(arguments, context)).await.map_err(|_| {
            let message = format!("The tool {} took longer than {}.", info.name, duration(limit.as_millis() as i64));
            StepError::new(ErrorClass::Timeout, "tool.timeout", message)
        })??;
        checked(info, answer)
    }
}

/// A result within its limit.
fn bounded(answer: Answer) -> Result<Answer, StepError> {
    if let Answer::Tool { output } = &answer
        && output.to_string().len() > MAX_OUTPUT_BYTES
    {
        let message = format!("The tool's result is larger than {} MiB.", MAX_OUTPUT_BYTES >> 20);
        return Err(StepError::new(ErrorClass::InvalidOutput, "tool.too_large", message));
    }
    Ok(answer)
}

/// A result of the form that the tool says it has.
fn checked(info: &ToolInfo, answer: Answer) -> Result<Answer, StepError> {
    let Answer::Tool { output } = &answer else { return Ok(answer) };
    let faults = schema::check(&info.output, output);
    if !faults.is_empty() {
        let message =
            format!("The result of the tool {} is not as it should be. {}", info.name, schema::in_words(&faults));
        return Err(StepError::new(ErrorClass::InvalidOutput, "tool.result", message));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_that_is_not_as_the_tool_says_goes_no_further() {
        let info = super::super::find("calculator").unwrap();
        let check = |output| checked(info, Answer::Tool { output }).map_err(|error| (error.class, error.code));
        assert!(check(json!({ "expression": "1", "result": 1 })).is_ok());
        let refused = Err((ErrorClass::InvalidOutput, "tool.result".to_owned()));
        assert_eq!(check(json!({ "expression": "1", "result": "1" })), refused);
        assert_eq!(check(json!({ "result": 1 })), refused);
        let large = Answer::Tool { output: json!("x".repeat(MAX_OUTPUT_BYTES)) };
        assert_eq!(bounded(large).unwrap_err().code, "tool.too_large");
    }
}
