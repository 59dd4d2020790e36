//! The accept loop.

use axum::Router;
use tokio::net::TcpListener;

use crate::{config::Http, shutdown::Stop, startup::Trouble};

/// Serves until stopping is requested and the open requests have ended.
///
/// # Errors
/// When the port is lost.
pub async fn serve(listener: TcpListener, router: Router, config: &Http, stop: &Stop) -> Result<(), Trouble> {
    tracing::info!("AgentFlow is ready at {}", config.public_url);
    let stop = stop.clone();
    axum::serve(listener, router.into_make_service_with_connect_info::<std::net::SocketAddr>())
        .with_graceful_shutdown(async move { stop.requested().await })
        .await
        .map_err(|error| Trouble::new(format!("The port was lost: {error}."), ""))
}
