//! What is served, and the layers around it.

pub mod assets;
pub mod pages;
pub mod serve;

use axum::Router;

use crate::state::State;

/// The whole of what is served.
pub fn router(state: State) -> Router {
    Router::new().merge(assets::routes()).merge(pages::routes(&state)).with_state(state)
}
