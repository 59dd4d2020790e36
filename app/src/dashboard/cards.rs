//! The cards of the dashboard as HTML. One that could not be read says so, and leaves the others.

use agentflow::{
    dashboard::{
        Dashboard, Range,
        service::{self, Wish},
    },
    kernel::Error,
};
use leptos::prelude::*;

use super::{api::DashboardPage, chart, lists, tiles};
use crate::kit::{
    Callout, Card, Html, Tone,
    time::{for_machines, in_clock, in_full},
};

/// All of them.
pub(super) fn page(org: &str, wish: &Wish, dashboard: &Dashboard, guided: bool, may_build: bool) -> DashboardPage {
    let Dashboard { span, figures, bars, moment, waiting, failing, budgets, recent, guide } = dashboard;
    let address = query(wish);
    let here = format!("/o/{org}/{address}");
    let approvals = waiting.as_ref().map_or(0, |(count, _)| *count);
    let is_new = guide.run.is_none();
    let card = |place: &str, title: &'static str, view: Result<AnyView, &Error>| {
        let view = view.unwrap_or_else(|error| failed(title, error, &here));
        (place.to_owned(), Html::of(|| view).into_inner())
    };
    let draw = || {
        vec![
            card("now", "Now", moment.as_ref().map(|moment| tiles::now(org, moment, approvals, waiting.is_ok()))),
            card("period", "Period", figures.as_ref().map(|figures| tiles::period(org, span, figures))),
            card("outcomes", "Outcomes", bars.as_ref().map(|bars| chart::outcomes(org, span, bars, &address))),
            card("waiting", "Waiting for you", waiting.as_ref().map(|(count, some)| lists::waiting(org, some, *count))),
            card("failing", "Failing now", failing.as_ref().map(|failing| lists::failing(org, failing))),
            card("budgets", "Budgets", budgets.as_ref().map(|budgets| lists::budgets(org, budgets))),
            card("recent", "Recent runs", recent.as_ref().map(|recent| lists::recent(org, recent))),
        ]
    };
    // What is drawn here is text when it is done: its signals end with it.
    let cards = if is_new { Vec::new() } else { Owner::new().with(draw) };
    let period = match span.range {
        Some(range) => format!("Last {}", range.words()),
        None => format!("{} to {}", in_full(span.from), in_full(span.to)),
    };
    DashboardPage {
        cards,
        as_of: (in_clock(span.now), for_machines(span.now)),
        period,
        guide: (guide.clone(), approvals),
        guided,
        may_build,
    }
}

/// The period as the address says it, with its question mark.
fn query(wish: &Wish) -> String {
    let day = |name: &str, day: &Option<String>| {
        let day = day.as_deref().filter(|day| service::day(day).is_some())?;
        Some(format!("{name}={day}"))
    };
    let mut parts: Vec<_> = day("from", &wish.from).into_iter().chain(day("to", &wish.to)).collect();
    if parts.is_empty() && wish.range != Range::default() {
        parts.push(format!("range={}", wish.range.as_str()));
    }
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// A card that could not be read.
fn failed(title: &'static str, error: &Error, here: &str) -> AnyView {
    let words = error.message.clone();
    let here = here.to_owned();
    view! {
        <Card title=title>
            <Callout tone=Tone::Danger>
                <p>"This could not be read. " {words}</p>
                <p><a class="btn btn-small" href=here rel="external">"Retry"</a></p>
            </Callout>
        </Card>
    }
    .into_any()
}
