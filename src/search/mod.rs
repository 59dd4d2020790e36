//! Finding by name, from wherever one is: workflows and agents by their name, runs by their title or id. What is inside of
//! runs is found in the list of runs and in the logs.

pub mod service;
mod store;

use crate::{
    engine::state::RunState,
    kernel::{AgentId, RunId, Timestamp, WorkflowId},
};

/// Runs that are looked through, the newest first: an answer while somebody types reads no more of them.
pub const NEWEST: i64 = 10_000;

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A workflow.
    Workflow(WorkflowId),
    /// An agent.
    Agent(AgentId),
    /// A run, its state, and when it was accepted.
    Run(RunId, RunState, Timestamp),
}

/// Something that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub found: Found,
    /// Its name or title.
    pub name: String,
}
