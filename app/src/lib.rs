//! Pages and thin server functions: what people see of AgentFlow. Folders are features; `kit` is what they are made of.

#![recursion_limit = "256"]

#[cfg(feature = "ssr")]
pub mod door;
pub mod error;
pub mod host;
pub mod kit;
pub mod live;
pub mod runs;
pub mod settings;
pub mod shell;
pub mod sign_in;
pub mod sign_up;

use leptos::prelude::*;
use leptos_meta::provide_meta_context;
use leptos_router::{
    components::{Route, Router, Routes},
    path,
};

use crate::kit::{
    Announcer, Clock, NotFoundBody,
    form::{PageRefused, Replay},
    live::LiveRegions,
    title::OrgName,
};

/// The whole app: what pages share, and the table of contents.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let announcer = Announcer::new();
    provide_context(announcer);
    provide_context(Clock::start());
    provide_context(OrgName(RwSignal::new(None)));
    provide_context(PageRefused(RwSignal::new(false)));
    provide_context(Replay(RwSignal::new(SharedValue::new(host::form_replay).into_inner())));

    view! {
        <LiveRegions announcer/>
        <Router>
            <Routes fallback=NotFound>
                <Route path=path!("/*any") view=NotFound/>
            </Routes>
        </Router>
    }
    .into_any()
}

/// An address that leads nowhere.
#[component]
fn NotFound() -> impl IntoView {
    host::set_status(404);
    view! {
        <main id="content">
            <NotFoundBody message="There is no page at this address."/>
        </main>
    }
    .into_any()
}
