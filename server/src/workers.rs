//! What a server does besides answering requests. Each worker ends when [`Stop`] is requested, and is waited for.

use agentflow::{engine::runner, live};
use clap::ValueEnum;

use crate::{shutdown::Stop, state::State};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Pages, server functions and the API; runs nothing.
    Web,
    /// Runs workflows; answers the health checks alone.
    Worker,
    /// Both.
    All,
}

impl Role {
    /// Whether it answers requests.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Web | Self::All)
    }

    /// Whether it runs workflows.
    #[must_use]
    pub fn works(self) -> bool {
        matches!(self, Self::Worker | Self::All)
    }
}

/// Starts the workers of a role.
pub fn spawn(state: &State, _role: Role, stop: &Stop) {
    let deps = &state.deps;
    stop.spawn(live::listen::run(deps.clone(), stop.token()));
    tokio::spawn(runner::notifier(deps.db.engine().clone(), deps.engine.clone()));
}
