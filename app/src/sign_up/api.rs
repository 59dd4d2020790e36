//! Signing up.

use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::accounts::service::{self, NewAccount};

/// Makes an account and its first organization, signs in, and leads there.
#[server]
pub async fn sign_up(
    name: String,
    email: String,
    password: String,
    organization: String,
    #[server(default)] first: String,
) -> Result<(), ApiError> {
    let visitor = door::visitor()?;
    let org = service::sign_up(&visitor, NewAccount { name, email, password, organization }, &first).await?;
    leptos_axum::redirect(&format!("/o/{}/", org.slug));
    Ok(())
}
