//! What the frame shows, and the theme.

use agentflow::{
    access::{OrgRef, Role},
    orgs::Membership,
};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, host};
#[cfg(feature = "ssr")]
use agentflow::{accounts, approvals, orgs};

/// What is around every page of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameData {
    /// The person's name.
    pub name: String,
    /// The address that the person signs in with.
    pub email: String,
    /// The organization.
    pub org: OrgRef,
    /// The person's role in it.
    pub role: Role,
    /// All organizations of the person.
    pub organizations: Vec<Membership>,
    /// How many approvals wait that the person may decide.
    pub approvals: i64,
    /// Whether no model but the sandbox model can be called.
    pub sandbox_only: bool,
    /// Whether there is a local outbox to look into.
    pub outbox: bool,
    /// Whether keys of a single letter act.
    pub single_keys: bool,
}

/// Reads what is around every page of an organization.
#[server]
pub async fn frame(org: String) -> Result<FrameData, ApiError> {
    let person = door::person().await?;
    let cx = door::ctx(&org).await?;
    let profile = accounts::service::profile(&person).await?;
    Ok(FrameData {
        name: profile.name,
        email: profile.email,
        single_keys: profile.single_keys,
        org: cx.org().clone(),
        role: cx.role(),
        organizations: orgs::service::list(&person).await?,
        approvals: approvals::service::pending_count(&cx.grant()?).await?,
        sandbox_only: cx.deps().models.available(cx.org().id).await?.iter().all(|model| model.sandbox),
        outbox: door::is_local() && !cx.deps().mail.has_server(),
    })
}

/// How the pages are lit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// As the system is.
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// The word in the cookie; none follows the system.
    #[must_use]
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }
}

/// Keeps the theme for this browser.
#[server]
pub async fn set_theme(theme: Theme) -> Result<(), ApiError> {
    host::set_cookie("theme", theme.word());
    Ok(())
}
