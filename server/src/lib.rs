//! Wires, transports and workers around the app. No business rule lives here.
//!
//! [`router`] is the whole of what is served, so tests get the real thing; [`run`] is the whole life of a server.

pub mod admin;
pub mod cli;
pub mod config;
pub mod http;
pub mod live;
pub mod postgres;
pub mod rest;
pub mod shutdown;
pub mod startup;
pub mod state;
pub mod telemetry;
pub mod workers;

pub use http::router;
pub use state::State;

use config::Config;
use startup::Trouble;
use workers::Role;

/// Starts everything in order, serves until the process is told to stop, and stops everything in the opposite order.
///
/// # Errors
/// When something that the server needs is missing or wrong.
pub async fn run(config: Config, role: Role) -> Result<(), Trouble> {
    let stop = shutdown::Stop::on_signal()?;
    let started = startup::start(config, &stop).await?;
    let state = started.state.clone();
    workers::spawn(&state, role, &stop);
    let served = if role.serves() {
        http::serve::serve(started.listener, router(state.clone()), &state.config.http, &stop).await
    } else {
        stop.requested().await;
        Ok(())
    };
    stop.request();
    stop.drained().await;
    started.database.close().await;
    served
}
