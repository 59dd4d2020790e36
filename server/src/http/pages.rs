//! Pages and server functions: what Leptos answers.

use std::sync::OnceLock;

use app::{App, door::ForThisMachine, host::SecureCookies, shell::shell};
use axum::{
    Router,
    body::Body,
    extract::State as Extract,
    http::{Request, StatusCode, header},
    response::Response,
    routing::get,
};
use leptos::{
    context::{provide_context, use_context},
    nonce::use_nonce,
};
use leptos_axum::{
    AxumRouteListing, LeptosRoutes, ResponseOptions, generate_route_list_with_exclusions_and_ssg_and_context,
};

use super::{headers, session};
use crate::state::State;

/// The pages and server functions, and the page for every address that is nobody's.
pub fn routes(state: &State) -> Router<State> {
    let context = context(state);
    // Made once for all routers of the process: a page that begins to load while Leptos makes this list never comes
    // (leptos issue 4773).
    static PATHS: OnceLock<Vec<AxumRouteListing>> = OnceLock::new();
    let generate = || generate_route_list_with_exclusions_and_ssg_and_context(App, None, context.clone()).0;
    let paths = PATHS.get_or_init(generate).clone();
    Router::new()
        .leptos_routes_with_context(state, paths, context, shell)
        // The dashboard's address ends in a slash. Leptos knows it both ways, the router of the server only as `/o/{org}`.
        .route("/o/{org}/", get(page))
        .fallback(not_found)
}

/// What pages and server functions find in their context, besides what Leptos itself gives.
pub fn context(state: &State) -> impl Fn() + Clone + Send + Sync + 'static {
    let (deps, assets) = (state.deps.clone(), state.assets.clone());
    let secure = SecureCookies(session::can_be_secure(&state.config.http.public_url));
    let local = ForThisMachine(session::is_this_machine(&state.config.http.public_url));
    move || {
        provide_context(secure);
        provide_context(local);
        provide_context(deps.clone());
        provide_context(assets.clone());
        // Leptos has just made the nonce that its scripts will carry: the answer's policy names the very same one.
        if let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>())
            && let Some(policy) = headers::page_policy(&nonce)
        {
            response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
}

/// Renders whatever page this request names, with this in its context besides the usual.
pub async fn render(
    state: &State,
    request: Request<Body>,
    extra: impl Fn() + Clone + Send + Sync + 'static,
) -> Response {
    let context = context(state);
    let render = leptos_axum::render_app_async_with_context(
        move || {
            context();
            extra();
        },
        shell,
    );
    render(request).await
}

async fn page(Extract(state): Extract<State>, request: Request<Body>) -> Response {
    render(&state, request, || {}).await
}

async fn not_found(Extract(state): Extract<State>, request: Request<Body>) -> Response {
    let mut response = render(&state, request, || {}).await;
    if response.status().is_success() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
