//! Who calls: a program, by its API key.

use agentflow::{access::Ctx, kernel::Error, keys};
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::problem::{Problem, request_id};
use crate::state::State;

/// A program with a valid key, in the key's organization.
#[derive(Clone)]
pub struct Caller {
    /// The context of what it asks for.
    pub cx: Ctx,
    /// The key's secret, for asking again whether it still opens anything.
    secret: String,
}

impl Caller {
    /// Whether the key is still valid. What cannot be asked now counts as valid: the next question decides.
    pub async fn is_still_let_in(&self) -> bool {
        let asked = keys::service::authenticate(self.cx.deps(), &self.secret, self.cx.request_id().to_owned()).await;
        match asked {
            Ok(cx) => cx.role() == self.cx.role(),
            Err(error) => error.kind != agentflow::kernel::Kind::Unauthenticated,
        }
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let missing = || {
            let mut error = Error::unauthenticated();
            error.message = "Send an API key as `Authorization: Bearer agentflow_…`.".to_owned();
            Problem(error)
        };
        let value = parts.headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
        let (scheme, secret) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let secret = secret.trim().to_owned();
        let cx = keys::service::authenticate(&state.deps, &secret, request_id(&parts.headers)).await?;
        Ok(Self { cx, secret })
    }
}
