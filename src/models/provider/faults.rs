//! What a provider's failure means for the run.

use std::error::Error as StdError;

use genai::{Error, webc::StreamTimeout};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{
    egress::{self, Failure, retry_after_ms},
    engine::state::{ErrorClass, StepError},
    kernel::text::shortened,
};

/// A failure as an error with a class. `event`: what the provider said of it, where the library did not keep it.
pub(super) fn classify(error: &Error, event: Option<&Value>, provider: &str, key: Option<&SecretString>) -> StepError {
    let told = |text: &str| without_key(text, key);
    match (error, event) {
        (Error::StreamParse { .. }, Some(event)) => by_event(event, &told(&event.to_string()), provider),
        (error, _) => by_error(error, provider, key),
    }
}

fn by_error(error: &Error, provider: &str, key: Option<&SecretString>) -> StepError {
    let told = |text: &str| without_key(text, key);
    match error {
        Error::HttpError { status, body, headers, .. } => by_status(status.as_u16(), &told(body), headers, provider),
        Error::WebStream { error: inner, .. } => by_cause(inner.as_ref(), provider, key),
        Error::ChatResponse { body, .. } => by_event(body, &told(&body.to_string()), provider),
        Error::StreamParse { .. } | Error::InvalidJsonResponseElement { .. } | Error::NoChatResponse { .. } => {
            garbled(provider)
        }
        Error::RequiresApiKey { .. } | Error::NoAuthData { .. } | Error::NoAuthResolver { .. } => refused_key(provider),
        Error::WebModelCall { .. } | Error::WebAdapterCall { .. } => match (error.status(), error.headers()) {
            (Some(status), headers) => {
                by_status(status.as_u16(), &told(&error.to_string()), headers.unwrap_or(&HeaderMap::new()), provider)
            }
            (None, _) => unreachable_provider(provider),
        },
        other => StepError::new(
            ErrorClass::BadInput,
            "model.request",
            format!("The request does not fit {provider}: {}", shortened(&told(&other.to_string()), 300)),
        ),
    }
}

/// A stream that ended without saying so.
pub(super) fn cut_off(provider: &str) -> StepError {
    unavailable("model.cut_off", format!("The answer of {provider} broke off."))
}

/// A stream that is none.
pub(super) fn garbled(provider: &str) -> StepError {
    unavailable("model.garbled", format!("{provider} sent an answer that cannot be read."))
}

/// An answer that the provider keeps to itself.
pub(super) fn filtered(provider: &str, reason: &str) -> StepError {
    let message = format!("{provider} does not answer this: its content filter stopped the answer ({reason}).");
    StepError::new(ErrorClass::BadInput, "model.filtered", message)
}

/// An answer beyond all measure.
pub(super) fn too_large(provider: &str) -> StepError {
    StepError::new(ErrorClass::InvalidOutput, "model.too_large", format!("The answer of {provider} does not end."))
}

fn by_cause(cause: &(dyn StdError + Send + Sync + 'static), provider: &str, key: Option<&SecretString>) -> StepError {
    if let Some(inner) = cause.downcast_ref::<Error>() {
        return by_error(inner, provider, key);
    }
    if egress::failure(cause) == Some(Failure::Refused) {
        return Failure::Refused.into();
    }
    let timed_out =
        cause.is::<StreamTimeout>() || cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout);
    if timed_out {
        return timeout(provider);
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_connect() => unreachable_provider(provider),
        _ => cut_off(provider),
    }
}

fn by_status(status: u16, body: &str, headers: &HeaderMap, provider: &str) -> StepError {
    let words = in_words(body);
    let mut says = if words.is_empty() { String::new() } else { format!(" It says: {words}") };
    if let Some(id) = request_id(headers) {
        says.push_str(&format!(" (request {id})"));
    }
    let quota = ["insufficient_quota", "quota", "billing", "credit", "balance"].iter().any(|word| body.contains(word));
    match status {
        401 | 403 => refused_key(provider),
        402 => used_up(provider, &says),
        // Gemini calls its rate limit a quota; only one that no waiting mends is one.
        429 if quota && !body.contains("retryDelay") && retry_after_ms(headers).is_none() => used_up(provider, &says),
        429 => {
            let message = format!("{provider} answers no more calls for now.{says}");
            let mut error = StepError::new(ErrorClass::RateLimited, "model.rate_limited", message);
            error.retry_after_ms = retry_after_ms(headers).or_else(|| retry_delay_ms(body));
            error
        }
        408 => timeout(provider),
        500.. => {
            let mut error =
                unavailable("model.unavailable", format!("{provider} has a fault (status {status}).{says}"));
            error.retry_after_ms = retry_after_ms(headers);
            error
        }
        404 => StepError::new(
            ErrorClass::BadInput,
            "model.unknown",
            format!("{provider} does not know this model, or your key may not use it.{says}"),
        ),
        _ => StepError::new(
            ErrorClass::BadInput,
            "model.refused",
            format!("{provider} refuses the request (status {status}).{says}"),
        ),
    }
}

/// An error event in the middle of a stream: the status had been sent already.
fn by_event(body: &Value, text: &str, provider: &str) -> StepError {
    // Some put the error into the event, some the event around it.
    let inner = body.get("error").filter(|inner| inner.is_object()).unwrap_or(body);
    let kinds = ["type", "code", "status"].map(|name| inner.get(name).and_then(Value::as_str).unwrap_or_default());
    let kind = kinds.join(" ").to_ascii_lowercase();
    let says = in_words(text);
    if kind.contains("rate_limit") || kind.contains("resource_exhausted") {
        let message = format!("{provider} answers no more calls for now. It says: {says}");
        return StepError::new(ErrorClass::RateLimited, "model.rate_limited", message);
    }
    if kind.contains("quota") || kind.contains("billing") {
        return used_up(provider, &format!(" It says: {says}"));
    }
    if kind.contains("invalid_request") || kind.contains("invalid_argument") {
        let message = format!("{provider} refuses the request. It says: {says}");
        return StepError::new(ErrorClass::BadInput, "model.refused", message);
    }
    unavailable("model.unavailable", format!("{provider} stopped in the middle of its answer. It says: {says}"))
}

fn unavailable(code: &str, message: String) -> StepError {
    StepError::new(ErrorClass::Unavailable, code, message)
}

fn unreachable_provider(provider: &str) -> StepError {
    unavailable("model.unreachable", format!("{provider} cannot be reached."))
}

/// Silence for too long.
pub(super) fn timeout(provider: &str) -> StepError {
    StepError::new(ErrorClass::Timeout, "model.timeout", format!("{provider} took too long to answer."))
}

fn used_up(provider: &str, says: &str) -> StepError {
    let message = format!("The allowance at {provider} is used up: check its plan and payment.{says}");
    StepError::new(ErrorClass::Quota, "model.quota", message)
}

/// In our own words alone: providers repeat parts of the key here.
fn refused_key(provider: &str) -> StepError {
    let message = format!("{provider} refuses the key. Check that it is complete, valid, and may use this model.");
    StepError::new(ErrorClass::Auth, "model.auth", message)
}

/// The sentence in a provider's error body.
fn in_words(body: &str) -> String {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let found = ["/error/message", "/message", "/0/error/message", "/error", "/detail"]
        .into_iter()
        .find_map(|place| value.pointer(place)?.as_str());
    let plain = !body.trim_start().starts_with('<') && value.is_null();
    shortened(found.unwrap_or(if plain { body.trim() } else { "" }), 300)
}

/// How long Gemini asks to be left alone, in milliseconds: it says so in the body.
fn retry_delay_ms(body: &str) -> Option<u64> {
    let (_, rest) = body.split_once("\"retryDelay\"")?;
    let text = rest.trim_start_matches([':', ' ', '"']).split('"').next()?;
    let seconds = text.strip_suffix('s')?.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0)?;
    Some((seconds * 1_000.0) as u64)
}

/// The provider's name for the request, for asking them.
fn request_id(headers: &HeaderMap) -> Option<&str> {
    let found = ["request-id", "x-request-id"].into_iter().find_map(|name| headers.get(name)?.to_str().ok());
    found.filter(|id| !id.is_empty() && id.len() <= 100)
}

fn without_key(text: &str, key: Option<&SecretString>) -> String {
    match key.map(ExposeSecret::expose_secret) {
        Some(key) if key.len() >= 4 => text.replace(key, "(key)"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gemini_says_in_its_body_how_long_to_wait() {
        let details = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s" }]);
        let body = json!({ "error": { "code": 429, "message": "quota exceeded", "details": details } }).to_string();
        let error = by_status(429, &body, &HeaderMap::new(), "Google Gemini");
        assert_eq!((error.class, error.retry_after_ms), (ErrorClass::RateLimited, Some(7_500)));
        assert_eq!(
            by_status(429, "{\"error\": {\"message\": \"quota\"}}", &HeaderMap::new(), "x").class,
            ErrorClass::Quota
        );
        for body in ["\"retryDelay\": \"soon\"", "\"retryDelay\": \"-1s\"", "{}"] {
            assert_eq!(retry_delay_ms(body), None, "{body}");
        }
    }

    #[test]
    fn an_error_in_the_middle_has_its_class_wherever_its_kind_stands() {
        let class = |event: Value| by_event(&event, &event.to_string(), "x").class;
        let anthropic = |kind: &str| json!({ "type": "error", "error": { "type": kind, "message": "m" } });
        assert_eq!(class(anthropic("rate_limit_error")), ErrorClass::RateLimited);
        assert_eq!(class(anthropic("overloaded_error")), ErrorClass::Unavailable);
        assert_eq!(class(anthropic("invalid_request_error")), ErrorClass::BadInput);
        assert_eq!(class(json!({ "code": "rate_limit_exceeded", "message": "m" })), ErrorClass::RateLimited);
        assert_eq!(class(json!({ "type": "insufficient_quota" })), ErrorClass::Quota);
        let gemini = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m" } });
        assert_eq!(class(gemini), ErrorClass::RateLimited);
    }
}
