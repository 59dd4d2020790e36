//! The product's error on its way through a server function: one stable JSON form, and the HTTP status that belongs to
//! its kind. What a framework says about a request that it could not read stays here; the person gets plain words.

use std::fmt;

use agentflow::kernel::{Error, Kind};
use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "ssr"))]
use self::browser::{note, tell, unreadable};
#[cfg(feature = "ssr")]
use self::server::{note, tell, unreadable};

/// The error of every server function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiError(pub Error);

/// `?` on a service's result. On the server the answer takes on the error's status.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        tell(&error);
        Self(error)
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        error.0
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ApiError {}

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(value: ServerFnErrorErr) -> Self {
        note(&value);
        match value {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) => malformed(),
            ServerFnErrorErr::Request(_) => Error::new(
                Kind::Unavailable,
                "network",
                "AgentFlow could not be reached. Check your connection and try again; what you typed is still here.",
            ),
            ServerFnErrorErr::Deserialization(_) => unreadable(),
            ServerFnErrorErr::Registration(_)
            | ServerFnErrorErr::UnsupportedRequestMethod(_)
            | ServerFnErrorErr::ServerError(_)
            | ServerFnErrorErr::MiddlewareError(_)
            | ServerFnErrorErr::Serialization(_)
            | ServerFnErrorErr::Response(_) => {
                Error::new(Kind::Internal, "internal", "Something went wrong on our side. Try again.")
            }
        }
        .into()
    }
}

fn malformed() -> Error {
    let message = "The request could not be read. Reload the page and try again.";
    Error::new(Kind::Malformed, "request.malformed", message)
}

#[cfg(feature = "ssr")]
mod server {
    use agentflow::kernel::Error;
    use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
    use leptos::{prelude::use_context, server_fn::error::ServerFnErrorErr};
    use leptos_axum::ResponseOptions;

    /// Gives the answer that is being made the error's status.
    pub(super) fn tell(error: &Error) {
        let Some(response) = use_context::<ResponseOptions>() else { return };
        if let Ok(status) = StatusCode::from_u16(error.kind.status()) {
            response.set_status(status);
        }
        if let Some(seconds) = error.retry_after_s {
            response.insert_header(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }

    /// On the server it is the request's JSON that could not be read.
    pub(super) fn unreadable() -> Error {
        super::malformed()
    }

    /// Keeps for the log what the framework said.
    pub(super) fn note(cause: &ServerFnErrorErr) {
        match cause {
            ServerFnErrorErr::Args(_) | ServerFnErrorErr::MissingArg(_) | ServerFnErrorErr::Deserialization(_) => {
                tracing::debug!(error = %cause, "unreadable arguments of a server function");
            }
            _ => tracing::error!(error = %cause, "a server function could not answer"),
        }
    }
}

#[cfg(not(feature = "ssr"))]
mod browser {
    use agentflow::kernel::{Error, Kind};
    use leptos::server_fn::error::ServerFnErrorErr;

    /// The browser has no answer to give a status to.
    pub(super) const fn tell(_: &Error) {}

    /// In the browser it is the answer that could not be read.
    pub(super) fn unreadable() -> Error {
        let message =
            "The answer could not be read, perhaps because AgentFlow was updated. Reload the page and try again.";
        Error::new(Kind::Unavailable, "answer.unreadable", message)
    }

    /// The browser keeps no log.
    pub(super) const fn note(_: &ServerFnErrorErr) {}
}

#[cfg(test)]
mod tests {
    use agentflow::kernel::{Error, Kind};
    use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};

    use super::ApiError;

    #[test]
    fn an_error_survives_the_way_to_the_browser() {
        let error = ApiError(Error::invalid("email", "Enter an e-mail address, such as name@example.com."));
        assert_eq!(ApiError::de(error.ser()), error);
    }

    #[test]
    fn what_the_framework_says_stays_inside() {
        let error = ApiError::from_server_fn_error(ServerFnErrorErr::Args("missing field `secret_name`".into()));
        assert_eq!(error.0.kind, Kind::Malformed);
        assert!(!error.0.message.contains("secret_name"));
    }

    #[test]
    fn json_that_cannot_be_read_is_a_fault_of_the_request() {
        let error = ApiError::from_server_fn_error(ServerFnErrorErr::Deserialization("expected value".into()));
        assert_eq!((error.0.kind.status(), error.0.code.as_str()), (400, "request.malformed"));
    }
}
