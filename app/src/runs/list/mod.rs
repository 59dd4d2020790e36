//! The list of runs: filters in the address, rows that change in place, and news that waits until it is asked for.

pub mod api;
pub mod bulk;
mod filters;
mod place;
mod rows;

use agentflow::{
    kernel::{Timestamp, text},
    runs::{Bulk, COUNTED, RunOrder, RunSummary},
};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use self::{api::RunsData, filters::Filters, place::Place, rows::table};
use crate::{
    frame::use_org,
    kit::{Announcer, EmptyState, Glyph, Icon, PageFailure, PageHeader, Skeleton, Title},
    live::{Topic, use_live},
    refresh,
    views::SavedViews,
    wire::loading,
};

/// The page of the list of runs.
#[component]
pub fn RunsPage() -> impl IntoView {
    let org = use_org();
    let slug = org.clone();
    let query = use_query_map();
    let place = Memo::new(move |_| query.with(Place::read));
    // Saved views that were changed here.
    let changes = RwSignal::new(0_u32);
    let page = loading(
        move || (place.get(), changes.get()),
        move |(place, _)| api::load_runs(slug.clone(), place.filter, place.cursor),
    );
    view! {
        <Title text=Signal::stored("Runs".to_owned())/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(page) => {
                            let place = place.get_untracked();
                            view! { <List page org place changes/> }.into_any()
                        }
                        Err(error) => view! { <PageFailure error=error.0/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

#[component]
fn List(page: RunsData, org: String, place: Place, changes: RwSignal<u32>) -> impl IntoView {
    let total = page.total;
    let counted = (total != Some(0)).then(|| {
        let words = match total {
            Some(1) => "1 run".to_owned(),
            Some(total) => format!("{} runs", text::grouped(total)),
            None => format!("More than {} runs", text::grouped(COUNTED.unsigned_abs())),
        };
        view! { <p class="hint">{words}</p> }
    });
    let rows = RwSignal::new(page.runs.items.clone());
    // How many are new, and whether others are not where they were.
    let news = RwSignal::new((0_usize, false));
    let now = RwSignal::new(page.now);
    // A search in values is not repeated at each change: it would cost more than it tells.
    if !place.filter.inside {
        keep_fresh(rows, news, now, &org, &place);
    }
    let next = page.runs.next.clone().map(|cursor| Place { cursor: Some(cursor), ..place.clone() }.href(&org));
    let first = place.cursor.is_some().then(|| Place { cursor: None, ..place.clone() }.href(&org));
    let (is_empty, has_workflows) = (rows.with_untracked(Vec::is_empty), !page.workflows.is_empty());
    let may_operate = page.may_operate;
    let views = page.views.clone();
    let page = StoredValue::new(page);
    let list = if is_empty { empty(&org, &place, has_workflows) } else { table(rows, now, &org, &place, may_operate) };
    let workflows_href = format!("/o/{org}/workflows");
    view! {
        <PageHeader title=Signal::stored("Runs".to_owned())>
            <a class="btn" href=workflows_href><Icon glyph=Glyph::Play/> "Run a workflow"</a>
        </PageHeader>
        <SavedViews org=org.clone() page="runs" base=format!("/o/{org}/runs") views kept=place.kept() changes/>
        <Filters org=org.clone() place=place.clone() page/>
        {may_operate.then(|| many(&org, &place, total))}
        <NewsPill news href=Place { cursor: None, ..place.clone() }.href(&org)/>
        {counted}
        {list}
        {pages(first, next, place.filter.order)}
        <noscript>
            <p class="hint">"Live updates need JavaScript. " <a href="">"Refresh"</a></p>
        </noscript>
    }
    .into_any()
}

/// The ways to the first and to the next page.
fn pages(first: Option<String>, next: Option<String>, order: RunOrder) -> Option<AnyView> {
    if first.is_none() && next.is_none() {
        return None;
    }
    let (begin, on) = if order == RunOrder::Newest { ("Newest", "Older") } else { ("First page", "Next page") };
    let first = first.map(|href| view! { <a class="btn" href=href rel="prev">{begin}</a> });
    let next = next.map(|href| view! { <a class="btn" href=href rel="next">{on}</a> });
    Some(view! { <nav class="pager" aria-label="Pages">{first}{next}</nav> }.into_any())
}

/// Reads the page again whenever a run changed: rows change in place, and what is new is counted.
fn keep_fresh(
    rows: RwSignal<Vec<RunSummary>>,
    news: RwSignal<(usize, bool)>,
    now: RwSignal<Timestamp>,
    org: &str,
    place: &Place,
) {
    let announcer = use_context::<Announcer>();
    let ticks = use_live().ticks(org, Topic::Runs);
    let (org, place) = (org.to_owned(), place.clone());
    // In another order what is new has its place anywhere.
    let is_first = place.cursor.is_none() && place.filter.order == RunOrder::Newest;
    refresh::on_tick(
        ticks,
        move || api::read_runs(org.clone(), place.filter.clone(), place.cursor.clone()),
        move |(page, moment)| {
            now.set(moment);
            let known = |run: &&RunSummary| rows.with_untracked(|rows| rows.iter().any(|row| row.id == run.id));
            let fresh = page.items.iter().filter(|run| !known(run)).count();
            let gone = rows.with_untracked(|rows| {
                rows.iter().any(|row| page.items.len() < rows.len() && !page.items.iter().any(|run| run.id == row.id))
            });
            rows.update(|rows| {
                for row in rows.iter_mut() {
                    if let Some(run) = page.items.iter().find(|run| run.id == row.id) {
                        row.clone_from(run);
                    }
                }
            });
            let fresh = if is_first { fresh } else { 0 };
            if fresh > news.with_untracked(|news| news.0)
                && let Some(announcer) = announcer
            {
                announcer.say(news_words(fresh));
            }
            news.set((fresh, gone));
        },
    );
}

fn news_words(count: usize) -> String {
    format!("{} new {}", text::grouped(count as u64), if count == 1 { "run" } else { "runs" })
}

/// "12 new runs · Show".
#[component]
fn NewsPill(news: RwSignal<(usize, bool)>, href: String) -> impl IntoView {
    move || {
        let words = match news.get() {
            (0, false) => return None,
            (0, true) => "Some runs no longer match · Show".to_owned(),
            (count, _) => format!("{} · Show", news_words(count)),
        };
        // A full load of the same address: the list as it is now.
        Some(view! { <p class="news"><a class="btn btn-small" href=href.clone() rel="external">{words}</a></p> })
    }
}

/// What can be done to all runs that fit. Each leads to a page that says first what it would do.
fn many(org: &str, place: &Place, total: Option<u64>) -> Option<AnyView> {
    let filter = place.filter.clone();
    let actions: Vec<_> = Bulk::ALL.into_iter().filter(|action| action.narrowed(&filter).is_some()).collect();
    if total == Some(0) || actions.is_empty() {
        return None;
    }
    let words = match total {
        Some(1) => "With the one run that fits".to_owned(),
        Some(total) => format!("With all {} runs that fit", text::grouped(total)),
        None => "With all runs that fit".to_owned(),
    };
    let links: Vec<_> = actions
        .into_iter()
        .map(|action| {
            let href = place.bulk_href(org, action, None);
            view! { <li><a class="btn btn-small" href=href>{bulk::verb(action)}"…"</a></li> }
        })
        .collect();
    Some(
        view! { <nav class="many" aria-label=words.clone()><span>{words.clone()}</span><ul>{links}</ul></nav> }
            .into_any(),
    )
}

fn empty(org: &str, place: &Place, has_workflows: bool) -> AnyView {
    if !place.filter.is_empty() {
        let all = format!("/o/{org}/runs");
        let title = match place.chips(None).len() {
            1 => "No runs match this filter".to_owned(),
            count => format!("No runs match {count} filters"),
        };
        return view! {
            <EmptyState title glyph=Glyph::Filter>
                <p><a class="btn" href=all>"Clear filters"</a></p>
            </EmptyState>
        }
        .into_any();
    }
    let (words, href, label) = if has_workflows {
        ("A run is one execution of a workflow. Start one to watch it live.", "workflows", "Choose a workflow")
    } else {
        (
            "A run is one execution of a workflow. Make a workflow first: a template takes a minute.",
            "workflows/new",
            "Make a workflow",
        )
    };
    let href = format!("/o/{org}/{href}");
    view! {
        <EmptyState title="No runs yet" glyph=Glyph::Runs>
            <p>{words}</p>
            <p><a class="btn btn-primary" href=href>{label}</a></p>
        </EmptyState>
    }
    .into_any()
}
