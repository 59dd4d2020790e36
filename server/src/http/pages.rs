//! Pages and server functions: what Leptos answers.

use app::{App, shell::shell};
use axum::{Router, extract::State as Extract, http::Request};
use leptos::context::provide_context;
use leptos_axum::{LeptosRoutes, generate_route_list_with_exclusions_and_ssg_and_context};

use crate::state::State;

/// The pages and server functions, and the page for every address that is nobody's.
pub fn routes(state: &State) -> Router<State> {
    let context = context(state);
    let (paths, _) = generate_route_list_with_exclusions_and_ssg_and_context(App, None, context.clone());
    Router::new().leptos_routes_with_context(state, paths, context.clone(), shell).fallback(not_found)
}

/// What pages and server functions find in their context, besides what Leptos itself gives.
pub fn context(state: &State) -> impl Fn() + Clone + Send + Sync + 'static {
    let (deps, assets) = (state.deps.clone(), state.assets.clone());
    move || {
        provide_context(deps.clone());
        provide_context(assets.clone());
    }
}

async fn not_found(Extract(state): Extract<State>, request: Request<axum::body::Body>) -> axum::response::Response {
    let render = leptos_axum::render_app_async_with_context(context(&state), shell);
    let mut response = render(request).await;
    if response.status().is_success() {
        *response.status_mut() = axum::http::StatusCode::NOT_FOUND;
    }
    response
}
