//! One's own profile, the organization's rules, and its API keys.

use agentflow::{
    access::Role,
    accounts::Profile,
    kernel::ApiKeyId,
    keys::{ApiKey, NewApiKey},
    orgs::OrgSettings,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use crate::door;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use agentflow::{
    accounts::{Wishes, service as accounts},
    keys::service::{self as keys, Wish},
    orgs::service as orgs,
};

/// What the settings show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// One's own account.
    pub profile: Profile,
    /// One's own role in the organization.
    pub role: Role,
    /// What the organization has settled for itself.
    pub organization: OrgSettings,
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
    let organization = orgs::settings(&cx.grant()?).await?;
    Ok(Settings { profile, role: cx.role(), organization, keys })
}

/// Changes one's own name, undo window and what one has switched on. A box that is not ticked is not sent.
#[server]
pub async fn update_profile(
    name: String,
    undo: String,
    #[server(default)] email_notices: bool,
    #[server(default)] single_keys: bool,
) -> Result<(), ApiError> {
    let wishes = Wishes { email_notices, single_keys };
    Ok(accounts::update_profile(&door::person().await?, &name, &undo, wishes).await?)
}

/// Changes what the organization has settled for itself. The amount is as it was typed.
#[server]
pub async fn update_organization(org: String, typed_amount: String) -> Result<(), ApiError> {
    Ok(orgs::update_settings(&door::ctx(&org).await?.grant()?, &typed_amount).await?)
}

/// Says how many of the organization's runs may be at work at once; nothing means the operator's default.
#[server]
pub async fn update_max_running(org: String, #[server(default)] max_running: String) -> Result<(), ApiError> {
    Ok(orgs::update_max_running(&door::ctx(&org).await?.grant()?, &max_running).await?)
}

/// Changes how many days ended runs are kept, as it was typed.
#[server]
pub async fn update_retention(org: String, retention_days: String) -> Result<(), ApiError> {
    Ok(orgs::update_retention(&door::ctx(&org).await?.grant()?, &retention_days).await?)
}

/// Says which hosts alone the organization's tools may call; none, all public ones.
#[server]
pub async fn update_allowed_domains(org: String, #[server(default)] allowed_domains: String) -> Result<(), ApiError> {
    Ok(orgs::update_allowed_domains(&door::ctx(&org).await?.grant()?, &allowed_domains).await?)
}

/// Makes an API key, for somebody who signed in a short while ago. Its secret is in this answer and in no other.
#[server]
pub async fn create_api_key(org: String, name: String, role: String, days: i32) -> Result<NewApiKey, ApiError> {
    let cx = door::ctx(&org).await?;
    Ok(keys::create(&cx.fresh_grant("make a key")?, &Wish { name, role, days }).await?)
}

/// Takes an API key back.
#[server]
pub async fn revoke_api_key(org: String, key: ApiKeyId) -> Result<(), ApiError> {
    Ok(keys::revoke(&door::ctx(&org).await?.grant()?, key).await?)
}
