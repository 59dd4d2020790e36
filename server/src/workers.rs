//! What a server does besides answering requests. Each worker ends when [`Stop`] is requested, and is waited for.

use std::{sync::Arc, time::Duration};

use agentflow::{
    accounts::sessions::Sessions,
    effects::Performer,
    engine::runner::{self, Runner},
    housekeeping::{Artifacts, Retention, Sweep},
    jobs::{Crew, Pace},
    live,
    mail::SendMail,
    notices::Notices,
    runs::texts::TakeIn,
};
use clap::ValueEnum;

use crate::{http::session, shutdown::Stop, state::State};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Pages, server functions and the API; runs nothing.
    Web,
    /// Runs workflows and does background work; answers the health checks alone.
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

    /// Whether it runs workflows and does background work.
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
    if role.works() {
        stop.spawn(node(state.clone(), stop.clone()));
        stop.spawn(crew(state).run(stop.token()));
    }
}

/// Background work: mail, notices, housekeeping.
fn crew(state: &State) -> Crew {
    let State { deps, config, .. } = state;
    let crew = Crew::new(deps.clone(), Pace::default())
        .job::<SendMail>()
        .chore(Sweep { sessions: Sessions::new(deps.db.clone(), config.accounts.sessions) })
        .chore(Retention { days: config.retention_days })
        .chore(Artifacts)
        .chore(TakeIn);
    // Without a mail server there is the outbox, which is for somebody at this machine.
    let public_url = &config.http.public_url;
    let is_read = deps.mail.has_server() || session::is_this_machine(public_url);
    match config.notice_minutes {
        Some(minutes) if is_read => crew.chore(Notices { minutes, public_url: public_url.clone() }),
        _ => crew,
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
