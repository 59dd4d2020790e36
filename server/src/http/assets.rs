//! The files of the browser's half, which the binary carries: hashed names that may be kept for ever, and public files
//! that are asked for again, each as brotli or gzip where the browser takes it.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use app::shell::Assets;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;

use crate::state::State;

#[derive(RustEmbed)]
#[folder = "$AGENTFLOW_ASSETS"]
#[allow_missing = true]
struct Files;

const MANIFEST: &str = "manifest.json";

/// The hashed names of the files that a page begins with; empty in a binary that was built without them.
#[must_use]
pub fn names() -> Assets {
    Files::get(MANIFEST).and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default()
}

/// One file in all the forms that it is there in.
struct File {
    content_type: HeaderValue,
    cache: HeaderValue,
    tag: HeaderValue,
    plain: Cow<'static, [u8]>,
    brotli: Option<Cow<'static, [u8]>>,
    gzip: Option<Cow<'static, [u8]>>,
}

/// One route for each file.
pub fn routes() -> Router<State> {
    let mut router = Router::new();
    for (path, file) in files() {
        let file = Arc::new(file);
        router = router.route(&format!("/{path}"), get(async move |headers: HeaderMap| answer(&file, &headers)));
    }
    router
}

fn files() -> HashMap<String, File> {
    let names: Vec<String> = Files::iter().map(Cow::into_owned).collect();
    let plain = names.iter().filter(|name| *name != MANIFEST && !packed(name));
    plain.filter_map(|name| Some((name.clone(), file(name)?))).collect()
}

fn packed(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "br" | "gz")))
}

fn file(name: &str) -> Option<File> {
    let plain = Files::get(name)?;
    let hash = plain.metadata.sha256_hash();
    let tag: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let hashed = name.starts_with("pkg/");
    Some(File {
        content_type: HeaderValue::from_static(content_type(name)),
        cache: HeaderValue::from_static(if hashed {
            "public, max-age=31536000, immutable"
        } else {
            "public, no-cache"
        }),
        tag: HeaderValue::from_str(&format!("\"{tag}\"")).ok()?,
        brotli: Files::get(&format!("{name}.br")).map(|file| file.data),
        gzip: Files::get(&format!("{name}.gz")).map(|file| file.data),
        plain: plain.data,
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        _ => "application/octet-stream",
    }
}

fn answer(file: &File, headers: &HeaderMap) -> Response {
    let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|tag| *tag == file.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (encoding, content) = match (&file.brotli, &file.gzip) {
            (Some(brotli), _) if takes(headers, "br") => (Some("br"), brotli),
            (_, Some(gzip)) if takes(headers, "gzip") => (Some("gzip"), gzip),
            _ => (None, &file.plain),
        };
        let body = match content {
            Cow::Borrowed(bytes) => Body::from(*bytes),
            Cow::Owned(bytes) => Body::from(bytes.clone()),
        };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, file.content_type.clone());
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, file.cache.clone());
    headers.insert(header::ETAG, file.tag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Whether the browser takes this encoding. One with `q=0` is refused.
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|entry| {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
        let refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_when_it_is_named_and_not_refused() {
        let mut headers = HeaderMap::new();
        assert!(!takes(&headers, "br"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5, BR"));
        assert!(takes(&headers, "br") && takes(&headers, "gzip"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br;q=0, gzip"));
        assert!(!takes(&headers, "br"));
    }
}
