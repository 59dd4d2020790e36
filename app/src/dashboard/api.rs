//! What the dashboard asks the server.

use agentflow::dashboard::{Dashboard, Range};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
#[cfg(feature = "ssr")]
use crate::{door, host};
#[cfg(feature = "ssr")]
use agentflow::{access::Permission, dashboard::service};

/// The cookie of people who do without the checklist.
#[cfg(feature = "ssr")]
const GUIDE: &str = "guide";

/// The dashboard, and whether the checklist is on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DashboardPage {
    /// The figures.
    pub dashboard: Dashboard,
    /// Whether the way to the first finished run is shown.
    pub guided: bool,
    /// Whether the person may make and run workflows.
    pub may_build: bool,
}

/// Reads the dashboard.
#[server]
pub async fn read_dashboard(org: String, range: Range) -> Result<DashboardPage, ApiError> {
    let cx = door::ctx(&org).await?;
    let dashboard = service::read(&cx.grant()?, &cx.grant()?, range).await?;
    let may_build = cx.role().may(Permission::Build);
    let guided = may_build && !dashboard.guide.is_done() && host::cookie(GUIDE).is_none();
    Ok(DashboardPage { dashboard, guided, may_build })
}

/// Hides the checklist in this browser.
#[server]
pub async fn hide_guide(org: String) -> Result<(), ApiError> {
    let cx = door::ctx(&org).await?;
    host::set_cookie(GUIDE, Some("hidden"));
    leptos_axum::redirect(&format!("/o/{}/", cx.org().slug));
    Ok(())
}
