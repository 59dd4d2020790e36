//! In the browser there is no request that is answered.

use crate::kit::form::FormReplay;

/// The server alone sees cookies: they are closed to scripts, or decide the first byte.
#[must_use]
pub fn cookie(_name: &str) -> Option<String> {
    None
}

/// The server alone sets cookies.
pub fn set_cookie(_name: &str, _value: Option<&str>) {}

/// The server alone answers with a status.
pub fn set_status(_status: u16) {}

/// What is shown first comes from the server.
#[must_use]
pub fn form_replay() -> Option<FormReplay> {
    None
}

/// The address is the page's own by then.
#[must_use]
pub fn replayed_page() -> Option<String> {
    None
}

/// Gives the tab another small picture.
pub fn set_favicon(href: &str) {
    if let Some(link) = leptos::prelude::document().query_selector("link[rel~='icon']").ok().flatten() {
        // A tab without it is the same page.
        drop(link.set_attribute("href", href));
    }
}
