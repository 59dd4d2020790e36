//! What the files of the tools share: a tool made of its description and a function, and how arguments are read.

use serde_json::Value;

use crate::{
    engine::{
        port::Answer,
        state::{ErrorClass, StepError},
    },
    kernel::{Error, Kind},
};

/// Makes tools: each of a name in the catalog and the function that does it. They are what `tools()` gives.
macro_rules! deeds {
    ($($type:ident = $name:literal => $call:path;)*) => {
        $(
            struct $type(&'static crate::tools::ToolInfo);

            #[async_trait::async_trait]
            impl crate::tools::registry::Tool for $type {
                fn info(&self) -> &crate::tools::ToolInfo {
                    self.0
                }

                async fn call(
                    &self,
                    arguments: serde_json::Value,
                    context: &crate::tools::registry::ToolContext<'_>,
                ) -> Result<crate::engine::port::Answer, crate::engine::state::StepError> {
                    $call(&arguments, context).await
                }
            }
        )*

        /// The tools of this file.
        pub(super) fn tools() -> Vec<Box<dyn crate::tools::registry::Tool>> {
            let mut all: Vec<Box<dyn crate::tools::registry::Tool>> = Vec::new();
            $(all.extend(crate::tools::find($name).map(|info| {
                Box::new($type(info)) as Box<dyn crate::tools::registry::Tool>
            }));)*
            all
        }
    };
}
pub(super) use deeds;

/// A result.
pub(super) fn output(value: Value) -> Answer {
    Answer::Tool { output: value }
}

/// A text among the arguments; empty where it is not there.
pub(super) fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A yes or no among the arguments.
pub(super) fn flag(arguments: &Value, name: &str, otherwise: bool) -> bool {
    arguments.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
}

/// A whole number among the arguments.
pub(super) fn number(arguments: &Value, name: &str, otherwise: usize) -> usize {
    arguments.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(otherwise)
}

/// What is wrong with the arguments though they fit the schema.
pub(super) fn bad(code: &str, message: impl Into<String>) -> StepError {
    StepError::new(ErrorClass::BadInput, code, message)
}

/// An error of a service as the error of a step.
pub(crate) fn classed(error: Error) -> StepError {
    let class = match error.kind {
        Kind::Unavailable => ErrorClass::Unavailable,
        Kind::Internal => ErrorClass::Internal,
        Kind::OverLimit => ErrorClass::Quota,
        _ => ErrorClass::BadInput,
    };
    StepError::new(class, error.code, error.message)
}

/// Work that takes the processor for a while, away from the threads that everything else runs on.
///
/// # Errors
/// The work's own.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(StepError::new(ErrorClass::Internal, "tool.broken", "The tool broke off. This is a fault of AgentFlow."))
    })
}
