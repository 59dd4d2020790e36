//! The one way for a server function to who is asking: [`ctx`] for what belongs to an organization, [`person`] for what
//! needs only somebody signed in, [`visitor`] for the sign-in itself.

use std::net::SocketAddr;

use agentflow::{
    access::Ctx,
    accounts::service::{SignedIn, Visitor},
    deps::Deps,
    kernel::Error,
    orgs,
};
use axum::extract::ConnectInfo;
use http::request::Parts;
use leptos::prelude::use_context;

use crate::error::ApiError;

/// The context of the signed-in person in the organization with this address. The membership is proven on every call; an
/// organization that does not exist and one of other people are the same `not_found`.
///
/// # Errors
/// `unauthenticated`, `not_found`, `unavailable`.
pub async fn ctx(org: &str) -> Result<Ctx, ApiError> {
    let person = person().await?;
    Ok(orgs::service::enter(&person, org).await?)
}

/// The signed-in person.
///
/// # Errors
/// `unauthenticated`, `unavailable`.
pub async fn person() -> Result<SignedIn, ApiError> {
    Ok(visitor()?.signed_in().await?)
}

/// Whoever asks, signed in or not.
///
/// # Errors
/// `internal`, when called outside of a request.
pub fn visitor() -> Result<Visitor, ApiError> {
    let deps = use_context::<Deps>().ok_or_else(|| Error::internal("no Deps in the context"))?;
    let parts = use_context::<Parts>().ok_or_else(|| Error::internal("no request in the context"))?;
    Ok(Visitor::of(&deps, &parts)?)
}

/// Whether the request comes from somebody who sits at this machine: by its socket, and not through a proxy on it.
#[must_use]
pub fn is_local() -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    use_context::<Parts>().is_some_and(|parts| {
        let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        socket.is_some_and(|ConnectInfo(socket)| socket.ip().to_canonical().is_loopback())
            && !FORWARDED.iter().any(|name| parts.headers.contains_key(*name))
    })
}
