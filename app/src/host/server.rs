//! The request that is answered now.

use agentflow::accounts::Admission;
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use web_sys::SubmitEvent;

use crate::{error::ApiError, kit::form::FormReplay, shell::Assets};

/// Whether browsers keep a `Secure` cookie at the address that people use. The server puts it into the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureCookies(pub bool);

/// A cookie of the request.
#[must_use]
pub fn cookie(name: &str) -> Option<String> {
    let parts = use_context::<Parts>()?;
    parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Keeps a preference of this browser for a year, or forgets it. `value` is a plain word.
pub fn set_cookie(name: &str, value: Option<&str>) {
    let (value, age) = value.map_or(("", 0), |value| (value, 31_536_000));
    let secure = if use_context() == Some(SecureCookies(true)) { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={age}; SameSite=Lax; HttpOnly{secure}");
    if let Some(response) = use_context::<ResponseOptions>()
        && let Ok(line) = HeaderValue::from_str(&line)
    {
        response.append_header(header::SET_COOKIE, line);
    }
}

/// The status of the answer.
pub fn set_status(status: u16) {
    if let Some(response) = use_context::<ResponseOptions>()
        && let Ok(status) = StatusCode::from_u16(status)
    {
        response.set_status(status);
    }
}

/// The form that this page answers, if the replay layer put one in.
#[must_use]
pub fn form_replay() -> Option<FormReplay> {
    use_context::<Parts>()?.extensions.get::<FormReplay>().cloned()
}

/// Whether the visitor may sign up, as the gate found out.
#[must_use]
pub fn admission() -> Admission {
    use_context::<Parts>().and_then(|parts| parts.extensions.get().copied()).unwrap_or(Admission::Open)
}

/// The address of this page, if it answers a form that was refused: the browser still shows the form's own address.
#[must_use]
pub fn replayed_page() -> Option<String> {
    let parts = use_context::<Parts>()?;
    parts.extensions.get::<FormReplay>().filter(|replay| replay.error.is_some())?;
    parts.uri.path_and_query().map(|page| page.as_str().to_owned())
}

/// The browser alone changes it; the document names the product's own.
pub fn set_favicon(_href: &str) {}

/// There are no events without a browser.
#[must_use]
pub fn is_in_form(_event: &web_sys::Event, _forms: &str) -> bool {
    false
}

/// Forms are filled in and sent by browsers.
pub fn copy_entries(_from: &str, _beginning: &str, _to: &str) {}

/// Forms are filled in by browsers.
#[must_use]
pub fn entries(_selector: &str, _beginning: &str) -> Vec<(String, String)> {
    Vec::new()
}

/// Forms are filled in by browsers.
pub fn fill_in(_selector: &str, _beginning: &str, _entries: Option<&[(String, String)]>) {}

/// Browsers keep what is theirs.
#[must_use]
pub fn kept(_name: &str) -> Option<String> {
    None
}

/// Browsers keep what is theirs.
pub fn keep(_name: &str, _text: Option<&str>) {}

/// The browser's clock is the browser's.
#[must_use]
pub fn now_ms() -> f64 {
    0.0
}

/// The person's time is known to the browser.
#[must_use]
pub fn local_time(_ms: f64) -> String {
    String::new()
}

/// There are no events without a browser.
#[must_use]
pub fn has_open_dialog() -> bool {
    false
}

/// Forms are filled in and sent by browsers.
pub fn submit_form(_id: &str) {}

/// The page begins with this chunk: the browser fetches it beside the entry, and waits for it.
pub fn begins_with(chunk: &'static str) {
    // Being written registers it for the head; it is no part of the page.
    drop(view! { <leptos_meta::Meta name="chunk" content=chunk/> }.to_html());
    let (Some(response), Some(assets)) = (use_context::<ResponseOptions>(), use_context::<Assets>()) else { return };
    for file in assets.chunks.get(chunk).into_iter().flatten() {
        if let Ok(link) = HeaderValue::from_str(&format!("<{file}>; rel=preload; as=fetch; crossorigin")) {
            response.append_header(header::LINK, link);
        }
    }
}

/// The browser alone begins with a part.
pub fn first_chunk() -> Option<String> {
    None
}

/// The server has every chunk.
pub async fn pause() {}

/// The server has every chunk.
pub async fn open_as_document<T>() -> T {
    std::future::pending().await
}

/// Forms are sent by the browser.
pub fn send_form(_url: &'static str, _event: &SubmitEvent) -> impl Future<Output = Result<Vec<u8>, ApiError>> + use<> {
    std::future::pending()
}

/// A text as it is now: the head asks for it when the page is done, by a thread that knows nothing of the page's signals.
pub fn settled(text: impl Fn() -> String) -> impl Fn() -> String + Clone + Send + Sync + 'static {
    let now = untrack(text);
    move || now.clone()
}

/// The person's time is known to the browser.
#[must_use]
pub fn zone_minutes() -> Option<i32> {
    None
}

/// Addresses are put together in another place.
#[must_use]
pub fn encoded(_text: &str) -> String {
    String::new()
}

/// Forms are sent by the browser.
#[must_use]
pub fn form_query(_event: &SubmitEvent) -> Option<String> {
    None
}
