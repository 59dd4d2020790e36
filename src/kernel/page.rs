//! A window on a long list: cursors, never offsets.

use serde::{Deserialize, Serialize};

use super::{Error, Kind};

/// Where the next page begins: opaque to clients, made of the last row's sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

impl Cursor {
    /// What to say of a text that is none.
    #[must_use]
    pub fn invalid() -> Error {
        let error = Error::invalid("cursor", "This cursor is not one of this list. Begin without a cursor.");
        Error { kind: Kind::Malformed, code: "cursor.invalid".to_owned(), ..error }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows of this page.
    pub items: Vec<T>,
    /// Where the next page begins, or nothing at the end.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` rows out of up to `limit + 1` that were read; `key` gives a row's cursor.
    pub fn cut(mut rows: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let next = if rows.len() > limit {
            rows.truncate(limit);
            rows.last().map(|row| Cursor(key(row)))
        } else {
            None
        };
        Self { items: rows, next }
    }
}
