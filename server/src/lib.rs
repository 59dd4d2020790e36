//! Wires, transports and workers around the app. No business rule lives here.
//!
//! [`router`] is the whole of what is served, so tests get the real thing; [`run`] is the whole life of a server.

pub mod admin;
pub mod bench;
pub mod cli;
pub mod config;
pub mod exports;
pub mod http;
pub mod live;
pub mod master_key;
pub mod postgres;
pub mod rest;
pub mod seed;
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
    let state = started.state;
    workers::spawn(&state, role, &stop);
    let routes = if role.serves() { router(state.clone()) } else { http::worker_router(state.clone()) };
    // In one piece: whoever reads it for its first line may be gone after it.
    print!("{}", startup::greeting(&state, role).await);
    // Requests and workers end side by side.
    let workers = async {
        stop.requested().await;
        stop.drained().await;
    };
    tokio::join!(http::serve::serve(started.listener, routes, &stop), workers);
    started.database.close().await;
    tracing::info!("stopped");
    Ok(())
}
