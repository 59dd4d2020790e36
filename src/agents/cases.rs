//! Test cases: tasks for an agent with what its answers must be like.

#[cfg(feature = "ssr")]
mod check;
pub mod rehearsal;
#[cfg(feature = "ssr")]
pub mod service;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::{TestCaseId, Timestamp};

/// The most test cases of one agent.
pub const MAX_CASES: i64 = 200;
/// The longest task, in characters.
pub const MAX_PROMPT: usize = 20_000;
/// The longest expectation, in characters.
pub const MAX_EXPECTED: usize = 20_000;

/// What an answer must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// It has this text in it, capitals or not.
    Contains {
        /// The text.
        text: String,
    },
    /// It is this: a text, apart from space around it, or a JSON value.
    Equals {
        /// The value.
        value: Value,
    },
    /// A part of it fits a regular expression.
    Matches {
        /// The expression.
        pattern: String,
    },
    /// It has the form that a JSON Schema says.
    Schema {
        /// The schema.
        schema: Value,
    },
}

/// A test case of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// Its id.
    pub id: TestCaseId,
    /// What it is called.
    pub name: String,
    /// The task.
    pub prompt: String,
    /// What the answer must be like.
    pub check: Check,
    /// The name of who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is typed into a test case's form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseForm {
    /// What it is called.
    pub name: String,
    /// The task.
    pub prompt: String,
    /// `contains`, `equals`, `matches` or `schema`.
    pub check: String,
    /// The text, value, expression or schema.
    pub expected: String,
}

impl Check {
    /// The kinds: the word, and what an answer of this kind is like.
    pub const KINDS: [(&'static str, &'static str); 4] = [
        ("contains", "Contains this text"),
        ("equals", "Is exactly this text or JSON value"),
        ("matches", "Fits this regular expression"),
        ("schema", "Has the form of this JSON Schema"),
    ];

    /// The word of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Contains { .. } => "contains",
            Self::Equals { .. } => "equals",
            Self::Matches { .. } => "matches",
            Self::Schema { .. } => "schema",
        }
    }

    /// What is expected, as it is typed.
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Contains { text } => text.clone(),
            Self::Matches { pattern } => pattern.clone(),
            Self::Equals { value: Value::String(text) } => text.clone(),
            Self::Equals { value } | Self::Schema { schema: value } => {
                serde_json::to_string_pretty(value).unwrap_or_default()
            }
        }
    }
}

impl CaseForm {
    /// The form of a test case.
    #[must_use]
    pub fn of(case: &TestCase) -> Self {
        Self {
            name: case.name.clone(),
            prompt: case.prompt.clone(),
            check: case.check.kind().to_owned(),
            expected: case.check.expected(),
        }
    }
}
