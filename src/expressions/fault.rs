//! What went wrong in an expression, in words for the person who wrote it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{MAX_EXPRESSION, MAX_MEMORY, MAX_MS, MAX_NESTING, MAX_RESULT, NAMES};
use crate::{
    engine::{
        plan::template::steps_read,
        state::{ErrorClass, StepError},
    },
    kernel::text::shortened,
};

/// Why a template could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The template itself is not one.
    Template(String),
    /// An expression failed.
    Failed {
        /// The expression.
        expression: String,
        /// What JavaScript says.
        error: String,
        /// What may be meant.
        hint: String,
    },
    /// All time is used up.
    Time(String),
    /// All memory, or the stack, is used up.
    Memory(String),
    /// An expression is too long.
    Length,
    /// The template, or a result, nests too deep.
    Nesting,
    /// The result is too large.
    Size,
}

impl Fault {
    /// A failure with the hint that fits it.
    pub(super) fn failed(expression: &str, error: &str, scope: &Map<String, Value>) -> Self {
        Self::Failed {
            expression: expression.to_owned(),
            error: error.to_owned(),
            hint: hint(expression, error, scope),
        }
    }
}

fn hint(expression: &str, error: &str, scope: &Map<String, Value>) -> String {
    if let Some(name) = error.strip_suffix(" is not defined").and_then(|rest| rest.rsplit(' ').next()) {
        let name = name.trim_matches('\'');
        if NAMES.contains(&name) {
            return format!(" There is no “{name}” here.");
        }
        let known: Vec<_> =
            NAMES.iter().filter(|name| **name == "now" || scope.contains_key(**name)).copied().collect();
        return format!(" Known here: {}.", known.join(", "));
    }
    if error.contains("of undefined") || error.contains("of null") {
        let there = scope.get("steps").and_then(Value::as_object);
        let missing = steps_read(expression).into_iter().find(|key| there.is_none_or(|steps| !steps.contains_key(key)));
        return match missing {
            Some(key) => format!(
                " There is no result of a step “{key}” here: it has not run, its branch was not taken, or it has \
                 another key."
            ),
            None => " Something on the way there is missing; with ?. instead of . the result is empty then.".to_owned(),
        };
    }
    String::new()
}

impl From<Fault> for StepError {
    fn from(fault: Fault) -> Self {
        let quoted = |expression: &str| shortened(&expression.split_whitespace().collect::<Vec<_>>().join(" "), 120);
        let limit = |message: String| Self::new(ErrorClass::BadInput, "expression.limit", message);
        match fault {
            Fault::Template(message) => Self::new(ErrorClass::BadInput, "expression.failed", message),
            Fault::Failed { expression, error, hint } => {
                let error = shortened(error.trim_end_matches('.'), 300);
                let message = format!("{{{{ {} }}}} fails: {error}.{hint}", quoted(&expression));
                Self::new(ErrorClass::BadInput, "expression.failed", message)
            }
            Fault::Time(expression) => {
                limit(format!("{{{{ {} }}}} takes longer than {MAX_MS} ms.", quoted(&expression)))
            }
            Fault::Memory(expression) => limit(format!(
                "{{{{ {} }}}} takes more memory than the {} MB that an expression has.",
                quoted(&expression),
                MAX_MEMORY >> 20,
            )),
            Fault::Length => limit(format!("An expression is longer than {} KB.", MAX_EXPRESSION >> 10)),
            Fault::Nesting => limit(format!("The value nests deeper than {MAX_NESTING} levels.")),
            Fault::Size => limit(format!("The result is larger than {} MiB.", MAX_RESULT >> 20)),
        }
    }
}
