//! Moments and durations. The server writes the absolute time, in UTC; how long ago that was is added in the browser.

use agentflow::kernel::Timestamp;
use chrono::{Datelike, SubsecRound, Timelike};
use leptos::prelude::*;

/// The browser's clock in milliseconds since 1970, renewed every few seconds; nothing before hydration.
#[derive(Debug, Clone, Copy)]
pub struct Clock(RwSignal<Option<i64>>);

impl Clock {
    /// A clock that starts to tick in the browser.
    pub fn start() -> Self {
        let now = RwSignal::new(None);
        Effect::new(move |_| {
            now.set(Some(browser_now()));
            let tick = move || now.set(Some(browser_now()));
            if let Ok(handle) = set_interval_with_handle(tick, std::time::Duration::from_secs(10)) {
                on_cleanup(move || handle.clear());
            }
        });
        Self(now)
    }

    /// The time now, once the page is alive.
    #[must_use]
    pub fn now(self) -> Option<i64> {
        self.0.get()
    }
}

/// Milliseconds since 1970 by the browser's clock. In event handlers and effects only.
#[must_use]
pub fn browser_now() -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since 1970 fit for long")]
    let now = web_sys::js_sys::Date::now() as i64;
    now
}

/// The moment in full: `20 Nov 2026, 14:02:11 UTC`.
#[must_use]
pub fn in_full(at: Timestamp) -> String {
    let (day, month, year) = (at.day(), month(at), at.year());
    format!("{day} {month} {year}, {} UTC", at.time().trunc_subsecs(0))
}

/// The moment to the minute: `20 Nov, 14:02`.
#[must_use]
pub fn in_short(at: Timestamp) -> String {
    format!("{} {}, {:02}:{:02}", at.day(), month(at), at.hour(), at.minute())
}

/// The time of day: `14:02:11`.
#[must_use]
pub fn in_clock(at: Timestamp) -> String {
    at.time().trunc_subsecs(0).to_string()
}

/// The moment for programs: RFC 3339, to the second.
#[must_use]
pub fn for_machines(at: Timestamp) -> String {
    format!("{}T{}Z", at.date_naive(), at.time().trunc_subsecs(0))
}

/// The moment for an address that must lead to the very same rows: to the microsecond, as the database counts.
#[must_use]
pub fn exactly(at: Timestamp) -> String {
    for_machines(at).replace('Z', &format!(".{:06}Z", at.timestamp_subsec_micros()))
}

fn month(at: Timestamp) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[at.month0() as usize % 12]
}

/// How long before or after now, in the largest unit that fits: `4 min ago`, `in 2 h`.
#[must_use]
pub fn relative(at_ms: i64, now_ms: i64) -> String {
    let seconds = (now_ms - at_ms) / 1_000;
    let (past, seconds) = (seconds >= 0, seconds.unsigned_abs());
    let span = match seconds {
        0..5 => return "just now".to_owned(),
        // The page's clock is up to ten seconds behind: what happened meanwhile is not to come.
        5..12 if !past => return "just now".to_owned(),
        5..60 => format!("{seconds}\u{a0}s"),
        60..3_600 => format!("{}\u{a0}min", seconds / 60),
        3_600..86_400 => format!("{}\u{a0}h", seconds / 3_600),
        86_400..172_800 => "1\u{a0}day".to_owned(),
        _ => format!("{}\u{a0}days", seconds / 86_400),
    };
    if past { format!("{span}\u{a0}ago") } else { format!("in\u{a0}{span}") }
}

/// A moment: absolute from the server, relative once the page is alive, with the absolute one as its title.
#[component]
pub fn Time(
    /// The moment.
    at: Timestamp,
    /// Whether it stays absolute, as in details.
    #[prop(optional)]
    absolute: bool,
) -> impl IntoView {
    let clock = use_context::<Clock>().filter(|_| !absolute);
    let full = in_full(at);
    let first = if absolute { full.clone() } else { in_short(at) };
    let ms = at.timestamp_millis();
    let text = move || match clock.and_then(Clock::now) {
        Some(now) => relative(ms, now),
        None => first.clone(),
    };
    view! { <time class="time" datetime=for_machines(at) title=full>{text}</time> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_for_people_and_for_machines() {
        let at: Timestamp = "2026-11-20T04:02:11.987Z".parse().unwrap();
        assert_eq!(in_full(at), "20 Nov 2026, 04:02:11 UTC");
        assert_eq!(in_short(at), "20 Nov, 04:02");
        assert_eq!(for_machines(at), "2026-11-20T04:02:11Z");
    }

    #[test]
    fn spans_read_in_their_largest_unit() {
        let now = 1_000_000_000;
        for (seconds, text) in [
            (1, "just now"),
            (59, "59\u{a0}s\u{a0}ago"),
            (61, "1\u{a0}min\u{a0}ago"),
            (7_300, "2\u{a0}h\u{a0}ago"),
            (90_000, "1\u{a0}day\u{a0}ago"),
            (-7_300, "in\u{a0}2\u{a0}h"),
        ] {
            assert_eq!(relative(now - seconds * 1_000, now), text);
        }
    }
}
