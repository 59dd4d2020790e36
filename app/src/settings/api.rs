//! One's own profile, and the organization's API keys.

use agentflow::{
    accounts::Profile,
    kernel::ApiKeyId,
    keys::{ApiKey, NewApiKey},
};
use leptos::prelude::*;

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    accounts::service as accounts,
    keys::service::{self as keys, Wish},
};

/// One's own account.
#[server]
pub async fn own_profile() -> Result<Profile, ApiError> {
    Ok(accounts::profile(&door::person().await?).await?)
}

/// Changes one's own name and undo window.
#[server]
pub async fn update_profile(name: String, undo: String) -> Result<(), ApiError> {
    Ok(accounts::update_profile(&door::person().await?, &name, &undo).await?)
}

/// The organization's API keys.
#[server]
pub async fn api_keys(org: String) -> Result<Vec<ApiKey>, ApiError> {
    Ok(keys::list(&door::ctx(&org).await?.grant()?).await?)
}

/// Makes an API key. Its secret is in this answer and in no other.
#[server]
pub async fn create_api_key(org: String, name: String, role: String, days: i32) -> Result<NewApiKey, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(keys::create(&cx.grant()?, &Wish { name, role, days }).await?)
}

/// Takes an API key back.
#[server]
pub async fn revoke_api_key(org: String, key: ApiKeyId) -> Result<(), ApiError> {
    Ok(keys::revoke(&door::ctx(&org).await?.grant()?, key).await?)
}
