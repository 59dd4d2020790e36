//! What is served, and the layers around it.

pub mod assets;
pub mod gate;
pub mod pages;
pub mod serve;
pub mod session;

use axum::Router;

use crate::state::State;

/// The whole of what is served.
pub fn router(state: State) -> Router {
    let pages = session::around(gate::around(pages::routes(&state), &state), &state);
    Router::new().merge(assets::routes()).merge(pages).with_state(state)
}
