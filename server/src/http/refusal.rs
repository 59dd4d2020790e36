//! How the layers say no: a small page for a person, `application/problem+json` for a program, and the form of server
//! functions for the browser's half.

use agentflow::kernel::{Error, Kind};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use serde_json::json;

use super::request;

/// What the answer must know of the request, taken before the request is passed on.
pub struct Asker {
    request_id: String,
    page: bool,
    server_function: bool,
}

impl Asker {
    /// Of a request.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            request_id: request::id(&parts.headers).to_owned(),
            page: accept.contains("text/html"),
            server_function: parts.uri.path().starts_with("/rpc/"),
        }
    }

    /// The answer.
    #[must_use]
    pub fn refuse(&self, error: &Error) -> Response {
        let status = StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = if self.page {
            (status, Html(page(status, &error.message, &self.request_id))).into_response()
        } else if self.server_function {
            let mut response = (status, Json(error)).into_response();
            response.headers_mut().insert(HeaderName::from_static("serverfnerror"), HeaderValue::from_static("layer"));
            response
        } else {
            let body = json!({
                "type": "about:blank",
                "title": status.canonical_reason().unwrap_or("Error"),
                "status": status.as_u16(),
                "code": error.code,
                "detail": error.message,
                "request_id": self.request_id,
            });
            let mut response = (status, Json(body)).into_response();
            let kind = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        };
        if error.kind == Kind::TooLarge {
            // What was not read is not waited for.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A page that needs nothing else. All its words are ours.
fn page(status: StatusCode, message: &str, request_id: &str) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title} · AgentFlow</title></head><body><main><h1>{title}</h1><p>{message}</p>\
         <p><a href=\"/\">Go to AgentFlow</a></p><p>Reference: {request_id}</p></main></body></html>"
    )
}
