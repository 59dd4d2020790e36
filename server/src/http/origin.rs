//! Other sites cannot act here with a person's cookie, nor sign a person in (or out) behind their back.
//!
//! Whatever can change something must come from our own pages: browsers say so in `Sec-Fetch-Site`, older ones in
//! `Origin`. A request that says neither is refused. Programs come without a cookie and prove themselves by a key;
//! nobody else's page can make a browser send one.

use agentflow::kernel::{Error, Kind};
use axum::{
    extract::{Request, State as Extract},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::Response,
};
use url::Url;

use super::{approve, refusal::Asker};
use crate::state::State;

/// The layer.
pub async fn check(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if allowed(&parts, &state.config.http.public_url) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    tracing::warn!(origin = ?parts.headers.get(header::ORIGIN), "refused: it does not come from our own pages");
    let message = "This request did not come from a page of AgentFlow. Open the page again and try once more.";
    Asker::of(&parts).refuse(&Error::new(Kind::Forbidden, "request.cross_origin", message))
}

fn allowed(parts: &Parts, public_url: &Url) -> bool {
    let headers = &parts.headers;
    let cookie = headers.contains_key(header::COOKIE);
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        // Reading is free, but for streams: they stay open, so another site's page could hold our connections.
        let stream = headers.get(header::ACCEPT).is_some_and(|value| value == "text/event-stream");
        return !(stream && cookie && matches!(site, Some(b"cross-site" | b"same-site")));
    }
    let program = headers.contains_key(header::AUTHORIZATION) || parts.uri.path().starts_with("/api/");
    if !cookie && program {
        return true;
    }
    match site {
        Some(site) => site == b"same-origin",
        // A page that tells nobody where it is has no origin to show. Its address is the proof: it is no cookie.
        None if parts.uri.path().starts_with(approve::PATH) && says_nothing(headers) => true,
        None => ours(headers, public_url),
    }
}

/// Whether `Origin` is kept back.
fn says_nothing(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin == "null")
}

/// Whether `Origin` is the address that people use, or the one that this request was sent to.
fn ours(headers: &HeaderMap, public_url: &Url) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return false };
    if origin == public_url.origin().ascii_serialization() {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    host.is_some_and(|host| origin.strip_prefix("https://").or(origin.strip_prefix("http://")) == Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = axum::http::Request::builder().method(method).uri(path).header("host", "flows.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        allowed(&parts, &Url::parse("https://flows.example.com/").unwrap())
    }

    #[test]
    fn only_our_own_pages_may_change_something() {
        let cookie = ("cookie", "__Host-agentflow=x");
        for (expected, headers) in [
            (true, vec![cookie, ("sec-fetch-site", "same-origin")]),
            (true, vec![cookie, ("origin", "https://flows.example.com")]),
            (false, vec![cookie]),
            (false, vec![]),
            (false, vec![cookie, ("sec-fetch-site", "cross-site")]),
            (false, vec![cookie, ("sec-fetch-site", "same-site")]),
            (false, vec![cookie, ("sec-fetch-site", "none")]),
            (false, vec![cookie, ("sec-fetch-site", "cross-site"), ("origin", "https://flows.example.com")]),
            (false, vec![cookie, ("origin", "null")]),
            (false, vec![cookie, ("origin", "https://evil.example.com")]),
            (false, vec![cookie, ("origin", "https://flows.example.com:8443")]),
            (false, vec![cookie, ("authorization", "Bearer x")]),
            (true, vec![("authorization", "Bearer x")]),
        ] {
            assert_eq!(judge("POST", "/rpc/anything", &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_form_of_a_link_need_not_say_where_it_stands() {
        let kept_back = ("origin", "null");
        assert!(judge("POST", "/approve/x", &[kept_back]));
        assert!(judge("POST", "/approve/x", &[kept_back, ("sec-fetch-site", "same-origin")]));
        assert!(!judge("POST", "/approve/x", &[kept_back, ("sec-fetch-site", "cross-site")]));
        assert!(!judge("POST", "/approve/x", &[("origin", "https://evil.example.com")]));
        assert!(!judge("POST", "/approve/x", &[]));
    }

    #[test]
    fn an_api_call_without_cookie_is_judged_by_its_key_alone() {
        assert!(judge("POST", "/api/v1/runs/x/cancel", &[]));
        assert!(!judge("POST", "/api/v1/runs/x/cancel", &[("cookie", "a=b")]));
    }

    #[test]
    fn reading_is_free_except_for_streams_from_elsewhere() {
        let site = ("sec-fetch-site", "cross-site");
        assert!(judge("GET", "/o/acme/runs", &[site]));
        let stream = ("accept", "text/event-stream");
        assert!(!judge("GET", "/o/acme/stream", &[site, stream, ("cookie", "a=b")]));
        assert!(judge("GET", "/o/acme/stream", &[("sec-fetch-site", "same-origin"), stream, ("cookie", "a=b")]));
    }
}
