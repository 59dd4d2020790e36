//! What a server does besides answering requests. Each worker ends when [`Stop`] is requested, and is waited for.

use std::{sync::Arc, time::Duration};

use agentflow::{
    accounts::sessions::Sessions,
    effects::Performer,
    engine::runner::{self, Runner},
    live,
};
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
pub fn spawn(state: &State, role: Role, stop: &Stop) {
    let deps = &state.deps;
    stop.spawn(live::listen::run(deps.clone(), stop.token()));
    tokio::spawn(runner::notifier(deps.db.engine().clone(), deps.engine.clone()));
    if role.serves() {
        stop.spawn(sweep(state.clone(), stop.clone()));
    }
    if role.works() {
        stop.spawn(node(state.clone(), stop.clone()));
    }
}

/// Removes what has ended and nobody asks for: sessions past a limit, failed sign-ins of yesterday.
async fn sweep(state: State, stop: Stop) {
    let sessions = Sessions::new(state.deps.db.clone(), state.config.accounts.sessions);
    loop {
        if let Err(error) = sessions.sweep().await {
            tracing::warn!(%error, "ended sessions could not be removed; trying again in an hour");
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            () = stop.requested() => return,
        }
    }
}

/// Works on runs until the process is told to stop.
async fn node(state: State, stop: Stop) {
    let State { deps, config, .. } = state;
    let host = format!("{}:{}", config.host, std::process::id());
    let effects = Performer::of(&deps);
    let runner = loop {
        let (pool, effects) = (deps.db.engine().clone(), Arc::new(effects.clone()));
        match Runner::register(pool, deps.engine.clone(), effects, config.engine.clone(), &host, stop.token()).await {
            Ok(runner) => break runner,
            Err(error) => tracing::warn!(%error, "the node could not register; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.requested() => return,
        }
    };
    runner.run(&host).await;
}
