//! Forms without JavaScript. A browser that posts a form itself waits for a page, not for JSON: what was done leads back
//! (303), and what was refused is answered with the page that the form stands on, with the typed values and the reasons.
//!
//! The form's own part is `app::kit::form`; the two meet in [`FormReplay`].

use agentflow::{
    accounts::local_path,
    kernel::{Error, Kind},
};
use app::{
    approvals::api::DecideTogether,
    kit::form::{FORM_ENTRY, FormReplay, PAGE_ENTRY},
    runs::list::api::BulkRuns,
    settings::api::CreateApiKey,
    tools::api::TestTool,
};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Extract},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use leptos::server_fn::ServerFn;

use super::session::can_be_secure;
use crate::state::State;

/// The end of a cookie's marks: `; Secure` where the session's cookie has it too, else nothing.
type Mark = &'static str;

/// The functions whose answer is shown this once: it cannot be read again, so nothing may be led past it.
const SHOWN: [&str; 4] = [CreateApiKey::PATH, BulkRuns::PATH, TestTool::PATH, DecideTogether::PATH];
/// The longest form that is read.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The cookie that tells the next page which form was done.
const DONE: &str = "form_done";

/// Puts the answers of forms around these routes. They are one service inside of the layer, so that what goes on from
/// here is routed anew: from a form's function to the form's page.
pub fn around(routes: Router<State>, state: &State) -> Router<State> {
    let mark = if can_be_secure(&state.config.http.public_url) { "; Secure" } else { "" };
    Router::new().fallback_service(routes.with_state(state.clone())).layer(middleware::from_fn_with_state(mark, replay))
}

async fn replay(Extract(mark): Extract<Mark>, request: Request, next: Next) -> Response {
    let is_page = accepts_html(request.headers());
    match *request.method() {
        Method::POST if is_page && request.uri().path().starts_with("/rpc/") => answer_form(mark, request, next).await,
        Method::GET if is_page => show_done(mark, request, next).await,
        _ => next.run(request).await,
    }
}

async fn answer_form(mark: Mark, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(form) = to_bytes(body, MOST_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "This form is too large. Go back and shorten it.").into_response();
    };
    let page = page_named(&form).or_else(|| page_of(&parts.headers));
    // The function answers as it does to a script: with JSON, and with the way to go in a header.
    let mut call = parts.clone();
    call.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let answer = next.clone().run(Request::from_parts(call, Body::from(form.clone()))).await;
    if answer.headers().get("serverfnerror").is_some_and(|by| by == "gate") {
        // Nothing was called. The gate knows where people go from here.
        return next.run(Request::from_parts(parts, Body::from(form))).await;
    }
    if !answer.status().is_client_error() && !answer.status().is_server_error() {
        if let (true, Some(page)) = (SHOWN.contains(&parts.uri.path()), page.clone()) {
            let headers = answer.headers().clone();
            let shown = to_bytes(answer.into_body(), MOST_BYTES).await.unwrap_or_default();
            let replay = FormReplay {
                answer: Some(String::from_utf8_lossy(&shown).into_owned()),
                ..replay_of(&parts, &form, None)
            };
            let mut again = next.run(request_of(page, parts, replay)).await;
            keep(&headers, again.headers_mut());
            return again;
        }
        return lead_on(mark, &parts, &form, answer.headers(), page.as_ref());
    }
    let (status, headers) = (answer.status(), answer.headers().clone());
    let error = error_in(answer).await;
    let Some(page) = page else { return (status, error.message).into_response() };
    let replay = replay_of(&parts, &form, Some(error));
    let mut again = next.run(request_of(page, parts, replay)).await;
    if again.status().is_success() {
        *again.status_mut() = status;
    }
    keep(&headers, again.headers_mut());
    again
}

/// What was done leads to where the function says, else back to the page.
fn lead_on(mark: Mark, parts: &Parts, form: &Bytes, answer: &HeaderMap, page: Option<&Uri>) -> Response {
    let back = page.map_or("/", |page| page.path_and_query().map_or("/", |it| it.as_str()));
    let location = answer.get(header::LOCATION).cloned().or_else(|| HeaderValue::from_str(back).ok());
    let mut response = StatusCode::SEE_OTHER.into_response();
    keep(answer, response.headers_mut());
    if !answer.contains_key(header::LOCATION)
        && let Ok(done) = HeaderValue::from_str(&done_cookie(mark, parts.uri.path(), &form_name(form)))
    {
        response.headers_mut().append(header::SET_COOKIE, done);
    }
    response.headers_mut().insert(header::LOCATION, location.unwrap_or(HeaderValue::from_static("/")));
    response
}

/// What the function said about cookies and waiting stays true.
fn keep(answer: &HeaderMap, response: &mut HeaderMap) {
    for cookie in answer.get_all(header::SET_COOKIE) {
        response.append(header::SET_COOKIE, cookie.clone());
    }
    if let Some(wait) = answer.get(header::RETRY_AFTER) {
        response.insert(header::RETRY_AFTER, wait.clone());
    }
}

/// The request for the page that the form stands on, as the same browser would send it.
fn request_of(page: Uri, mut parts: Parts, replay: FormReplay) -> Request {
    parts.method = Method::GET;
    parts.uri = page;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ORIGIN] {
        parts.headers.remove(name);
    }
    parts.extensions.insert(replay);
    Request::from_parts(parts, Body::empty())
}

fn replay_of(parts: &Parts, form: &Bytes, error: Option<Error>) -> FormReplay {
    let values = url::form_urlencoded::parse(form).into_owned().filter(|(name, _)| may_be_shown(name));
    FormReplay {
        action: parts.uri.path().to_owned(),
        form: form_name(form),
        values: values.collect(),
        error,
        answer: None,
    }
}

/// What is secret is typed again.
fn may_be_shown(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != FORM_ENTRY && name != PAGE_ENTRY && !name.contains("password") && !name.contains("secret")
}

fn form_name(form: &Bytes) -> String {
    url::form_urlencoded::parse(form).find(|(name, _)| name == FORM_ENTRY).map_or_else(String::new, |(_, it)| it.into())
}

async fn error_in(answer: Response) -> Error {
    let body = to_bytes(answer.into_body(), MOST_BYTES).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| {
        Error::new(Kind::Internal, "internal", "AgentFlow could not read this form. Check it and send it again.")
    })
}

/// The page of ours that the form says it stands on.
fn page_named(form: &Bytes) -> Option<Uri> {
    let (_, page) = url::form_urlencoded::parse(form).find(|(name, _)| name == PAGE_ENTRY)?;
    let page: Uri = local_path(&page)?.parse().ok()?;
    is_page(page.path()).then_some(page)
}

fn is_page(path: &str) -> bool {
    path.starts_with("/o/") || matches!(path, "/login" | "/signup")
}

/// The page of ours that the form stands on, as the browser says.
fn page_of(headers: &HeaderMap) -> Option<Uri> {
    let referrer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let path = referrer.path_and_query()?;
    (referrer.authority()?.as_str() == host && is_page(path.path())).then(|| Uri::from(path.clone()))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"))
}

fn done_cookie(mark: Mark, action: &str, form: &str) -> String {
    let value: String = url::form_urlencoded::Serializer::new(String::new()).append_pair(action, form).finish();
    format!("{DONE}={value}; Path=/; Max-Age=60; SameSite=Lax; HttpOnly{mark}")
}

/// The page after a form that was done says so, once.
async fn show_done(mark: Mark, mut request: Request, next: Next) -> Response {
    let Some((action, form)) = done_form(request.headers()) else { return next.run(request).await };
    request.extensions_mut().insert(FormReplay { action, form, values: Vec::new(), error: None, answer: None });
    let mut response = next.run(request).await;
    if let Ok(forget) = HeaderValue::from_str(&format!("{DONE}=; Path=/; Max-Age=0; SameSite=Lax; HttpOnly{mark}")) {
        response.headers_mut().append(header::SET_COOKIE, forget);
    }
    response
}

fn done_form(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .find_map(|pair| pair.strip_prefix(DONE)?.strip_prefix('='))?;
    url::form_urlencoded::parse(value.as_bytes()).into_owned().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(referer: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("flows.example.com"));
        headers.insert(header::REFERER, HeaderValue::from_static(referer));
        headers
    }

    #[test]
    fn only_a_page_of_this_site_is_shown_again() {
        let page = |referer| page_of(&headers(referer)).map(|page| page.to_string());
        assert_eq!(page("https://flows.example.com/o/acme/runs?q=a").as_deref(), Some("/o/acme/runs?q=a"));
        assert_eq!(page("https://flows.example.com/signup").as_deref(), Some("/signup"));
        assert_eq!(page("https://evil.example.com/o/acme/runs"), None);
        assert_eq!(page("https://flows.example.com/api/v1/runs"), None);
        assert_eq!(page("https://flows.example.com/rpc/app/x"), None);
    }

    #[test]
    fn a_form_on_a_page_that_answered_a_form_names_its_page() {
        let named = |form: &'static str| page_named(&Bytes::from_static(form.as_bytes())).map(|page| page.to_string());
        assert_eq!(named("a=b&_page=%2Fo%2Facme%2Fsettings%3Fx%3D1").as_deref(), Some("/o/acme/settings?x=1"));
        for bad in [
            "a=b",
            "_page=",
            "_page=%2Frpc%2Fx",
            "_page=%2F%2Fevil.example%2Fo%2F",
            "_page=https%3A%2F%2Fevil.example%2Fo%2F",
        ] {
            assert_eq!(named(bad), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_never_among_the_values() {
        assert!(may_be_shown("email"));
        assert!(!may_be_shown("password"));
        assert!(!may_be_shown("new_Password"));
        assert!(!may_be_shown("client_secret"));
    }

    #[test]
    fn the_form_that_was_done_is_read_back() {
        let cookie = done_cookie("; Secure", "/rpc/app/settings/api/create_key", "key=1; x");
        let mut headers = HeaderMap::new();
        let pair = format!("a=b; {}", cookie.split("; ").next().unwrap());
        headers.insert(header::COOKIE, HeaderValue::from_str(&pair).unwrap());
        assert_eq!(done_form(&headers), Some(("/rpc/app/settings/api/create_key".into(), "key=1; x".into())));
    }
}
