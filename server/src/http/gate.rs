//! Who may pass before anything is rendered or read: pages of an organization and server functions are for people who
//! are signed in. What the role allows, and whether the organization is theirs, each operation proves by itself.
//!
//! A new server function is closed to strangers until it is on the list here.

use agentflow::{
    accounts::{self, service::Visitor},
    kernel::{Error, Kind},
    orgs,
};
use app::{sign_in::api as sign_in, sign_up::api as sign_up};
use axum::{
    Json, Router,
    extract::{Request, State as Extract},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use leptos::server_fn::ServerFn;

use crate::state::State;

/// The server functions that strangers may call.
pub const PUBLIC: [&str; 3] = [sign_in::SignIn::PATH, sign_in::SignOut::PATH, sign_up::SignUp::PATH];

/// The prefix of server functions.
const SERVER_FUNCTIONS: &str = "/rpc/";

/// Puts the gate around these routes, and adds the way from `/` to one's own organization.
pub fn around(routes: Router<State>, state: &State) -> Router<State> {
    routes.route("/", get(home)).layer(middleware::from_fn_with_state(state.clone(), gate))
}

async fn gate(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let function = path.starts_with(SERVER_FUNCTIONS);
    let page = path == "/o" || path.starts_with("/o/");
    let entrance = request.method() == Method::GET && matches!(path, "/login" | "/signup");
    // Somebody who is signed in wants to do so anew.
    let again = path == "/login" && request.uri().query().unwrap_or_default().split('&').any(|it| it == "again=true");
    if !(page || entrance || function && !PUBLIC.contains(&path)) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    if entrance && parts.uri.path() == "/signup" {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let first = url::form_urlencoded::parse(query).find(|(name, _)| name == "first");
        let first = first.map(|(_, secret)| secret).unwrap_or_default();
        // Without an answer the page shows its form, and the form says what is wrong.
        if let Ok(admission) = accounts::service::admission(&state.deps, &first).await {
            parts.extensions.insert(admission);
        }
    }
    let person = match Visitor::of(&state.deps, &parts) {
        Ok(visitor) => visitor.signed_in().await,
        Err(error) => Err(error),
    };
    match person {
        Ok(person) if entrance && !again => match orgs::service::home(&person).await {
            // Without an organization `/` leads here again.
            Ok(home) if home != "/" => see_other(&home),
            _ => next.run(Request::from_parts(parts, body)).await,
        },
        Err(_) if entrance => next.run(Request::from_parts(parts, body)).await,
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(error) if error.kind == Kind::Unauthenticated && is_navigation(&parts) => {
            see_other(&sign_in_address(wanted(&parts, function)))
        }
        // The page says by itself what is not reachable.
        Err(_) if page && is_navigation(&parts) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => refused(&error),
    }
}

/// Where `/` leads: to one's own organization, or to the sign-in.
async fn home(Extract(state): Extract<State>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let found = async {
        let person = Visitor::of(&state.deps, &parts)?.signed_in().await?;
        orgs::service::home(&person).await
    };
    match found.await {
        Ok(home) if home != "/" => see_other(&home),
        Err(error) if error.kind != Kind::Unauthenticated => refused(&error),
        _ => see_other("/login"),
    }
}

/// Whether a person waits for a page; a script or an event stream is told no by the status instead.
fn is_navigation(parts: &Parts) -> bool {
    let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html")
}

/// The page that the person wanted: for a form, the page that it stands on.
fn wanted(parts: &Parts, function: bool) -> Option<String> {
    let local = |uri: &Uri| uri.path_and_query().map(|it| it.as_str().to_owned());
    if function { referrer(&parts.headers).as_ref().and_then(local) } else { local(&parts.uri) }
}

fn referrer(headers: &HeaderMap) -> Option<Uri> {
    headers.get(header::REFERER)?.to_str().ok()?.parse().ok()
}

fn sign_in_address(wanted: Option<String>) -> String {
    match wanted {
        Some(wanted) if wanted != "/" => {
            let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &wanted).finish();
            format!("/login?{query}")
        }
        _ => "/login".to_owned(),
    }
}

fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The form that server functions give their errors: the browser's half reads it as one.
fn refused(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(error)).into_response();
    response.headers_mut().insert(HeaderName::from_static("serverfnerror"), HeaderValue::from_static("gate"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_page_is_kept_whole() {
        assert_eq!(
            sign_in_address(Some("/o/acme/runs?state=failed&q=a b".into())),
            "/login?next=%2Fo%2Facme%2Fruns%3Fstate%3Dfailed%26q%3Da+b"
        );
        assert_eq!(sign_in_address(Some("/".into())), "/login");
        assert_eq!(sign_in_address(None), "/login");
    }
}
