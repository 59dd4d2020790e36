//! The figures, each a link to the list that it counts.

use agentflow::{
    dashboard::{Dashboard, Figures},
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

/// All figures: those of the moment, then those of the period.
#[component]
pub(super) fn Tiles(org: String, dashboard: Dashboard) -> impl IntoView {
    let now = moment(&org, &dashboard);
    let words = dashboard.range.words();
    let before = match dashboard.before.runs {
        0 => format!("no runs in the {words} before"),
        _ => format!("compared with the {words} before"),
    };
    let period = if dashboard.figures.runs == 0 {
        let before = format!("No runs in this period. In the {words} before: {}.", count(dashboard.before.runs));
        view! { <p class="no-runs">{before}</p> }.into_any()
    } else {
        let tiles = period(&org, &dashboard);
        let class = if tiles.len() > 6 { "tiles six seven" } else { "tiles six" };
        view! { <ul class=class>{tiles}</ul> }.into_any()
    };
    view! {
        <section aria-labelledby="now">
            <h2 id="now" class="group-title">"Now"</h2>
            <ul class="tiles four">{now}</ul>
        </section>
        <section aria-labelledby="period">
            <h2 id="period" class="group-title">
                {format!("Last {words}")}
                <span class="muted">", " {before}</span>
            </h2>
            {period}
        </section>
    }
    .into_any()
}

fn moment(org: &str, dashboard: &Dashboard) -> Vec<AnyView> {
    let moment = &dashboard.moment;
    let hour_ago = dashboard.now - std::time::Duration::from_secs(3_600);
    let wait = moment.oldest_wait_ms.map_or_else(
        || "Nothing waits for a free place".to_owned(),
        |wait| format!("The oldest for {}", text::duration(wait)),
    );
    let failed = runs_href(org, Some("failed"), hour_ago, Some(dashboard.now));
    let some = |number| Some(count(number));
    vec![
        tile(
            "Approvals",
            some(dashboard.approvals),
            "Wait for your decision".into(),
            format!("/o/{org}/approvals?mine=true"),
        ),
        tile("Running", some(moment.running), "Under way".into(), format!("/o/{org}/runs?state=running")),
        tile("Queued", some(moment.queued), wait, format!("/o/{org}/runs?state=queued")),
        tile("Failed", some(moment.failed_lately), "Of the last hour's runs".into(), failed),
    ]
}

fn period(org: &str, dashboard: &Dashboard) -> Vec<AnyView> {
    let Dashboard { figures, before, from, now, .. } = dashboard;
    let all = runs_href(org, None, *from, Some(*now));
    let succeeded = runs_href(org, Some("succeeded"), *from, Some(*now));
    let note = |about: String, of: fn(&Figures) -> Option<i64>| match (change(figures, before, of), about.is_empty()) {
        (None, _) => about,
        (Some(change), true) => change,
        (Some(change), false) => format!("{about}, {change}"),
    };
    let ended = || format!("{} ended", count(figures.ended()));
    let each = |sum: i64| sum / figures.runs.max(1);
    let of =
        format!("{} of {} that ended{}", count(figures.succeeded), count(figures.ended()), points(figures, before));
    let took = |ms: Option<i64>| ms.map(text::duration);
    let cost = format!("{} a run", Money(each(figures.cost.micros())));
    let tokens = format!("{} a run", count(each(figures.tokens)));
    let mut tiles = vec![
        tile("Runs", Some(count(figures.runs)), note(String::new(), |it| Some(it.runs)), all.clone()),
        tile("Success rate", figures.success_permille().map(percent), of, succeeded),
        tile("Duration, median", took(figures.p50_ms), note(ended(), |it| it.p50_ms), all.clone()),
        tile("Duration, 95th in 100", took(figures.p95_ms), note(ended(), |it| it.p95_ms), all.clone()),
        tile("Cost", Some(figures.cost.to_string()), note(cost, |it| Some(it.cost.micros())), all.clone()),
        tile("Tokens", Some(count(figures.tokens)), note(tokens, |it| Some(it.tokens)), all.clone()),
    ];
    let cached = || format!("{} of {} calls", count(figures.cached), count(figures.cacheable()));
    tiles.extend(figures.cached_permille().map(|rate| tile("Cache hit rate", Some(percent(rate)), cached(), all)));
    tiles
}

fn tile(label: &'static str, value: Option<String>, note: String, href: String) -> AnyView {
    let value = value.map_or_else(|| view! { <NoValue/> }.into_any(), IntoAny::into_any);
    view! {
        <li class="tile">
            <a href=href>
                <span class="tile-label">{label}</span>
                <span class="tile-value">{value}</span>
            </a>
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
