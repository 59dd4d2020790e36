//! The figures, each a link to the list that it counts.

use agentflow::{
    dashboard::{Dashboard, Figures},
    kernel::{Timestamp, text},
};
use leptos::prelude::*;

use crate::kit::time::exactly;

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
    let period = if dashboard.figures.runs == 0 {
        let words = format!(
            "No runs in this period. In the {} before: {}.",
            dashboard.range.words(),
            text::grouped(dashboard.before.runs.unsigned_abs())
        );
        view! { <p class="no-runs">{words}</p> }.into_any()
    } else {
        view! { <ul class="tiles six">{period(&org, &dashboard)}</ul> }.into_any()
    };
    let title = format!("Last {}", dashboard.range.words());
    view! {
        <section aria-labelledby="now">
            <h2 id="now" class="group-title">"Now"</h2>
            <ul class="tiles four">{now}</ul>
        </section>
        <section aria-labelledby="period">
            <h2 id="period" class="group-title">{title}</h2>
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
    vec![
        tile(
            "Approvals waiting",
            count(dashboard.approvals),
            "For your decision".to_owned(),
            format!("/o/{org}/approvals?mine=true"),
        ),
        tile("Running", count(moment.running), "Under way".to_owned(), format!("/o/{org}/runs?state=running")),
        tile("Queued", count(moment.queued), wait, format!("/o/{org}/runs?state=queued")),
        tile(
            "Failed lately",
            count(moment.failed_lately),
            "Of the last hour's runs".to_owned(),
            runs_href(org, Some("failed"), hour_ago, Some(dashboard.now)),
        ),
    ]
}

fn period(org: &str, dashboard: &Dashboard) -> Vec<AnyView> {
    let Dashboard { figures, before, from, now, .. } = dashboard;
    let all = runs_href(org, None, *from, Some(*now));
    let succeeded = runs_href(org, Some("succeeded"), *from, Some(*now));
    let rate = figures.success_permille().map_or_else(|| "No outcome yet".to_owned(), |it| percent(it));
    let of = format!("{} of {} that ended", count(figures.succeeded), count(figures.ended()));
    let took = |ms: Option<i64>| ms.map_or_else(|| "None ended".to_owned(), text::duration);
    vec![
        tile("Runs", count(figures.runs), change(figures, before, |it| Some(it.runs)), all.clone()),
        tile("Success rate", rate, format!("{of}{}", points(figures, before)), succeeded),
        tile("Duration, median", took(figures.p50_ms), change(figures, before, |it| it.p50_ms), all.clone()),
        tile("Duration, 95 of 100", took(figures.p95_ms), change(figures, before, |it| it.p95_ms), all.clone()),
        tile("Cost", figures.cost.to_string(), change(figures, before, |it| Some(it.cost.micros())), all.clone()),
        tile("Tokens", count(figures.tokens), change(figures, before, |it| Some(it.tokens)), all),
    ]
}

fn tile(label: &'static str, value: String, note: String, href: String) -> AnyView {
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

fn count(number: i64) -> String {
    text::grouped(number.unsigned_abs())
}

fn percent(permille: i64) -> String {
    format!("{}.{}\u{a0}%", permille / 10, permille % 10)
}

/// How a figure changed against the equal period before.
fn change(now: &Figures, before: &Figures, of: impl Fn(&Figures) -> Option<i64>) -> String {
    if before.runs == 0 {
        return "No runs in the period before".to_owned();
    }
    match (of(now), of(before)) {
        (Some(now), Some(before)) if now == before => "As in the period before".to_owned(),
        (Some(now), Some(before)) if before > 0 => {
            let percent = (now - before) * 100 / before;
            let sign = if now > before { "+" } else { "−" };
            match percent.abs() {
                0 => "About as in the period before".to_owned(),
                // Beyond this a percentage says less than a factor.
                1_000.. => format!("{}\u{a0}times the period before", now / before),
                percent => format!("{sign}{percent}\u{a0}% on the period before"),
            }
        }
        _ => "Nothing to compare with".to_owned(),
    }
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
        assert_eq!(runs(150, 100), "+50\u{a0}% on the period before");
        assert_eq!(runs(80, 100), "−20\u{a0}% on the period before");
        assert_eq!(runs(5, 0), "No runs in the period before");
        assert_eq!(runs(5, 5), "As in the period before");
        assert_eq!(runs(5_000, 2), "2500\u{a0}times the period before");
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
