//! Versions: whatever people build is kept as numbered versions that never change.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A line of a list of versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionLine {
    /// Its number, from 1.
    pub version: i32,
    /// What was changed, in a few words.
    pub note: String,
    /// The name of who saved it.
    pub saved_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Whether it can be used.
    pub valid: bool,
}
