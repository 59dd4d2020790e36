//! Reading requests strictly: what is not understood is refused, and said.

use std::str::FromStr;

use agentflow::kernel::{Cursor, Error, FieldError, Kind, Page};
use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{header, request::Parts},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

use super::problem::{Answer, Problem};

/// The largest body: 2 MiB.
const BODY_BYTES: usize = 2 << 20;

/// A JSON body. An empty one is read as `{}`.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let says_json = says_json(&request);
        let bytes = to_bytes(request.into_body(), BODY_BYTES).await.map_err(|_| {
            Problem(Error::new(Kind::TooLarge, "request.too_large", "The body is larger than 2 MiB, or ended early."))
        })?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !says_json {
            let message = "Send JSON, with `Content-Type: application/json`.";
            return Err(Problem::malformed("request.not_json", message));
        }
        parse(&bytes).map(Self)
    }
}

fn says_json(request: &Request) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    // Serde would take a list for a struct, entry by entry.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
            Ok(_) => Problem(Error::new(Kind::Invalid, "request.body", "The body must be a JSON object.")),
            Err(error) => not_json(&error),
        });
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        // It is JSON and says something that we have no place for.
        Category::Data => {
            let mut told = Error::new(Kind::Invalid, "request.body", format!("The body does not fit: {error}."));
            told.fields.push(FieldError { field: named(&error.to_string()), message: told.message.clone() });
            Problem(told)
        }
        _ => not_json(&error),
    })
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::malformed("request.not_json", format!("The body is not JSON: {error}."))
}

/// The field that serde's message names in back-quotes first, if it does.
fn named(message: &str) -> String {
    message.split('`').nth(1).unwrap_or_default().to_owned()
}

/// The part of the address after `?`.
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| Problem::malformed("request.query", error.body_text()))
    }
}

/// The id of something; a text that is none names nothing.
pub fn id<T: FromStr>(text: &str, what: &str) -> Answer<T> {
    text.parse().map_err(|_| Problem(Error::not_found(what)))
}

/// How many rows, 1 to 200 and 50 without a wish.
pub fn limit(wish: Option<u32>) -> Answer<u32> {
    match wish {
        None => Ok(50),
        Some(wish @ 1..=200) => Ok(wish),
        Some(_) => Err(Problem(Error::invalid("limit", "Ask for 1 to 200 rows."))),
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins: the `cursor` to ask with. Missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<Cursor>,
}

impl<T> List<T> {
    /// A page in the API's form.
    pub fn of<U>(page: Page<U>) -> Self
    where
        T: From<U>,
    {
        Self { items: page.items.into_iter().map(T::from).collect(), next_cursor: page.next }
    }

    /// A list that is given whole.
    pub fn whole<U>(rows: Vec<U>) -> Self
    where
        T: From<U>,
    {
        Self { items: rows.into_iter().map(T::from).collect(), next_cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[expect(dead_code, reason = "only its reading is tested")]
        reason: String,
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        let of = |text: &str| parse::<Wanted>(text.as_bytes()).map_err(|problem| problem.0);
        assert!(of(r#"{"reason":"x"}"#).is_ok());
        let unknown = of(r#"{"reason":"x","extra":1}"#).unwrap_err();
        assert_eq!((unknown.kind, unknown.fields[0].field.as_str()), (Kind::Invalid, "extra"));
        assert_eq!(of(r#"["x"]"#).unwrap_err().kind, Kind::Invalid);
        assert_eq!(of(r#"{"reason":"#).unwrap_err().kind, Kind::Malformed);
        assert_eq!(of(&"[".repeat(100_000)).unwrap_err().kind, Kind::Malformed);
    }
}
