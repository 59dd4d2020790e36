//! In the browser there is no request that is answered.

use std::time::Duration;

use agentflow::accounts::Admission;
use leptos::{
    form::form_data_from_event,
    prelude::*,
    server_fn::{
        ContentType,
        client::{Client, browser::BrowserClient},
        codec::PostUrl,
        error::{FromServerFnError, ServerFnErrorErr},
        redirect::call_redirect_hook,
        request::{ClientReq, browser::BrowserRequest},
        response::{ClientRes, browser::BrowserResponse},
    },
};
use leptos_router::hooks::use_url;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Element, HtmlFormElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, SubmitEvent, UrlSearchParams,
    js_sys,
};

use crate::{error::ApiError, kit::form::FormReplay};

/// After how long a chunk that did not come is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

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
    if let Some(link) = document().query_selector("link[rel~='icon']").ok().flatten() {
        // A tab without it is the same page.
        drop(link.set_attribute("href", href));
    }
}

/// The server tells, with the page.
pub fn admission() -> Admission {
    Admission::Open
}

/// The server tells.
pub fn begins_with(_chunk: &str) {}

/// The chunk that the server's page begins with, as it told.
pub fn first_chunk() -> Option<String> {
    document().query_selector("meta[name='chunk']").ok().flatten()?.get_attribute("content")
}

/// A moment before a chunk that did not come is asked for again.
pub async fn pause() {
    let (done, waited) = futures::channel::oneshot::channel();
    set_timeout(move || done.send(()).unwrap_or_default(), AGAIN);
    waited.await.unwrap_or_default();
}

/// Opens the page that the router is about to show as a document: its chunk did not come, as the network is away or
/// there is a newer AgentFlow. A browser that cannot go there says so itself.
pub async fn open_as_document<T>() -> T {
    let url = use_url().get_untracked();
    let search = if url.search().is_empty() { String::new() } else { format!("?{}", url.search()) };
    drop(window().location().set_href(&format!("{}{search}{}", url.path(), url.hash())));
    std::future::pending().await
}

/// Sends the form of this event and gives the answer's bytes. An answer that leads elsewhere is followed.
pub fn send_form(url: &'static str, event: &SubmitEvent) -> impl Future<Output = Result<Vec<u8>, ApiError>> + use<> {
    let entries = form_data_from_event(event).ok().and_then(|data| {
        // A button without a name is no entry.
        data.delete("");
        let entries = UrlSearchParams::new_with_str_sequence_sequence(&data).ok()?;
        entries.to_string().as_string()
    });
    async move {
        let entries = entries.ok_or_else(|| ApiError::from_server_fn_error(ServerFnErrorErr::Args(String::new())))?;
        let request = <BrowserRequest as ClientReq<ApiError>>::try_new_post(
            url,
            "application/json",
            PostUrl::CONTENT_TYPE,
            entries,
        )?;
        let response: BrowserResponse = <BrowserClient as Client<ApiError>>::send(request).await?;
        let refused = ClientRes::<ApiError>::status(&response) >= 400;
        let elsewhere =
            ClientRes::<ApiError>::has_redirect(&response).then(|| ClientRes::<ApiError>::location(&response));
        let bytes = ClientRes::<ApiError>::try_into_bytes(response).await?;
        if refused {
            return Err(ApiError::de(bytes));
        }
        if let Some(elsewhere) = elsewhere {
            call_redirect_hook(&elsewhere);
        }
        Ok(bytes.to_vec())
    }
}

/// Whether something happened inside of one of these forms.
pub fn is_in_form(event: &web_sys::Event, forms: &str) -> bool {
    let at = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    at.and_then(|at| at.closest(forms).ok()).flatten().is_some()
}

/// Puts the entries of a form whose names begin like this into another one, as fields that nobody sees.
pub fn copy_entries(from: &str, beginning: &str, to: &str) {
    let Some(to) = document().get_element_by_id(to) else { return };
    to.set_inner_html("");
    for (name, value) in entries(from, beginning) {
        let input = document().create_element("input").ok().and_then(|made| made.dyn_into::<HtmlInputElement>().ok());
        if let Some(input) = input {
            input.set_type("hidden");
            input.set_name(&name);
            input.set_value(&value);
            drop(to.append_child(&input));
        }
    }
}

/// The form that this selector finds.
fn form(selector: &str) -> Option<HtmlFormElement> {
    document().query_selector(selector).ok().flatten()?.dyn_into().ok()
}

/// The entries of a form whose names begin like this, as they would be sent.
pub fn entries(selector: &str, beginning: &str) -> Vec<(String, String)> {
    let Some(data) = form(selector).and_then(|form| web_sys::FormData::new_with_form(&form).ok()) else {
        return Vec::new();
    };
    let entries = js_sys::Array::from(&data).into_iter().filter_map(|entry| {
        let entry = js_sys::Array::from(&entry);
        Some((entry.get(0).as_string()?, entry.get(1).as_string()?))
    });
    entries.filter(|(name, _)| name.starts_with(beginning)).collect()
}

/// Takes a form back to what the server wrote into it, and then lays entries over it whose names begin like this, if any
/// are given. What hears of changed fields hears of it.
pub fn fill_in(selector: &str, beginning: &str, entries: Option<&[(String, String)]>) {
    let Some(form) = form(selector) else { return };
    form.reset();
    let Ok(fields) = form.query_selector_all("input, select, textarea") else { return };
    for field in (0..fields.length()).filter_map(|place| fields.item(place)) {
        let name = field.dyn_ref::<Element>().and_then(|field| field.get_attribute("name")).unwrap_or_default();
        if !name.starts_with(beginning) {
            continue;
        }
        if let Some(entries) = entries {
            let of_field = |(other, _): &&(String, String)| *other == name;
            let value = entries.iter().find(of_field).map(|(_, value)| value.as_str());
            if let Some(input) = field.dyn_ref::<HtmlInputElement>() {
                match input.type_().as_str() {
                    "checkbox" | "radio" => input.set_checked(value == Some(input.value().as_str())),
                    _ => input.set_value(value.unwrap_or_default()),
                }
            } else if let Some(area) = field.dyn_ref::<HtmlTextAreaElement>() {
                area.set_value(value.unwrap_or_default());
            } else if let (Some(select), Some(value)) = (field.dyn_ref::<HtmlSelectElement>(), value) {
                select.set_value(value);
            }
        }
        if let Ok(event) = document().create_event("Event") {
            event.init_event_with_bubbles("input", true);
            drop(field.dispatch_event(&event));
        }
    }
}

/// Calls a method of what this browser keeps for the site. A browser may refuse to keep anything.
fn storage(method: &str, arguments: &[&str]) -> Option<JsValue> {
    let storage = js_sys::Reflect::get(&window(), &"localStorage".into()).ok()?;
    let method = js_sys::Reflect::get(&storage, &method.into()).ok()?.dyn_into::<js_sys::Function>().ok()?;
    let arguments: js_sys::Array = arguments.iter().map(|argument| JsValue::from_str(argument)).collect();
    js_sys::Reflect::apply(&method, &storage, &arguments).ok()
}

/// What this browser keeps under a name.
pub fn kept(name: &str) -> Option<String> {
    storage("getItem", &[name])?.as_string()
}

/// Keeps a text in this browser, or forgets what is under the name.
pub fn keep(name: &str, text: Option<&str>) {
    drop(match text {
        Some(text) => storage("setItem", &[name, text]),
        None => storage("removeItem", &[name]),
    });
}

/// The browser's clock in milliseconds.
pub fn now_ms() -> f64 {
    js_sys::Date::now()
}

/// A moment of the browser's clock as the person reads it: `14:02`, and of another day `2026-11-26 14:02`.
pub fn local_time(ms: f64) -> String {
    let (at, now) = (js_sys::Date::new(&ms.into()), js_sys::Date::new_0());
    let day = |date: &js_sys::Date| (date.get_full_year(), date.get_month() + 1, date.get_date());
    let time = format!("{:02}:{:02}", at.get_hours(), at.get_minutes());
    let (year, month, date) = day(&at);
    if day(&at) == day(&now) { time } else { format!("{year}-{month:02}-{date:02} {time}") }
}

/// Whether a dialog or menu is open, which Escape closes.
pub fn has_open_dialog() -> bool {
    // A browser that does not know the second has none of them.
    ["dialog[open]", ":popover-open"].iter().any(|open| matches!(document().query_selector(open), Ok(Some(_))))
}

/// Sends a form as if its button was pressed.
pub fn submit_form(id: &str) {
    if let Some(form) = form(&format!("#{id}")) {
        drop(form.request_submit());
    }
}

/// A text that goes on changing with what it reads.
pub fn settled<F: Fn() -> String>(text: F) -> F {
    text
}

/// How many minutes the person's clock is behind the world's.
pub fn zone_minutes() -> Option<i32> {
    #[expect(clippy::cast_possible_truncation, reason = "minutes of a day")]
    let minutes = js_sys::Date::new_0().get_timezone_offset() as i32;
    Some(minutes)
}

/// A text as a value in an address.
pub fn encoded(text: &str) -> String {
    js_sys::encode_uri_component(text).into()
}

/// The entries of a form that have a value, as the query of an address.
pub fn form_query(event: &SubmitEvent) -> Option<String> {
    let data = form_data_from_event(event).ok()?;
    let filled = UrlSearchParams::new().ok()?;
    for entry in js_sys::Array::from(&data) {
        let entry = js_sys::Array::from(&entry);
        if let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string())
            && !name.is_empty()
            && !value.is_empty()
        {
            filled.append(&name, &value);
        }
    }
    filled.to_string().as_string()
}
