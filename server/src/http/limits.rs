//! How much a request may be: its body is read once, up to the limit of its route and within its time, before anything
//! works with it. JSON that is nested too deep, or is no text, ends here for every parser behind.

use std::time::Duration;

use agentflow::kernel::{Error, Kind};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};

use super::refusal::Asker;

/// The largest form or server function call.
const PAGE_BYTES: usize = 1 << 20;
/// The largest call of the API.
const API_BYTES: usize = 2 << 20;
/// How deep JSON may be nested.
const DEPTH: usize = 64;
/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The layer.
pub async fn check(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let asker = Asker::of(&parts);
    let limit = if parts.uri.path().starts_with("/api/") { API_BYTES } else { PAGE_BYTES };
    if said_length(&parts.headers).is_some_and(|length| length > limit as u64) {
        return asker.refuse(&too_large(limit));
    }
    let bytes = match tokio::time::timeout(PATIENCE, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_limit(&error) => return asker.refuse(&too_large(limit)),
        Ok(Err(_)) | Err(_) => {
            let message = "The request did not arrive whole. Try again.";
            return asker.refuse(&Error::new(Kind::Malformed, "request.incomplete", message));
        }
    };
    if says_json(&parts.headers)
        && let Err(message) = readable(&bytes)
    {
        return asker.refuse(&Error::new(Kind::Malformed, "request.not_json", message));
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn too_large(limit: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        "request.too_large",
        format!("This is too large: at most {} MiB can be sent.", limit >> 20),
    )
}

fn said_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.ends_with("/json") || kind.ends_with("+json")
}

/// Whether it is text, and nested no deeper than anything of ours is. Whether it is JSON, its parser says.
fn readable(bytes: &[u8]) -> Result<(), &'static str> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Err("The body is not UTF-8 text.") };
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEPTH {
                    return Err("The body is nested deeper than 64 levels.");
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(readable(deep(64).as_bytes()).is_ok());
        assert!(readable(deep(65).as_bytes()).is_err());
        assert!(readable(format!("\"{}\"", deep(100)).as_bytes()).is_ok());
        assert!(readable(format!("[\"\\\"{}\"]", "[".repeat(100)).as_bytes()).is_ok());
        assert!(readable(&[b'"', 0xff, b'"']).is_err());
    }
}
