//! `/api/v1/events`.

use agentflow::events::{Sent, service};
use axum::{
    Json,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use serde_json::Value;

use super::{input::Body, key::Caller, problem::Answer, runs::idempotency_key};

/// An event: its key, and what it says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    key: String,
    #[serde(default)]
    data: Value,
}

/// `POST /api/v1/events`
pub async fn send(caller: Caller, headers: HeaderMap, Body(body): Body<EventBody>) -> Answer<(StatusCode, Json<Sent>)> {
    let key = idempotency_key(&headers)?;
    let sent = service::send(&caller.cx.grant()?, &body.key, &body.data, key.as_deref()).await?;
    Ok((StatusCode::ACCEPTED, Json(sent)))
}
