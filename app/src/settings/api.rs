//! One's own profile, and the organization's API keys.

use agentflow::{
    access::Role,
    accounts::Profile,
    kernel::ApiKeyId,
    keys::{ApiKey, NewApiKey},
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    accounts::service as accounts,
    keys::service::{self as keys, Wish},
};

/// What the settings show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// One's own account.
    pub profile: Profile,
    /// One's own role in the organization.
    pub role: Role,
    /// The organization's API keys; nothing for those who may not manage them.
    pub keys: Option<Vec<ApiKey>>,
}

/// Everything that the settings show.
#[server]
pub async fn load_settings(org: String) -> Result<Settings, ApiError> {
    let cx = door::ctx(&org).await?;
    let profile = accounts::profile(&door::person().await?).await?;
    let keys = match cx.grant() {
        Ok(grant) => Some(keys::list(&grant).await?),
        Err(_) => None,
    };
    Ok(Settings { profile, role: cx.role(), keys })
}

/// Changes one's own name and undo window.
#[server]
pub async fn update_profile(name: String, undo: String) -> Result<(), ApiError> {
    Ok(accounts::update_profile(&door::person().await?, &name, &undo).await?)
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
