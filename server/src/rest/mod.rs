//! The API for programs, `/api/v1`: by API key, in JSON. Its types are its own, so that the pages may change freely.

pub mod approvals;
pub mod events;
pub mod files;
pub mod input;
pub mod key;
pub mod problem;
pub mod runs;

use agentflow::kernel::Error;
use axum::{
    Router, middleware,
    routing::{any, get, post},
};

use crate::{live, state::State};
use problem::Problem;

/// Every route of the API.
pub fn routes() -> Router<State> {
    Router::new()
        .route("/api/v1/workflows/{id}/run", post(runs::start))
        .route("/api/v1/runs", get(runs::list))
        .route("/api/v1/runs/bulk", post(runs::act_on_many))
        .route("/api/v1/runs/{id}", get(runs::find))
        .route("/api/v1/runs/{id}/steps", get(runs::steps))
        .route("/api/v1/runs/{id}/steps/{step}", get(runs::step))
        .route("/api/v1/runs/{id}/logs", get(runs::logs))
        .route("/api/v1/runs/{id}/files", get(files::list))
        .route("/api/v1/runs/{id}/files/{*path}", get(files::find))
        .route("/api/v1/runs/{id}/events", get(live::sse::run_events))
        .route("/api/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/api/v1/runs/{id}/retry", post(runs::retry))
        .route("/api/v1/runs/{id}/again", post(runs::again))
        .route("/api/v1/runs/{id}/preview", post(runs::preview))
        .route("/api/v1/runs/{id}/pause", post(runs::pause))
        .route("/api/v1/runs/{id}/resume", post(runs::resume))
        .route("/api/v1/events", post(events::send))
        .route("/api/v1/approvals", get(approvals::list))
        .route("/api/v1/approvals/{id}", get(approvals::find))
        .route("/api/v1/approvals/{id}/decide", post(approvals::decide))
        .route("/api/v1/approvals/{id}/undo", post(approvals::undo))
        .route("/api", any(nothing))
        .route("/api/{*rest}", any(nothing))
        .method_not_allowed_fallback(not_that_way)
        .layer(middleware::from_fn(problem::describe))
}

async fn nothing() -> Problem {
    let mut error = Error::not_found("address");
    error.message = "There is nothing at this address of the API.".to_owned();
    Problem(error)
}

async fn not_that_way() -> (axum::http::StatusCode, Problem) {
    let error = Error::new(
        agentflow::kernel::Kind::Malformed,
        "request.method",
        "This address does not take that method; the Allow header says which it takes.",
    );
    (axum::http::StatusCode::METHOD_NOT_ALLOWED, Problem(error))
}
