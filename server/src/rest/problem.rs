//! Errors as programs read them: `application/problem+json` (RFC 9457) with a stable `code`, the fields at fault, and
//! the request's id.

use agentflow::kernel::{Error, FieldError, Kind};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An error on its way out. [`describe`] writes its body, because that one knows the request.
#[derive(Debug, Clone)]
pub struct Problem(pub Error);

/// What an operation of the API answers.
pub type Answer<T> = Result<T, Problem>;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl Problem {
    /// The request cannot be read.
    pub fn malformed(code: &str, message: impl Into<String>) -> Self {
        Self(Error::new(Kind::Malformed, code, message))
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The request's id, as in the log.
#[must_use]
pub fn request_id(headers: &header::HeaderMap) -> String {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
}

/// The layer around the API: writes the body of each problem.
pub async fn describe(request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let mut response = next.run(request).await;
    let Some(Problem(error)) = response.extensions_mut().remove::<Problem>() else { return response };
    let status = response.status();
    let body = Wire {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        code: &error.code,
        detail: &error.message,
        errors: &error.fields,
        request_id: &request_id,
        reference: error.reference.as_deref(),
    };
    // A struct of texts always becomes JSON.
    *response.body_mut() = Body::from(serde_json::to_vec(&body).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = error.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if error.kind == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
