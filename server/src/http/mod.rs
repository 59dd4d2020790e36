//! What is served, and the layers around it.

pub mod assets;
pub mod gate;
pub mod pages;
pub mod replay;
pub mod serve;
pub mod session;

use axum::Router;

use crate::{live, rest, state::State};

/// The whole of what is served.
pub fn router(state: State) -> Router {
    // The stream answers for itself who may hear what: a redirect to the sign-in would mean nothing to it.
    let pages = replay::around(gate::around(pages::routes(&state), &state)).merge(live::routes());
    let pages = session::around(pages, &state);
    Router::new().merge(assets::routes()).merge(rest::routes()).merge(pages).with_state(state)
}
