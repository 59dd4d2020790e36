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
use http::{header, request::Parts, uri::Authority};
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

/// Whether the address that people use is this machine's own. The server puts it into the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForThisMachine(pub bool);

/// Whether the request comes from somebody who sits at this machine: by its socket, by the name that it was sent to, and
/// not through a proxy. A proxy on this machine need not say that it is one, and may name this machine's address instead
/// of its own: where the address that people use is another one, nobody counts as local.
#[must_use]
pub fn is_local() -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    use_context::<Parts>().is_some_and(|parts| {
        let socket = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        socket.is_some_and(|ConnectInfo(socket)| socket.ip().to_canonical().is_loopback())
            && !FORWARDED.iter().any(|name| parts.headers.contains_key(*name))
            && host_of(&parts).is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str()))
            && use_context() == Some(ForThisMachine(true))
    })
}

/// The name that a request was sent to, without the port.
fn host_of(parts: &Parts) -> Option<String> {
    let authority: Authority = match parts.headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?.parse().ok()?,
        None => parts.uri.authority()?.clone(),
    };
    Some(authority.host().to_ascii_lowercase())
}
