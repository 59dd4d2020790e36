//! The list of runs: filters in the address, rows that change in place, and news that waits until it is asked for.

pub mod api;
pub mod bulk;
mod place;

use agentflow::{
    engine::state::RunState,
    kernel::{Timestamp, WorkflowId, text},
    runs::{Bulk, COUNTED, RunSummary},
};
use leptos::prelude::*;
use leptos_router::{components::Form as QueryForm, hooks::use_query_map};

use self::{
    api::RunsData,
    place::{Place, STATES},
};
use crate::{
    frame::use_org,
    kit::{
        Announcer, DataTable, EmptyState, Glyph, Icon, NoValue, PageFailure, PageHeader, Pager, Skeleton, StatusBadge,
        Th, Time, Title,
        time::{exactly, in_full},
    },
    live::{Topic, use_live},
    refresh,
    wire::loading,
};

/// The page of the list of runs.
#[component]
pub fn RunsPage() -> impl IntoView {
    let org = use_org();
    let slug = org.clone();
    let query = use_query_map();
    let place = Memo::new(move |_| query.with(Place::read));
    let page = loading(move || place.get(), move |place| api::load_runs(slug.clone(), place.filter(), place.cursor));
    view! {
        <Title text=Signal::stored("Runs".to_owned())/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                let org = org.clone();
                Suspend::new(async move {
                    match page.await {
                        Ok(page) => {
                            let place = place.get_untracked();
                            view! { <List page org place/> }.into_any()
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
fn List(page: RunsData, org: String, place: Place) -> impl IntoView {
    let total = page.total;
    let counted = (total != Some(0)).then(|| {
        let words = match total {
            Some(1) => "1 run".to_owned(),
            Some(total) => format!("{} runs", text::grouped(total)),
            None => format!("More than {} runs", text::grouped(COUNTED.unsigned_abs())),
        };
        view! { <p class="hint">{words}</p> }
    });
    let rows = RwSignal::new(page.runs.items);
    // How many are new, and whether others are not where they were.
    let news = RwSignal::new((0_usize, false));
    let now = RwSignal::new(page.now);
    keep_fresh(rows, news, now, &org, &place);
    let next = page.runs.next.map(|cursor| Place { cursor: Some(cursor), ..place.clone() }.href(&org));
    let first = place.cursor.is_some().then(|| Place { cursor: None, ..place.clone() }.href(&org));
    let (is_empty, has_workflows) = (rows.with_untracked(Vec::is_empty), !page.workflows.is_empty());
    let list = if is_empty { empty(&org, &place, has_workflows) } else { table(rows, now, &org) };
    let workflows_href = format!("/o/{org}/workflows");
    let pager = match (first, next) {
        (None, None) => None,
        (Some(first), None) => Some(view! { <Pager first/> }.into_any()),
        (None, Some(next)) => Some(view! { <Pager next/> }.into_any()),
        (Some(first), Some(next)) => Some(view! { <Pager first next/> }.into_any()),
    };
    view! {
        <PageHeader title=Signal::stored("Runs".to_owned())>
            <a class="btn" href=workflows_href><Icon glyph=Glyph::Play/> "Run a workflow"</a>
        </PageHeader>
        <Filters org=org.clone() place=place.clone() workflows=page.workflows/>
        {page.may_operate.then(|| many(&org, &place, total))}
        <NewsPill news href=Place { cursor: None, ..place }.href(&org)/>
        {counted}
        {list}
        {pager}
        <noscript>
            <p class="hint">"Live updates need JavaScript. " <a href="">"Refresh"</a></p>
        </noscript>
    }
    .into_any()
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
    let is_first = place.cursor.is_none();
    refresh::on_tick(
        ticks,
        move || api::read_runs(org.clone(), place.filter(), place.cursor.clone()),
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

fn table(rows: RwSignal<Vec<RunSummary>>, now: RwSignal<Timestamp>, org: &str) -> AnyView {
    let org = StoredValue::new(org.to_owned());
    let head = ViewFnOnce::from(|| {
        view! {
            <Th>"Run"</Th>
            <Th>"Status"</Th>
            <Th>"Workflow"</Th>
            <Th>"Started"</Th>
            <Th num=true>"Duration"</Th>
            <Th num=true>"Cost"</Th>
        }
    });
    view! {
        <DataTable caption="Runs, the newest first" head class="cards runs-table">
            <For
                each=move || rows.with(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>())
                key=|id| *id
                children=move |id| {
                    let row = Memo::new(move |_| rows.with(|rows| rows.iter().find(|row| row.id == id).cloned()));
                    view! { <tr>{move || row.get().map(|row| cells(&row, now, &org.get_value()))}</tr> }
                }
            />
        </DataTable>
    }
    .into_any()
}

fn cells(run: &RunSummary, now: RwSignal<Timestamp>, org: &str) -> AnyView {
    let status = Signal::stored((run.state, run.waiting_on).into());
    let (started_at, finished_at) = (run.started_at, run.finished_at);
    let duration = move || match (started_at, finished_at) {
        (None, _) => view! { <NoValue/> }.into_any(),
        (Some(from), Some(to)) => span(from, to).into_any(),
        (Some(from), None) => span(from, now.get()).into_any(),
    };
    let cost = match run.usage.cost {
        agentflow::kernel::Money(0) if run.state == RunState::Queued => view! { <NoValue/> }.into_any(),
        cost => cost.to_string().into_any(),
    };
    let because = run.queued_because.clone().map(|words| view! { <span class="sub">{words}</span> });
    let test = (run.trigger == "test").then(|| view! { " " <span class="tag">"Test"</span> });
    view! {
        <th scope="row" data-label="Run">
            <a href=format!("/o/{org}/runs/{}", run.id)>{run.title.clone()}</a>
            {test}
        </th>
        <td data-label="Status"><StatusBadge status/>{because}</td>
        <td data-label="Workflow">
            <a href=format!("/o/{org}/workflows/{}", run.workflow_id)>{run.workflow_name.clone()}</a>
        </td>
        <td data-label="Started"><Time at=run.created_at/></td>
        <td data-label="Duration" class="num">{duration}</td>
        <td data-label="Cost" class="num">{cost}</td>
    }
    .into_any()
}

fn span(from: Timestamp, to: Timestamp) -> String {
    text::duration(to.signed_duration_since(from).num_milliseconds())
}

#[component]
fn Filters(org: String, place: Place, workflows: Vec<(WorkflowId, String)>) -> impl IntoView {
    let states = STATES.map(|(word, label, _)| {
        let selected = place.state.as_deref() == Some(word);
        view! { <option value=word selected=selected>{label}</option> }
    });
    let period = period(&place);
    let moments = [("from", place.from), ("to", place.to)]
        .map(|(name, moment)| moment.map(|moment| view! { <input type="hidden" name=name value=exactly(moment)/> }));
    let workflow = place.workflow;
    let workflows: Vec<_> = workflows
        .into_iter()
        .map(|(id, name)| view! { <option value=id.to_string() selected=workflow == Some(id)>{name}</option> })
        .collect();
    let clear =
        place.is_filtered().then(|| view! { <a class="btn btn-quiet" href=format!("/o/{org}/runs")>"Clear"</a> });
    view! {
        <QueryForm action=format!("/o/{org}/runs") method="GET" attr:class="filters" attr:role="search" attr:aria-label="Filter runs">
            <label class="visually-hidden" for="filter-q">"Title or run id"</label>
            <input
                class="input" id="filter-q" type="search" name="q" placeholder="Title or run id" maxlength="200"
                value=place.q.clone()
            />
            <label class="visually-hidden" for="filter-state">"Status"</label>
            <select class="input select" id="filter-state" name="state">
                <option value="">"All statuses"</option>
                {states}
            </select>
            <label class="visually-hidden" for="filter-workflow">"Workflow"</label>
            <select class="input select" id="filter-workflow" name="workflow">
                <option value="">"All workflows"</option>
                {workflows}
            </select>
            {moments}
            <button class="btn" type="submit"><Icon glyph=Glyph::Filter/> "Filter"</button>
            {clear}
        </QueryForm>
        {period}
    }
    .into_any()
}

/// What can be done to all runs that fit. Each leads to a page that says first what it would do.
fn many(org: &str, place: &Place, total: Option<u64>) -> Option<AnyView> {
    let filter = place.filter();
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
            let href = place.bulk_href(org, action);
            view! { <li><a class="btn btn-small" href=href>{bulk::verb(action)}"…"</a></li> }
        })
        .collect();
    Some(
        view! { <nav class="many" aria-label=words.clone()><span>{words.clone()}</span><ul>{links}</ul></nav> }
            .into_any(),
    )
}

/// Which period the list is of, where it is of one.
fn period(place: &Place) -> Option<AnyView> {
    let words = match (place.from.map(in_full), place.to.map(in_full)) {
        (None, None) => return None,
        (Some(from), None) => format!("Accepted since {from}"),
        (None, Some(to)) => format!("Accepted before {to}"),
        (Some(from), Some(to)) => format!("Accepted from {from} to {to}"),
    };
    Some(view! { <p class="hint">{words}</p> }.into_any())
}

fn empty(org: &str, place: &Place, has_workflows: bool) -> AnyView {
    if place.is_filtered() {
        let all = format!("/o/{org}/runs");
        return view! {
            <EmptyState title="No runs match these filters" glyph=Glyph::Filter>
                <p><a class="btn" href=all>"Show all runs"</a></p>
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
