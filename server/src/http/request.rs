//! Each request has an id: in the log, in the answer, and in what the answer says about a fault.

use std::time::Instant;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use uuid::Uuid;

use super::approve;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The layer. An id that the client brings along is not taken: it could be anything.
pub async fn note(mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().simple().to_string();
    // Hexadecimal digits always make a header.
    let value = HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("none"));
    request.headers_mut().insert(HEADER, value.clone());
    let method = request.method().clone();
    let path = spoken(request.uri().path()).to_owned();
    let quiet = path.starts_with("/pkg/") || path.starts_with("/health");
    let span = tracing::info_span!("request", id, %method, path);
    async {
        let begun = Instant::now();
        let mut response = next.run(request).await;
        let (status, ms) = (response.status().as_u16(), begun.elapsed().as_millis());
        if quiet {
            tracing::debug!(status, ms, "answered");
        } else {
            tracing::info!(status, ms, "answered");
        }
        response.headers_mut().insert(HEADER, value);
        response
    }
    .instrument(span)
    .await
}

/// A path as the log may have it: the secret of a link in a message is left out.
fn spoken(path: &str) -> &str {
    if path.starts_with(approve::PATH) { approve::PATH } else { path }
}

/// The request's id.
#[must_use]
pub fn id(headers: &HeaderMap) -> &str {
    headers.get(HEADER).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn the_secret_of_a_link_is_in_no_log() {
        assert_eq!(spoken("/approve/abc"), "/approve/");
        assert_eq!(spoken("/o/acme/runs"), "/o/acme/runs");
    }
}
