//! The figures, each a link to the list that it counts.

use agentflow::{
    dashboard::{Figures, Moment, Span},
    kernel::{Money, Timestamp, text},
};
use leptos::prelude::*;

use crate::kit::{NoValue, time::exactly};

/// The address of the list of runs with a filter.
pub(super) fn runs_href(org: &str, state: Option<&str>, from: Timestamp, to: Option<Timestamp>) -> String {
    let mut query = Vec::new();
    query.extend(state.map(|state| format!("state={state}")));
    query.push(format!("from={}", exactly(from)));
    query.extend(to.map(|to| format!("to={}", exactly(to))));
    format!("/o/{org}/runs?{}", query.join("&"))
}

/// The figures of the moment.
pub(super) fn now(org: &str, moment: &Moment, approvals: i64, approvals_known: bool) -> AnyView {
    let hour_ago = moment.now - std::time::Duration::from_secs(3_600);
    let wait = moment.oldest_wait_ms.map_or_else(
        || "Nothing waits for a free place".to_owned(),
        |wait| format!("The oldest for {}", text::duration(wait)),
    );
    let failed = runs_href(org, Some("failed"), hour_ago, Some(moment.now));
    let some =
        |number, one: &'static str, more: &'static str| Some((count(number), if number == 1 { one } else { more }));
    let inbox = format!("/o/{org}/approvals?mine=true");
    let waiting = approvals_known.then_some(()).and_then(|()| some(approvals, "approval", "approvals"));
    let tiles = vec![
        tile("Approvals", waiting, "Wait for your decision".into(), Some(inbox)),
        tile(
            "Running",
            some(moment.running, "run", "runs"),
            "Under way".into(),
            Some(format!("/o/{org}/runs?state=running")),
        ),
        tile("Queued", some(moment.queued, "run", "runs"), wait, Some(format!("/o/{org}/runs?state=queued"))),
        tile("Failed", some(moment.failed_lately, "run", "runs"), "Of the last hour's runs".into(), Some(failed)),
    ];
    view! {
        <section aria-labelledby="now">
            <h2 id="now" class="group-title">"Now"</h2>
            <ul class="tiles four">{tiles}</ul>
        </section>
    }
    .into_any()
}

/// The figures of the period.
pub(super) fn period(org: &str, span: &Span, (figures, before): &(Figures, Figures)) -> AnyView {
    let words = span.range.map_or_else(|| "period".to_owned(), |range| range.words().to_owned());
    let title = span.range.map_or_else(|| "In this period".to_owned(), |range| format!("Last {}", range.words()));
    let compared = match before.runs {
        0 => format!("no runs in the {words} before"),
        _ => format!("compared with the {words} before"),
    };
    let tiles = if figures.runs == 0 {
        let before = format!("No runs in this period. In the {words} before: {}.", count(before.runs));
        view! { <p class="no-runs">{before}</p> }.into_any()
    } else {
        let tiles = tiles(org, span, figures, before);
        let class = if tiles.len() > 6 { "tiles six seven" } else { "tiles six" };
        view! { <ul class=class>{tiles}</ul> }.into_any()
    };
    view! {
        <section aria-labelledby="period">
            <h2 id="period" class="group-title">
                {title}
                <span class="muted">", " {compared}</span>
            </h2>
            {tiles}
        </section>
    }
    .into_any()
}

/// Each with its unit, how many runs it is made of, how it changed, and the list of those runs.
fn tiles(org: &str, span: &Span, figures: &Figures, before: &Figures) -> Vec<AnyView> {
    let list = |state: Option<&str>| Some(runs_href(org, state, span.from, Some(span.to)));
    let note = |about: String, of: fn(&Figures) -> Option<i64>| match change(figures, before, of) {
        None => about,
        Some(change) => format!("{about}, {change}"),
    };
    let runs = |count: i64| if count == 1 { "1 run".to_owned() } else { format!("{} runs", self::count(count)) };
    let ended = || format!("{} that ended", runs(figures.ended()));
    let all = || runs(figures.runs);
    let each = |sum: i64| sum / figures.runs.max(1);
    let of = format!("{} of {}{}", count(figures.succeeded), ended(), points(figures, before));
    // A duration and an amount of money have their units in them.
    let plain = |value: String| Some((value, ""));
    let took = |ms: Option<i64>| ms.map(text::duration).and_then(plain);
    let cost = format!("{}, {} each", all(), Money(each(figures.cost.micros())));
    let tokens = format!("{}, {} each", all(), count(each(figures.tokens)));
    let stopped = figures.runs - figures.ended();
    let open = if stopped == 0 { String::new() } else { format!("{} without an outcome", count(stopped)) };
    let made = match (change(figures, before, |it| Some(it.runs)), open.is_empty()) {
        (None, _) => open,
        (Some(change), true) => change,
        (Some(change), false) => format!("{open}, {change}"),
    };
    let unit = if figures.runs == 1 { "run" } else { "runs" };
    let mut tiles = vec![
        tile("Runs", Some((count(figures.runs), unit)), made, list(None)),
        tile("Success rate", figures.success_permille().map(percent).and_then(plain), of, list(Some("outcome"))),
        tile("Duration, median", took(figures.p50_ms), note(ended(), |it| it.p50_ms), list(Some("outcome"))),
        tile("Duration, 95th in 100", took(figures.p95_ms), note(ended(), |it| it.p95_ms), list(Some("outcome"))),
        tile("Cost", plain(figures.cost.to_string()), note(cost, |it| Some(it.cost.micros())), list(None)),
        tile("Tokens", Some((count(figures.tokens), "tokens")), note(tokens, |it| Some(it.tokens)), list(None)),
    ];
    // Calls are counted by the hour and not by run: no list of runs shows them.
    tiles.extend(figures.cached_permille().map(|rate| {
        let of = format!("{} of {} calls", count(figures.cached), count(figures.cacheable()));
        tile("Cache hit rate", plain(percent(rate)), of, None)
    }));
    tiles
}

fn tile(label: &'static str, value: Option<(String, &'static str)>, note: String, href: Option<String>) -> AnyView {
    let value = match value {
        Some((value, "")) => value.into_any(),
        Some((value, unit)) => view! { {value} " " <span class="tile-unit">{unit}</span> }.into_any(),
        None => view! { <NoValue/> }.into_any(),
    };
    let inner = view! {
        <span class="tile-label">{label}</span>
        <span class="tile-value">{value}</span>
    };
    let inner = match href {
        Some(href) => view! { <a href=href>{inner}</a> }.into_any(),
        None => inner.into_any(),
    };
    view! {
        <li class="tile">
            {inner}
            <span class="tile-note">{note}</span>
        </li>
    }
    .into_any()
}

pub(super) fn count(number: i64) -> String {
    text::grouped(number.unsigned_abs())
}

fn percent(permille: i64) -> String {
    format!("{}.{}\u{a0}%", permille / 10, permille % 10)
}

/// How a figure changed against the equal period before; nothing where there is nothing to compare with.
fn change(now: &Figures, before: &Figures, of: fn(&Figures) -> Option<i64>) -> Option<String> {
    let (now, before) = (of(now)?, of(before).filter(|before| *before > 0)?);
    let percent = (now - before) * 100 / before;
    let sign = if now > before { "+" } else { "−" };
    Some(match percent.abs() {
        0 => "unchanged".to_owned(),
        // Beyond this a percentage says less than a factor.
        1_000.. => format!("{}\u{a0}times as much", now / before),
        percent => format!("{sign}{percent}\u{a0}%"),
    })
}

/// How the success rate changed, in points.
fn points(now: &Figures, before: &Figures) -> String {
    match (now.success_permille(), before.success_permille()) {
        (Some(now), Some(before)) if now != before => {
            let (sign, by) = (if now > before { "+" } else { "−" }, (now - before).abs());
            format!(", {sign}{}.{} points", by / 10, by % 10)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_against_the_period_before() {
        let figures = |runs, succeeded, failed| Figures { runs, succeeded, failed, ..Figures::default() };
        let runs = |now, before| change(&figures(now, 0, 0), &figures(before, 0, 0), |it| Some(it.runs));
        assert_eq!(runs(150, 100).as_deref(), Some("+50\u{a0}%"));
        assert_eq!(runs(80, 100).as_deref(), Some("−20\u{a0}%"));
        assert_eq!(runs(5, 5).as_deref(), Some("unchanged"));
        assert_eq!(runs(5_000, 2).as_deref(), Some("2500\u{a0}times as much"));
        assert_eq!(runs(5, 0), None, "nothing is no measure");
        assert_eq!(points(&figures(4, 3, 1), &figures(4, 4, 0)), ", −25.0 points");
    }

    #[test]
    fn the_bounds_of_a_list_are_exact() {
        let at: Timestamp = "2026-11-20T04:02:11.000987Z".parse().unwrap();
        assert_eq!(
            runs_href("acme", Some("failed"), at, None),
            "/o/acme/runs?state=failed&from=2026-11-20T04:02:11.000987Z"
        );
    }
}
