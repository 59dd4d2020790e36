//! The tool http_request: an outside call that a builder or a model chose.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    ToolInfo, catalog,
    registry::{Tool, ToolContext},
};
use crate::{
    egress::{self, Failure, Request, Response},
    engine::{
        journal::LogLevel,
        port::{Answer, CallScope},
        state::{ErrorClass, StepError},
    },
    guardrails::{Domains, outside::visible},
    kernel::text::{duration, shortened},
    schema::{MAX_DEPTH, is_shallow},
};

/// The most bytes that an answer may have.
const MAX_BODY: usize = 1 << 20;
/// How deep its JSON may nest to be read: a little less than a whole result may.
const MAX_NESTING: usize = MAX_DEPTH - 2;

/// Headers that may be set besides those that begin with `x-`. Not on the list: what frames the message, names the host,
/// or pretends to come through a proxy.
const ALLOWED: [&str; 16] = [
    "accept",
    "accept-language",
    "api-key",
    "apikey",
    "authorization",
    "cache-control",
    "content-language",
    "content-type",
    "date",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
    "range",
    "user-agent",
];
const REFUSED: [&str; 9] = [
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-original",
    "x-rewrite",
    "x-http-method",
    "x-method-override",
    "x-agentflow",
    "x-aws-ec2",
];

struct HttpRequest(&'static ToolInfo);

/// The tool.
pub(super) fn tool() -> Option<Box<dyn Tool>> {
    catalog::find("http_request").map(|info| Box::new(HttpRequest(info)) as Box<dyn Tool>)
}

#[async_trait]
impl Tool for HttpRequest {
    fn info(&self) -> &ToolInfo {
        self.0
    }

    async fn call(&self, arguments: Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
        let mut request = request(&arguments, context.scope, Duration::from_secs(self.0.timeout_s))?;
        request.domains = context.domains().await?;
        let line = format!("{} {}", request.method, shortened(without_query(&request.url), 200));
        let response = context
            .egress
            .send(request)
            .await
            .inspect_err(|_| (context.log)(LogLevel::Warn, format!("{line}: no answer")))?;
        (context.log)(
            LogLevel::Info,
            format!("{line}: {} in {}", response.status.as_u16(), duration(response.duration.as_millis() as i64)),
        );
        if response.status.as_u16() >= 400 && arguments.get("accept_errors") != Some(&Value::Bool(true)) {
            return Err(failed(&response));
        }
        Ok(Answer::Tool { output: output(&response) })
    }
}

/// Queries hold secrets now and then; the log does without them.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn bad(message: impl Into<String>) -> StepError {
    StepError::new(ErrorClass::BadInput, "http.request", message)
}

fn request(arguments: &Value, scope: &CallScope, timeout: Duration) -> Result<Request, StepError> {
    let method = arguments.get("method").and_then(Value::as_str).unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("There is no such method."))?;
    let mut url = arguments["url"].as_str().unwrap_or_default().trim().to_owned();
    if let Some(query) = arguments.get("query").and_then(Value::as_object).filter(|query| !query.is_empty()) {
        // An address that cannot be read is refused with the others.
        let mut parsed = Url::parse(&url).map_err(|_| Failure::Refused)?;
        parsed.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, plain(value))));
        url = parsed.into();
    }
    let mut headers = headers(arguments.get("headers").and_then(Value::as_object))?;
    let body = match arguments.get("body") {
        None | Some(Value::Null) => None,
        Some(_) if matches!(method, Method::GET | Method::HEAD) => {
            return Err(bad("A request with the method GET or HEAD has no body."));
        }
        Some(Value::String(text)) => {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
            Some(Bytes::from(text.clone()))
        }
        Some(value) => {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            Some(Bytes::from(value.to_string()))
        }
    };
    with_ours(&mut headers, scope)?;
    Ok(Request { method, url, headers, body, timeout, max_bytes: MAX_BODY, domains: Domains::default() })
}

/// Adds what every call of a run says of itself: its idempotency key, attempt and fences; and what it can read.
pub(super) fn with_ours(headers: &mut HeaderMap, scope: &CallScope) -> Result<(), StepError> {
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json, text/*;q=0.9, */*;q=0.5"));
    let ours = [
        ("idempotency-key", scope.idempotency_key()),
        ("x-agentflow-attempt", scope.attempt.to_string()),
        ("x-agentflow-fence", scope.fence.to_string()),
    ];
    for (name, value) in ours {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).map_err(|_| bad("Not a header."))?);
    }
    if let Some(fence) = scope.lock_fence {
        headers.insert(HeaderName::from_static("lock-fence"), HeaderValue::from(fence));
    }
    Ok(())
}

/// The headers that somebody wishes for, as far as they may be set.
pub(super) fn headers(wanted: Option<&Map<String, Value>>) -> Result<HeaderMap, StepError> {
    let mut headers = HeaderMap::new();
    for (name, value) in wanted.into_iter().flatten() {
        let low = name.to_ascii_lowercase();
        let is_allowed = ALLOWED.contains(&low.as_str())
            || (low.starts_with("x-") && !REFUSED.iter().any(|start| low.starts_with(start)));
        let name = HeaderName::from_bytes(low.as_bytes()).ok().filter(|_| is_allowed);
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        match (name, value) {
            (Some(name), Some(value)) => drop(headers.insert(name, value)),
            _ => return Err(bad(format!("The header “{}” cannot be set.", shortened(&low, 60)))),
        }
    }
    Ok(headers)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A status of failure as an error whose class says whether another attempt can help.
pub(super) fn failed(response: &Response) -> StepError {
    let status = response.status;
    let class = match status.as_u16() {
        408 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimited,
        401 | 403 | 407 => ErrorClass::Auth,
        425 | 500.. => ErrorClass::Unavailable,
        _ => ErrorClass::BadInput,
    };
    let says = match body(response) {
        Value::Null => String::new(),
        value => format!(" It says: {}", shortened(plain(&value).trim(), 300)),
    };
    let name = status.canonical_reason().unwrap_or("no usual status");
    let host = response.url.host_str().unwrap_or_default();
    let message = format!("{host} answered with status {} ({name}).{says}", status.as_u16());
    let mut error = StepError::new(class, format!("http.status_{}", status.as_u16()), message);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        error.retry_after_ms = egress::retry_after_ms(&response.headers);
    }
    error
}

/// The headers of an answer, for whoever asked.
pub(super) fn told_headers(headers: &HeaderMap) -> Value {
    let told: Map<String, Value> = headers
        .iter()
        // Cookies are credentials of whoever asked, and nobody's data.
        .filter(|(name, _)| **name != header::SET_COOKIE)
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), json!(value.to_str().ok()?))))
        .collect();
    Value::Object(told)
}

fn output(response: &Response) -> Value {
    json!({
        "status": response.status.as_u16(),
        "ok": response.status.is_success(),
        "url": response.url.as_str(),
        "headers": told_headers(&response.headers),
        "body": body(response),
        "bytes": response.body.len(),
        "duration_ms": u64::try_from(response.duration.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The body: JSON read, text as text without letters that nobody sees, anything else as null.
pub(super) fn body(response: &Response) -> Value {
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if response.body.is_empty() {
        return Value::Null;
    }
    let is_json = kind == "application/json" || kind.ends_with("+json");
    if is_json
        && let Ok(mut value) = serde_json::from_slice::<Value>(&response.body)
        && is_shallow(&value, MAX_NESTING)
    {
        clean(&mut value);
        return value;
    }
    let is_text = is_json
        || kind.starts_with("text/")
        || kind.ends_with("+xml")
        || ["application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/yaml"]
            .contains(&kind.as_str());
    if is_text { Value::String(visible(&String::from_utf8_lossy(&response.body)).into_owned()) } else { Value::Null }
}

/// Takes letters that nobody sees out of all texts of a value.
pub(crate) fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_frame_the_message_or_fake_its_way_cannot_be_set() {
        let check = |name: &str, value: &str| {
            let wanted = json!({ name: value });
            headers(wanted.as_object()).is_ok()
        };
        for name in ["Accept", "Authorization", "X-Api-Key", "x-request-id", "Content-Type"] {
            assert!(check(name, "x"), "{name}");
        }
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Cookie",
            "Proxy-Authorization",
            "Forwarded",
            "X-Forwarded-For",
            "X-Real-IP",
            "X-HTTP-Method-Override",
            "Idempotency-Key",
            "X-AgentFlow-Fence",
            "Expect",
            "Upgrade",
            "X-aws-ec2-metadata-token",
            "bad name",
            "",
        ] {
            assert!(!check(name, "x"), "{name}");
        }
        assert!(!check("Accept", "x\r\nHost: evil"));
    }

    #[test]
    fn letters_that_nobody_sees_are_taken_out() {
        let hidden = "a\u{200b}b\u{202e}c\u{e0041}\u{e0042}d\u{feff}";
        let mut value = json!({ "x": [hidden] });
        clean(&mut value);
        assert_eq!(value, json!({ "x": ["abcd"] }));
    }
}
