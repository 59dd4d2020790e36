//! The logs of runs, of one of them or of all of an organization: which lines an address asks for, where in the order they
//! are, and what they say.
//!
//! Nothing here is in the browser: it has an address and asks for windows on what fits it.

pub mod address;
pub mod ansi;
mod chart;
mod kept;
mod matcher;
pub mod pages;
pub mod service;
mod store;

use serde_json::Value;

use crate::{
    engine::{journal::LogLevel, state::StepId},
    kernel::{RunId, Timestamp},
};

pub use chart::Bar;
pub use matcher::Needle;

/// All levels, from the least serious on.
pub const LEVELS: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

/// Whose lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Those of a run, by their numbers.
    Run(RunId),
    /// Those of all runs of the organization, by their moments.
    Organization,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The run that wrote it.
    pub run: RunId,
    /// The event's number in the run.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// How serious.
    pub level: LogLevel,
    /// The step that it is about.
    pub step: Option<StepId>,
    /// The line, as it was written.
    pub message: String,
    /// More, for programs.
    pub fields: Option<Value>,
}

/// Which line it is, and its place in the order of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LineKey {
    at: Timestamp,
    run: RunId,
    seq: i64,
}

/// The level of a word.
fn level_of(word: &str) -> Option<LogLevel> {
    LEVELS.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(word))
}
