//! What the dashboard asks the server.

use agentflow::dashboard::{Guide, Range};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
use super::cards;
use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, host};
#[cfg(feature = "ssr")]
use agentflow::{
    access::Permission,
    dashboard::service::{self, Wish},
};

/// The cookie of people who do without the checklist.
#[cfg(feature = "ssr")]
const GUIDE: &str = "guide";

/// The dashboard as the server has drawn it: a browser only puts it in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DashboardPage {
    /// The cards, in order: where each stands, and its HTML.
    pub cards: Vec<(String, String)>,
    /// The moment of this answer, for people and for machines.
    pub as_of: (String, String),
    /// The period, in a word or two.
    pub period: String,
    /// How far a new organization has come, and how many approvals wait.
    pub guide: (Guide, i64),
    /// Whether the way to the first finished run is shown.
    pub guided: bool,
    /// Whether the person may make and run workflows.
    pub may_build: bool,
}

/// Reads the dashboard: of the time up to now, or of the days that are named.
#[server]
pub async fn read_dashboard(
    org: String,
    range: Range,
    #[server(default)] first: Option<String>,
    #[server(default)] last: Option<String>,
) -> Result<DashboardPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let wish = Wish { range, from: first, to: last };
    let dashboard = service::read(&cx.grant()?, &cx.grant()?, &wish).await?;
    let may_build = cx.role().may(Permission::Build);
    let guided = may_build && !dashboard.guide.is_done() && host::cookie(GUIDE).is_none();
    Ok(cards::page(&cx.org().slug, &wish, &dashboard, guided, may_build))
}

/// Hides the checklist in this browser.
#[server]
pub async fn hide_guide(org: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    host::set_cookie(GUIDE, Some("hidden"));
    leptos_axum::redirect(&format!("/o/{}/", cx.org().slug));
    Ok(())
}
