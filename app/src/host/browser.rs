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
use wasm_bindgen::JsCast;
use web_sys::{HtmlInputElement, SubmitEvent, UrlSearchParams};

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
    let form = document().query_selector(from).ok().flatten().and_then(|form| form.dyn_into().ok());
    let (Some(form), Some(to)) = (form, document().get_element_by_id(to)) else { return };
    to.set_inner_html("");
    let Ok(data) = web_sys::FormData::new_with_form(&form) else { return };
    for entry in web_sys::js_sys::Array::from(&data).iter() {
        let entry = web_sys::js_sys::Array::from(&entry);
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else { continue };
        let input = document().create_element("input").ok().and_then(|made| made.dyn_into::<HtmlInputElement>().ok());
        if let Some(input) = input.filter(|_| name.starts_with(beginning)) {
            input.set_type("hidden");
            input.set_name(&name);
            input.set_value(&value);
            drop(to.append_child(&input));
        }
    }
}

/// Sends a form as if its button was pressed.
pub fn submit_form(id: &str) {
    let form = document().get_element_by_id(id).and_then(|form| form.dyn_into::<web_sys::HtmlFormElement>().ok());
    if let Some(form) = form {
        drop(form.request_submit());
    }
}

/// A text that goes on changing with what it reads.
pub fn settled<F: Fn() -> String>(text: F) -> F {
    text
}
