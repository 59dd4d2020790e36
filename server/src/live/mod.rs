//! Event streams: one run for a program, everything on screen for a browser's tab.

pub mod sse;

use axum::{Router, routing::get};

use crate::state::State;

/// The browser's stream, by cookie: to be put behind the session layer.
pub fn routes() -> Router<State> {
    Router::new().route("/o/{slug}/stream", get(sse::tab))
}
