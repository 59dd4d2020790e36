//! The one error of the product: what happened and what to do, in words for the person, with a stable code for machines.
//!
//! What an error meant inside (a statement, an address, a stack) goes to the log where it is made, under the same
//! reference that the person sees; it never travels in the error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of every operation of the product.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it is. It decides the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It does not exist, or the asker may not know that it does.
    NotFound,
    /// The state has moved on: decided already, changed by someone else, name taken.
    Conflict,
    /// The same idempotency key came with another body.
    Mismatch,
    /// The input is wrong; `fields` says where.
    Invalid,
    /// The request itself cannot be read.
    Malformed,
    /// Nobody is signed in.
    Unauthenticated,
    /// The role does not allow it.
    Forbidden,
    /// A limit is reached; `retry_after_s` says when to come again.
    OverLimit,
    /// The body or a value is too large.
    TooLarge,
    /// It was there and is gone for good.
    Gone,
    /// The version named by the client is not the newest one.
    Stale,
    /// Something that we need does not answer now.
    Unavailable,
    /// A fault of ours; `reference` finds it in the log.
    Internal,
}

impl Kind {
    /// The HTTP status of this kind.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Mismatch | Self::Invalid => 422,
            Self::Malformed => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::OverLimit => 429,
            Self::TooLarge => 413,
            Self::Gone => 410,
            Self::Stale => 412,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// What is wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name in the form or its path in the body, such as `nodes.triage.prompt`.
    pub field: String,
    /// What is wrong and what to do, a sentence.
    pub message: String,
}

/// A failure that a person or a program can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What sort of failure it is.
    pub kind: Kind,
    /// A stable code, `area.reason`, such as `approvals.already_decided`.
    pub code: String,
    /// What happened and what to do, for people.
    pub message: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldError>,
    /// Seconds to wait before the next try, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// What to look for in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Error {
    /// The code of [`Error::reauth`]: forms show a link to the sign-in with it.
    pub const REAUTH: &str = "reauth";

    /// An error of a kind, with its code and words.
    pub fn new(kind: Kind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            fields: Vec::new(),
            retry_after_s: None,
            reference: None,
        }
    }

    /// It does not exist (or belongs to somebody else: the answer is the same). `what` is a noun such as "run".
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, "not_found", format!("This {what} does not exist, or you have no access to it."))
    }

    /// The state has moved on.
    pub fn conflict(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, code, message)
    }

    /// One field of the input is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut error = Self::new(Kind::Invalid, "invalid", message.clone());
        error.fields.push(FieldError { field: field.into(), message });
        error
    }

    /// Several fields of the input are wrong. `None` where the list is empty.
    #[must_use]
    pub fn invalid_fields(fields: Vec<FieldError>) -> Option<Self> {
        if fields.is_empty() {
            return None;
        }
        let message = match fields.as_slice() {
            [one] => one.message.clone(),
            more => format!("{} entries need to be corrected.", more.len()),
        };
        let mut error = Self::new(Kind::Invalid, "invalid", message);
        error.fields = fields;
        Some(error)
    }

    /// Nobody is signed in.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(Kind::Unauthenticated, "unauthenticated", "Sign in to go on.")
    }

    /// The role does not allow it. `message` says which role is needed.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, "forbidden", message)
    }

    /// The sign-in is too long ago for this. `to` ends the sentence "Sign in again to".
    #[must_use]
    pub fn reauth(to: &str) -> Self {
        let message = format!("Sign in again to {to}. It needs a sign-in that is no more than two hours old.");
        Self::new(Kind::Forbidden, Self::REAUTH, message)
    }

    /// A limit is reached.
    pub fn over_limit(code: impl Into<String>, message: impl Into<String>, retry_after_s: u32) -> Self {
        let mut error = Self::new(Kind::OverLimit, code, message);
        error.retry_after_s = Some(retry_after_s);
        error
    }

    /// Something that we need does not answer now.
    #[must_use]
    pub fn unavailable() -> Self {
        let mut error = Self::new(
            Kind::Unavailable,
            "unavailable",
            "AgentFlow cannot reach its database at the moment. Nothing was lost; try again in a few seconds.",
        );
        error.retry_after_s = Some(2);
        error
    }

    /// A fault of ours. The cause goes to the log here, and only here, under the reference that the person sees.
    #[cfg(feature = "ssr")]
    #[track_caller]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let reference = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        let place = std::panic::Location::caller();
        tracing::error!(reference, error = %cause, place = %place, "internal error");
        let mut error = Self::new(
            Kind::Internal,
            "internal",
            format!("Something went wrong on our side. Try again; if it stays, report the reference {reference}."),
        );
        error.reference = Some(reference);
        error
    }

    /// The same error for another field, as when a nested value is checked by its own rules.
    #[must_use]
    pub fn at(mut self, field: &str) -> Self {
        for entry in &mut self.fields {
            field.clone_into(&mut entry.field);
        }
        self
    }

    /// What is wrong with this field, if anything.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|entry| entry.field == name).map(|entry| entry.message.as_str())
    }
}

/// Collects what is wrong with the fields of one form, so that a person sees everything at once.
#[derive(Debug, Default)]
pub struct Checks {
    fields: Vec<FieldError>,
}

impl Checks {
    /// The value of a field that is right; of one that is wrong, a default, and the error is kept for [`Self::done`].
    pub fn take<T: Default>(&mut self, checked: Result<T>) -> T {
        checked.unwrap_or_else(|error| {
            self.fields.extend(error.fields);
            T::default()
        })
    }

    /// Everything was right.
    ///
    /// # Errors
    /// `invalid`, with all fields that were not.
    pub fn done(self) -> Result<()> {
        Error::invalid_fields(self.fields).map_or(Ok(()), Err)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A database that does not answer is `unavailable`; everything else that a statement can fail with is ours.
#[cfg(feature = "ssr")]
impl From<sqlx::Error> for Error {
    #[track_caller]
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
                tracing::warn!(error = %error, "database unavailable");
                Self::unavailable()
            }
            // 57P01..57P03: the server is stopping or starting; 53300: too many connections.
            sqlx::Error::Database(db)
                if db
                    .code()
                    .is_some_and(|code| code.starts_with("57P") || code == "53300" || code.starts_with("08")) =>
            {
                tracing::warn!(error = %error, "database unavailable");
                Self::unavailable()
            }
            _ => Self::internal(error),
        }
    }
}
