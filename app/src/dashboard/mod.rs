//! The dashboard: how the organization's runs are doing, what waits, and for a new organization the way to its first
//! finished run. What is only read is drawn by the server; the browser puts it in its place.

pub mod api;
#[cfg(feature = "ssr")]
mod cards;
#[cfg(feature = "ssr")]
mod chart;
mod guide;
#[cfg(feature = "ssr")]
mod lists;
#[cfg(feature = "ssr")]
mod tiles;

use agentflow::dashboard::Range;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use self::{api::DashboardPage, guide::GuideCard};
use crate::{
    frame::use_org,
    kit::{EmptyState, Glyph, PageFailure, PageHeader, Skeleton, Tab, Tabs, Title},
    live::{Topic, use_live},
    wire::loading,
};

/// The period of the address: a length, or days.
type Asked = (Range, Option<String>, Option<String>);

/// The page.
#[component]
pub fn DashboardPageView() -> impl IntoView {
    let org = use_org();
    let query = use_query_map();
    let asked = Memo::new(move |_| {
        query.with(|query| {
            let day = |name: &str| query.get(name).filter(|day| !day.is_empty());
            let range = query.get("range").and_then(|it| Range::parse(&it)).unwrap_or_default();
            (range, day("from"), day("to"))
        })
    });
    let fresh = calm(use_live().ticks(org.clone(), Topic::Runs));
    let slug = org.clone();
    let page = loading(
        move || (asked.get(), fresh.get()),
        move |((range, first, last), _)| api::read_dashboard(slug.clone(), range, first, last),
    );
    view! {
        <Title text=Signal::stored("Dashboard".to_owned())/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(page) => body(page, &org, asked.get_untracked()),
                        Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

/// Changes come in bursts while a run is under way: the figures are read again at most every two seconds.
fn calm(ticks: ReadSignal<u32>) -> ReadSignal<u32> {
    let (calm, set_calm) = signal(0);
    let waiting = StoredValue::new(false);
    Effect::new(move |_| {
        let now = ticks.get();
        if now > 0 && !waiting.get_value() {
            waiting.set_value(true);
            let catch_up = move || {
                let _ = waiting.try_set_value(false);
                let _ = set_calm.try_set(ticks.try_get_untracked().unwrap_or(now));
            };
            set_timeout(catch_up, std::time::Duration::from_secs(2));
        }
    });
    calm
}

fn body(page: DashboardPage, org: &str, (range, first, last): Asked) -> AnyView {
    let DashboardPage { cards, as_of, period, guide: (guide, approvals), guided, may_build } = page;
    let is_new = guide.run.is_none();
    let by_days = first.is_some() || last.is_some();
    let ranges: Vec<Tab> = Range::ALL
        .into_iter()
        .map(|it| {
            let href =
                if it == Range::default() { format!("/o/{org}/") } else { format!("/o/{org}/?range={}", it.as_str()) };
            Tab::new(it.words(), href, !by_days && it == range)
        })
        .collect();
    let guide = guided.then(|| view! { <GuideCard org=org.to_owned() guide approvals/> });
    if is_new {
        let rest = (!guided).then(|| nothing_yet(org, may_build));
        return view! {
            <PageHeader title=Signal::stored("Dashboard".to_owned())/>
            {guide}
            {rest}
        }
        .into_any();
    }
    let (shown, machine) = as_of;
    let as_of = view! {
        <p class="muted dense">
            {period} " · as of " <time datetime=machine>{shown}</time> " UTC"
            <span class="needs-js">" · renewed as runs go on"</span>
        </p>
    };
    let days = view! {
        <form class="dashboard-days" method="get" action=format!("/o/{org}/")>
            <label class="label" for="day-from">"From"</label>
            <input class="input" id="day-from" type="date" name="from" value=first/>
            <label class="label" for="day-to">"to"</label>
            <input class="input" id="day-to" type="date" name="to" value=last/>
            <button class="btn" type="submit">"Show"</button>
        </form>
    };
    let cards: Vec<_> = cards
        .into_iter()
        .map(|(class, html)| view! { <div class=format!("dashboard-{class}") inner_html=html></div> })
        .collect();
    view! {
        <PageHeader title=Signal::stored("Dashboard".to_owned()) about=move || as_of>
            <Tabs label="Period" tabs=Signal::stored(ranges)/>
            {days}
        </PageHeader>
        <div class="dashboard">
            {guide}
            {cards}
        </div>
    }
    .into_any()
}

/// A new organization, seen by somebody who does not build, or who put the checklist away.
fn nothing_yet(org: &str, may_build: bool) -> AnyView {
    let next = if may_build {
        view! { <p><a class="btn btn-primary" href=format!("/o/{org}/workflows/new")>"Choose a template"</a></p> }
            .into_any()
    } else {
        view! { <p>"A member, an admin or an owner can start one."</p> }.into_any()
    };
    view! {
        <EmptyState title="No runs yet" glyph=Glyph::Runs>
            <p>"Here you see how your workflows are doing: how many ran, how they ended, how long they took and what they cost."</p>
            {next}
        </EmptyState>
    }
    .into_any()
}
