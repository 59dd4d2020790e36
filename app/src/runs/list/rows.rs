//! The rows of the list: what they show, how they are sorted, and how some of them are chosen.

use agentflow::{
    engine::state::RunState,
    kernel::{Money, Timestamp, text},
    runs::{Bulk, Part, RunFilter, RunOrder, RunSummary},
};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Event, HtmlInputElement};

use super::{bulk, place::Place};
use crate::kit::{DataTable, NoValue, Order, StatusBadge, Th, Time};

/// The table, where runs can be chosen within a form that leads to what would be done to them.
pub(super) fn table(
    rows: RwSignal<Vec<RunSummary>>,
    now: RwSignal<Timestamp>,
    org: &str,
    place: &Place,
    may_operate: bool,
) -> AnyView {
    let slug = StoredValue::new(org.to_owned());
    let order = place.filter.order;
    let sorted = |of: [RunOrder; 2]| {
        // A column begins with the greatest, and turns round when it is sorted by already.
        let [greatest, least] = of;
        let href = place.ordered(if order == greatest { least } else { greatest }).href(org);
        let order =
            if order == greatest { Some(Order::Descending) } else { (order == least).then_some(Order::Ascending) };
        (href, order)
    };
    let (by_age, age) = sorted([RunOrder::Newest, RunOrder::Oldest]);
    let (by_duration, duration) = sorted([RunOrder::Longest, RunOrder::Shortest]);
    let (by_cost, cost) = sorted([RunOrder::Dearest, RunOrder::Cheapest]);
    let head = ViewFnOnce::from(move || {
        let pick = may_operate.then(|| {
            view! {
                <td class="pick">
                    <input
                        type="checkbox" class="needs-js" aria-label="Choose all on this page"
                        on:change=|event| choose_all(&event)
                    />
                </td>
            }
        });
        view! {
            {pick}
            <Th>"Run"</Th>
            <Th>"Status"</Th>
            <Th>"Workflow"</Th>
            <Th order=age href=by_age>"Started"</Th>
            <Th num=true order=duration href=by_duration>"Duration"</Th>
            <Th num=true order=cost href=by_cost>"Cost"</Th>
        }
    });
    let caption = match order {
        RunOrder::Newest => "Runs, the newest first",
        RunOrder::Oldest => "Runs, the oldest first",
        RunOrder::Longest => "Runs, the longest first",
        RunOrder::Shortest => "Runs, the shortest first",
        RunOrder::Dearest => "Runs, the dearest first",
        RunOrder::Cheapest => "Runs, the cheapest first",
    };
    let table = view! {
        <DataTable caption head class="cards runs-table">
            <For
                each=move || rows.with(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>())
                key=|id| *id
                children=move |id| {
                    let row = Memo::new(move |_| rows.with(|rows| rows.iter().find(|row| row.id == id).cloned()));
                    // Outside of what is drawn anew: whoever chose a run goes on having chosen it.
                    let pick = may_operate.then(|| {
                        let title = row.with_untracked(|row| row.as_ref().map(|row| row.title.clone())).unwrap_or_default();
                        view! {
                            <td class="pick">
                                <input
                                    type="checkbox" name="run" value=id.to_string() aria-label=format!("Choose “{title}”")
                                />
                            </td>
                        }
                    });
                    view! { <tr>{pick}{move || row.get().map(|row| cells(&row, now, &slug.get_value()))}</tr> }
                }
            />
        </DataTable>
    };
    if !may_operate {
        return table.into_any();
    }
    let buttons: Vec<_> = Bulk::ALL
        .into_iter()
        .map(|action| {
            view! { <li><button class="btn btn-small" type="submit" name="action" value=action.as_str()>{bulk::verb(action)}"…"</button></li> }
        })
        .collect();
    view! {
        <form action=format!("/o/{org}/runs/bulk") method="get" class="picked">
            <input type="hidden" name="chosen" value="1"/>
            <div class="many" role="group" aria-label="With the chosen runs"><span>"With the chosen runs"</span><ul>{buttons}</ul></div>
            {table}
        </form>
    }
    .into_any()
}

/// Chooses all runs of the page, or none of them. Not by a property: what was chosen before the page was alive stays.
fn choose_all(event: &Event) {
    let all = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
    let Some((all, Ok(Some(form)))) = all.map(|all| (all.clone(), all.closest("form"))) else { return };
    let Ok(boxes) = form.query_selector_all("input[name=run]") else { return };
    for place in 0..boxes.length() {
        if let Some(one) = boxes.item(place).and_then(|node| node.dyn_into::<HtmlInputElement>().ok()) {
            one.set_checked(all.checked());
        }
    }
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
        Money(0) if run.state == RunState::Queued => view! { <NoValue/> }.into_any(),
        cost => cost.to_string().into_any(),
    };
    let because = run.queued_because.clone().map(|words| view! { <span class="sub">{words}</span> });
    let test = (run.trigger == "test").then(|| view! { " " <span class="tag">"Test"</span> });
    let found = (!run.found_in.is_empty()).then(|| {
        let parts: Vec<_> = run.found_in.iter().copied().map(Part::as_str).collect();
        view! { <span class="sub">{format!("Found in its {}", parts.join(" and "))}</span> }
    });
    view! {
        <th scope="row" data-label="Run">
            <a href=format!("/o/{org}/runs/{}", run.id)>{run.title.clone()}</a>
            {test}
            {labels(org, &run.labels)}
            {found}
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

/// The labels of a run, each a link to all runs that have it.
fn labels(org: &str, labels: &[String]) -> Vec<AnyView> {
    let link = |label: &String| {
        let filter = RunFilter { label: Some(label.clone()), ..RunFilter::default() };
        let href = Place { filter, ..Place::default() }.href(org);
        view! { " " <a class="tag run-label" href=href title="Runs with this label">{label.clone()}</a> }.into_any()
    };
    labels.iter().map(link).collect()
}

fn span(from: Timestamp, to: Timestamp) -> String {
    text::duration(to.signed_duration_since(from).num_milliseconds())
}
