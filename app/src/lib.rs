//! Pages and thin server functions: what people see of AgentFlow. Folders are features; `kit` is what they are made of.

#![recursion_limit = "256"]

pub mod agents;
pub mod approvals;
pub mod budgets;
pub mod chunks;
pub mod conversations;
pub mod dashboard;
#[cfg(feature = "ssr")]
pub mod door;
pub mod error;
pub mod frame;
pub mod host;
pub mod integrations;
pub mod kit;
pub mod live;
pub mod logs;
pub mod models;
pub mod outbox;
pub mod palette;
pub mod refresh;
pub mod runs;
pub mod settings;
pub mod shell;
pub mod sign_in;
pub mod sign_up;
pub mod tools;
pub mod views;
mod wire;
pub mod workflows;

use leptos::prelude::*;
use leptos_meta::provide_meta_context;
use leptos_router::{
    SsrMode, StaticSegment,
    components::{ParentRoute, Route, Router, Routes},
    hooks::use_location,
    path,
};
use wasm_bindgen::JsCast;

use crate::{
    frame::Frame,
    kit::{
        Announcer, Clock, NotFoundBody, copy_on_click,
        form::{PageRefused, Replay},
        live::LiveRegions,
        title::OrgName,
    },
};

/// The whole app: what pages share, and the table of contents.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    let announcer = Announcer::new();
    provide_context(announcer);
    provide_context(Clock::start());
    copy_on_click();
    provide_context(OrgName(ArcRwSignal::new(None)));
    provide_context(PageRefused(RwSignal::new(false)));
    provide_context(Replay(RwSignal::new(SharedValue::new(host::form_replay).into_inner())));

    view! {
        <LiveRegions announcer/>
        <Router>
            <Arrivals/>
            <Routes fallback=NotFound>
                <Route path=path!("/login") view=sign_in::SignInPage ssr=SsrMode::Async/>
                <Route path=path!("/signup") view=sign_up::SignUpPage ssr=SsrMode::Async/>
                <ParentRoute path=path!("/o/:org") view=Frame ssr=SsrMode::Async>
                    <Route path=path!("") view=chunks::dashboard::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents") view=chunks::agent_list::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/new") view=chunks::agent::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id") view=chunks::agent::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id/versions") view=chunks::agent_versions::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id/tests") view=chunks::agent_cases::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id/deploy") view=chunks::agent_deploy::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id/record") view=chunks::agent_record::page() ssr=SsrMode::Async/>
                    <Route path=path!("/agents/:id/memory") view=chunks::agent_memory::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows") view=chunks::workflow_list::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/new") view=chunks::new_workflow::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id") view=chunks::outline::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id/versions") view=chunks::versions::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id/settings") view=chunks::workflow_settings::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id/run") view=chunks::run_form::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id/steps/new") view=chunks::new_step::page() ssr=SsrMode::Async/>
                    <Route path=path!("/workflows/:id/steps/:path") view=chunks::step::page() ssr=SsrMode::Async/>
                    <Route path=path!("/tools") view=chunks::tool_list::page() ssr=SsrMode::Async/>
                    <Route path=path!("/tools/new") view=chunks::tool::page() ssr=SsrMode::Async/>
                    <Route path=path!("/tools/servers/new") view=chunks::mcp_server::page() ssr=SsrMode::Async/>
                    <Route path=path!("/tools/servers/:id") view=chunks::mcp_server::page() ssr=SsrMode::Async/>
                    <Route path=path!("/tools/:id") view=chunks::tool::page() ssr=SsrMode::Async/>
                    // Before the page of a run: `bulk` is no id.
                    <Route path=path!("/runs/bulk") view=chunks::run_bulk::page() ssr=SsrMode::Async/>
                    // A pair of runs is no id either.
                    <Route path=(StaticSegment("runs"), runs::compare::Compared) view=chunks::run_compare::page() ssr=SsrMode::Async/>
                    <Route path=path!("/runs/:id") view=chunks::run::page() ssr=SsrMode::Async/>
                    <Route path=path!("/runs/:id/again") view=chunks::run_again::page() ssr=SsrMode::Async/>
                    <Route path=path!("/logs") view=chunks::logs::page() ssr=SsrMode::Async/>
                    <Route path=path!("/integrations") view=chunks::integrations::page() ssr=SsrMode::Async/>
                    <Route path=path!("/settings") view=chunks::settings::page() ssr=SsrMode::Async/>
                    <Route path=path!("/settings/models") view=chunks::model_classes::page() ssr=SsrMode::Async/>
                    <Route path=path!("/settings/budgets") view=chunks::budgets::page() ssr=SsrMode::Async/>
                    <Route path=path!("/runs") view=chunks::run_list::page() ssr=SsrMode::Async/>
                    <Route path=path!("/approvals/bulk") view=chunks::approvals_together::page() ssr=SsrMode::Async/>
                    <Route path=path!("/approvals") view=chunks::approvals::page() ssr=SsrMode::Async/>
                    <Route path=path!("/search") view=chunks::search::page() ssr=SsrMode::Async/>
                    <Route path=path!("/shortcuts") view=chunks::shortcuts::page() ssr=SsrMode::Async/>
                    <Route path=path!("/outbox") view=chunks::outbox::page() ssr=SsrMode::Async/>
                    <Route path=path!("/*any") view=NotFoundInside ssr=SsrMode::Async/>
                </ParentRoute>
            </Routes>
        </Router>
    }
    .into_any()
}

/// After a change of page in the browser, the focus goes to the new heading, and what the old page's form said is gone.
#[component]
fn Arrivals() -> impl IntoView {
    let path = use_location().pathname;
    let (replay, refused) = (use_context::<Replay>(), use_context::<PageRefused>());
    Effect::new(move |before: Option<String>| {
        let now = path.get();
        if before.is_some_and(|before| before != now) {
            if let (Some(Replay(replay)), Some(PageRefused(refused))) = (replay, refused) {
                replay.set(None);
                refused.set(false);
            }
            focus_heading(20);
        }
        now
    });
}

/// The heading may come with the page's data: it is looked for a few times.
fn focus_heading(tries: u32) {
    let look = move || match document().query_selector("main h1") {
        Ok(Some(heading)) => {
            if let Some(heading) = heading.dyn_ref::<web_sys::HtmlElement>() {
                let _ = heading.focus();
            }
        }
        _ if tries > 0 => focus_heading(tries - 1),
        _ => {}
    };
    set_timeout(look, std::time::Duration::from_millis(50));
}

/// An address that leads nowhere.
#[component]
fn NotFound() -> impl IntoView {
    view! {
        <main id="content">
            <NotFoundInside/>
        </main>
    }
    .into_any()
}

/// The same inside of an organization.
#[component]
fn NotFoundInside() -> impl IntoView {
    host::set_status(404);
    view! { <NotFoundBody message="There is no page at this address."/> }.into_any()
}
