//! Pages and thin server functions.

#[cfg(feature = "ssr")]
pub mod door;
pub mod error;
pub mod live;
pub mod runs;
pub mod settings;
pub mod shell;
pub mod sign_in;
pub mod sign_up;

use leptos::prelude::*;
use leptos_router::components::{Router, Routes};

/// The app: its frame and its routes.
#[component]
pub fn App() -> impl IntoView {
    view! {
        <Router>
            <Routes fallback=|| view! { <main><h1>"Page not found"</h1></main> }.into_any()>{()}</Routes>
        </Router>
    }
    .into_any()
}
