//! Signing in and out.

use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    accounts::{local_path, service},
    orgs,
};

/// Signs in, and leads to the page that was wanted, if it is one of ours, or to the person's organization.
#[server]
pub async fn sign_in(email: String, password: String, #[server(default)] next: String) -> Result<(), ApiError> {
    let visitor = door::visitor()?;
    service::sign_in(&visitor, &email, &password).await?;
    let home = orgs::service::home(&visitor.signed_in().await?).await?;
    leptos_axum::redirect(local_path(&next).unwrap_or(&home));
    Ok(())
}

/// Ends the session. Sent as a plain form, so that the browser forgets the pages that it has in memory.
#[server]
pub async fn sign_out() -> Result<(), ApiError> {
    service::sign_out(&door::visitor()?).await?;
    leptos_axum::redirect("/login");
    Ok(())
}
