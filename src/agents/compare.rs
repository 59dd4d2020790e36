//! Two versions of an agent beside each other: what differs, as rows to show.

#[cfg(feature = "ssr")]
mod diff;

#[cfg(feature = "ssr")]
pub use diff::lines;
use serde::{Deserialize, Serialize};

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The one.
    pub from: i32,
    /// The other.
    pub to: i32,
    /// Settings that differ.
    pub settings: Vec<Changed>,
    /// The instructions line by line; empty where they are the same.
    pub instructions: Vec<Line>,
    /// The form of the answer line by line; empty where it is the same.
    pub output_schema: Vec<Line>,
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The setting.
    pub name: String,
    /// What it was; nothing where it was not set.
    pub from: Option<String>,
    /// What it is; nothing where it is not set.
    pub to: Option<String>,
}

/// A line of a text, as two versions have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Line {
    /// Both have it.
    Same {
        /// The line.
        text: String,
    },
    /// Only the first has it.
    Removed {
        /// The line.
        text: String,
    },
    /// Only the second has it.
    Added {
        /// The line.
        text: String,
    },
    /// Lines that both have, far from what differs.
    Folded {
        /// How many.
        lines: usize,
    },
}

impl Comparison {
    /// Whether the versions hold the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.settings.is_empty() && self.instructions.is_empty() && self.output_schema.is_empty()
    }
}
