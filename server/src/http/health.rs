//! Is it alive, and can it work? For orchestrators and people; says nothing secret, and asks for no sign-in.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    extract::State as Extract,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use crate::state::State;

/// A database that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The health checks.
pub fn routes() -> Router<State> {
    Router::new()
        .route("/health", get(all))
        .route("/health/ping", get(async || "pong"))
        .route("/health/live", get(async || Json(json!({ "status": "ok" }))))
        .route("/health/ready", get(ready))
        .route("/health/database", get(database))
}

/// Whether requests should come here: not while it stops, and not without its database.
async fn ready(Extract(state): Extract<State>) -> Response {
    if state.stop.is_requested() {
        return answer(false, json!({ "status": "stopping" }));
    }
    let (well, database) = ask(&state).await;
    answer(well, json!({ "status": if well { "ok" } else { "unavailable" }, "database": database }))
}

async fn database(Extract(state): Extract<State>) -> Response {
    let (well, database) = ask(&state).await;
    answer(well, database)
}

async fn all(Extract(state): Extract<State>) -> Response {
    let (well, database) = ask(&state).await;
    let stopping = state.stop.is_requested();
    let status = match (stopping, well) {
        (true, _) => "stopping",
        (false, true) => "ok",
        (false, false) => "unavailable",
    };
    answer(well && !stopping, json!({ "status": status, "checks": { "database": database } }))
}

async fn ask(state: &State) -> (bool, Value) {
    let begun = Instant::now();
    let well = matches!(tokio::time::timeout(PATIENCE, state.deps.db.ping()).await, Ok(Ok(())));
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    (well, json!({ "status": if well { "ok" } else { "unavailable" }, "ms": ms }))
}

fn answer(well: bool, body: Value) -> Response {
    (if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body)).into_response()
}
