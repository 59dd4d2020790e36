//! What is served, and the layers around it. A request meets them from the outside in:
//!
//! 1. [`request`]: it gets an id, and a line in the log when it is answered. First, so that nothing happens without one.
//! 2. [`headers`]: what every answer carries, refusals and faults too.
//! 3. compression, of what is not compressed yet and not a stream of events.
//! 4. [`panic`]: a fault of ours becomes an answer with a reference, and the server goes on.
//! 5. [`origin`]: another site cannot use the cookie of ours. Before the body is read: a refusal costs nothing.
//! 6. [`limits`]: the body is read once, to its limit and no further, and JSON that is nested too deep ends here.
//! 7. [`session`]: whose cookie it is. Only around pages, server functions and the browser's stream.
//! 8. [`replay`]: a form that was posted without JavaScript is answered with a page.
//! 9. [`gate`]: strangers go no further than the sign-in. Only around pages and server functions.
//!
//! Layers hold for the routes that were added before them: that is why they stand here, after all routes.

pub mod approve;
pub mod assets;
pub mod gate;
pub mod headers;
pub mod health;
pub mod limits;
pub mod origin;
pub mod pages;
pub mod panic;
pub mod refusal;
pub mod replay;
pub mod request;
pub mod serve;
pub mod session;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::{CompressionLevel, compression::CompressionLayer};

use crate::{exports, live, rest, state::State};

/// The whole of what is served.
pub fn router(state: State) -> Router {
    // The stream answers for itself who may hear what: a redirect to the sign-in would mean nothing to it.
    let gated = gate::around(pages::routes(&state).merge(exports::routes()), &state);
    let pages = replay::around(gated, &state).merge(live::routes());
    let pages = session::around(pages, &state);
    // Whoever has a link in a message need not be signed in: no session, no gate.
    let open = assets::routes().merge(health::routes()).merge(approve::routes());
    let routes = Router::new().merge(open).merge(rest::routes()).merge(pages);
    around(routes, state)
}

/// What a process serves that runs workflows and nothing else: the health checks.
pub fn worker_router(state: State) -> Router {
    around(health::routes(), state)
}

/// Puts the layers around the routes; the last one here is the outermost.
fn around(routes: Router<State>, state: State) -> Router {
    routes
        .layer(from_fn(limits::check))
        .layer(from_fn_with_state(state.clone(), origin::check))
        .layer(from_fn(panic::catch))
        .layer(CompressionLayer::new().quality(CompressionLevel::Precise(4)))
        .layer(from_fn_with_state(state.clone(), headers::add))
        .layer(from_fn(request::note))
        .with_state(state)
}
