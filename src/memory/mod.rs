//! What agents remember across runs, under keys that workflows give. A run reads and adds to it as steps of its own; people
//! look at it, and make an agent forget.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::kernel::{RunId, Timestamp};

/// A key that an agent remembers something under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    /// The key.
    pub key: String,
    /// How many tasks it remembers.
    pub tasks: i64,
    /// When the last of them ended.
    pub last_at: Timestamp,
}

/// A task that an agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it was asked.
    pub prompt: String,
    /// What it answered.
    pub answer: String,
    /// The run, as long as it is kept.
    pub run: Option<RunId>,
    /// When it ended.
    pub at: Timestamp,
}

/// What an agent remembers, as its page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memories {
    /// The keys that were looked for, the last used first.
    pub keys: Vec<KeyLine>,
    /// How many keys there are in all.
    pub all: i64,
    /// The last tasks under the key that is open, the newest first, each as far as it is short.
    pub open: Option<(String, Vec<Entry>)>,
}
