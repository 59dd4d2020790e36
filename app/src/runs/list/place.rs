//! Where in the list of runs one is: all of it stands in the address.

use agentflow::{
    engine::state::RunState,
    kernel::{Cursor, Money, Timestamp},
    runs::{Bulk, RunFilter, RunOrder, seconds, typed_seconds},
};
use chrono::{Datelike, TimeDelta};
use leptos_router::params::ParamsMap;

use crate::kit::time::{exactly, in_full};

/// What can be chosen as a status: the word in the address, what is read, and the states that it means.
pub(super) const STATES: [(&str, &str, &[RunState]); 9] = [
    (
        "active",
        "Not ended",
        &[RunState::Queued, RunState::Running, RunState::Waiting, RunState::Paused, RunState::Cancelling],
    ),
    ("outcome", "Succeeded or failed", &[RunState::Succeeded, RunState::Failed]),
    ("queued", "Queued", &[RunState::Queued]),
    ("running", "Running", &[RunState::Running]),
    ("waiting", "Waiting", &[RunState::Waiting]),
    ("paused", "Paused", &[RunState::Paused]),
    ("succeeded", "Succeeded", &[RunState::Succeeded]),
    ("failed", "Failed", &[RunState::Failed]),
    ("cancelled", "Stopped", &[RunState::Cancelled]),
];

/// What can be chosen as a trigger: the word in the address, and what is read.
pub(super) const TRIGGERS: [(&str, &str); 7] = [
    ("live", "All but tests"),
    ("person", "A person"),
    ("api", "The API"),
    ("test", "A test"),
    ("retry", "A retry"),
    ("rerun", "Run again"),
    ("fork", "A fork"),
];

/// What the address of the list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// What it shows.
    pub filter: RunFilter,
    /// Words of [`STATES`] with commas between, for the states of the filter.
    pub state: String,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
}

impl Place {
    /// Reads an address. What is not understood is left out.
    pub fn read(query: &ParamsMap) -> Self {
        let text = |name: &str| query.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let (mut words, mut states) = (Vec::new(), Vec::new());
        for word in query.get_all("state").iter().flatten().flat_map(|words| words.split(',')) {
            if let Some((word, _, of)) = STATES.iter().find(|(known, ..)| *known == word)
                && !words.contains(word)
            {
                words.push(*word);
                states.extend(of.iter().filter(|state| !states.contains(*state)).copied().collect::<Vec<_>>());
            }
        }
        let runs = query.get_all("run").unwrap_or_default();
        let filter = RunFilter {
            states,
            workflow: text("workflow").and_then(|id| id.parse().ok()),
            agent: text("agent"),
            trigger: text("trigger"),
            label: text("label"),
            q: text("q"),
            inside: query.get_str("in") == Some("all"),
            cost_min: text("cost_min").and_then(|cost| Money::parse(&cost)),
            cost_max: text("cost_max").and_then(|cost| Money::parse(&cost)),
            lasts_min: text("lasts_min").and_then(|lasts| seconds(&lasts)),
            lasts_max: text("lasts_max").and_then(|lasts| seconds(&lasts)),
            from: text("from").and_then(|at| moment(&at, false)),
            to: text("to").and_then(|at| moment(&at, true)),
            runs: runs.iter().flat_map(|runs| runs.split(',')).filter_map(|run| run.parse().ok()).collect(),
            order: query.get_str("order").and_then(RunOrder::parse).unwrap_or_default(),
        };
        Self { filter, state: words.join(","), cursor: text("cursor").map(Cursor) }
    }

    /// The address.
    pub fn href(&self, org: &str) -> String {
        format!("/o/{org}/runs{}", self.query().to_query_string())
    }

    /// The filters as a view keeps them: without a place in the list.
    pub fn kept(&self) -> String {
        let query = Self { cursor: None, ..self.clone() }.query().to_query_string();
        query.trim_start_matches('?').to_owned()
    }

    /// The same list in another order, from its beginning.
    pub fn ordered(&self, order: RunOrder) -> Self {
        Self { filter: RunFilter { order, ..self.filter.clone() }, cursor: None, ..self.clone() }
    }

    /// The address where the same is done to all runs that fit, after it was shown what that is.
    pub fn bulk_href(&self, org: &str, action: Bulk, cursor: Option<Cursor>) -> String {
        let mut query = Self { cursor, ..self.clone() }.query();
        query.insert("action", action.as_str().to_owned());
        format!("/o/{org}/runs/bulk{}", query.to_query_string())
    }

    fn query(&self) -> ParamsMap {
        let RunFilter { workflow, agent, trigger, label, q, inside, order, .. } = &self.filter;
        let filter = &self.filter;
        let mut query = ParamsMap::new();
        let mut put = |name: &'static str, value: Option<String>| {
            if let Some(value) = value {
                query.insert(name, value);
            }
        };
        put("state", Some(self.state.clone()).filter(|state| !state.is_empty()));
        put("workflow", workflow.map(|id| id.to_string()));
        put("agent", agent.clone());
        put("trigger", trigger.clone());
        put("label", label.clone());
        put("q", q.clone());
        put("in", inside.then(|| "all".to_owned()));
        put("cost_min", filter.cost_min.map(Money::typed));
        put("cost_max", filter.cost_max.map(Money::typed));
        put("lasts_min", filter.lasts_min.map(typed_seconds));
        put("lasts_max", filter.lasts_max.map(typed_seconds));
        put("from", filter.from.map(exactly));
        put("to", filter.to.map(exactly));
        let runs: Vec<_> = filter.runs.iter().map(ToString::to_string).collect();
        put("run", (!runs.is_empty()).then(|| runs.join(",")));
        put("order", (*order != RunOrder::default()).then(|| order.as_str().to_owned()));
        put("cursor", self.cursor.as_ref().map(|cursor| cursor.0.clone()));
        query
    }

    /// What is left out, a line each, with the list without it. `workflow` is the name of the chosen one.
    pub fn chips(&self, workflow: Option<String>) -> Vec<(String, Self)> {
        let mut chips = Vec::new();
        let mut chip = |words: Option<String>, without: &dyn Fn(&mut Self)| {
            if let Some(words) = words {
                let mut place = Self { cursor: None, ..self.clone() };
                without(&mut place);
                chips.push((words, place));
            }
        };
        let filter = &self.filter;
        let named = |words: &str, value: &Option<String>| value.as_ref().map(|value| format!("{words}: {value}"));
        let state = self.state.split(',').filter_map(|word| STATES.iter().find(|(known, ..)| *known == word));
        let state: Vec<_> = state.map(|(_, label, _)| *label).collect();
        chip((!state.is_empty()).then(|| format!("Status: {}", state.join(" or "))), &|place| {
            place.state.clear();
            place.filter.states.clear();
        });
        let workflow = filter.workflow.map(|id| workflow.unwrap_or_else(|| id.to_string()));
        chip(named("Workflow", &workflow), &|place| place.filter.workflow = None);
        chip(named("Agent", &filter.agent), &|place| place.filter.agent = None);
        let trigger = filter.trigger.clone().map(|word| {
            TRIGGERS.iter().find(|(known, _)| *known == word).map_or(word, |(_, label)| (*label).to_owned())
        });
        chip(named("Started by", &trigger), &|place| place.filter.trigger = None);
        chip(named("Label", &filter.label), &|place| place.filter.label = None);
        let place = if filter.inside { "in titles, inputs, outputs and logs" } else { "in titles and ids" };
        chip(filter.q.as_ref().map(|q| format!("“{q}” {place}")), &|place| {
            place.filter.q = None;
            place.filter.inside = false;
        });
        chip(filter.cost_min.map(|cost| format!("Cost: {cost} or more")), &|place| place.filter.cost_min = None);
        chip(filter.cost_max.map(|cost| format!("Cost: {cost} or less")), &|place| place.filter.cost_max = None);
        let lasts = |seconds: Option<i64>| seconds.map(typed_seconds);
        chip(lasts(filter.lasts_min).map(|lasts| format!("Duration: {lasts} or more")), &|place| {
            place.filter.lasts_min = None;
        });
        chip(lasts(filter.lasts_max).map(|lasts| format!("Duration: {lasts} or less")), &|place| {
            place.filter.lasts_max = None;
        });
        chip(filter.from.map(|at| format!("Accepted since {}", in_full(at))), &|place| place.filter.from = None);
        chip(filter.to.map(|at| format!("Accepted before {}", in_full(at))), &|place| place.filter.to = None);
        let chosen = (!filter.runs.is_empty()).then(|| format!("{} chosen by hand", filter.runs.len()));
        chip(chosen, &|place| place.filter.runs.clear());
        chips
    }
}

/// A moment of an address: exact, or a day in UTC, of which `to` is the last one. Only of years that people write with four
/// digits: neither the database nor the calendar goes on for ever.
fn moment(text: &str, is_end: bool) -> Option<Timestamp> {
    let exact = || text.parse::<Timestamp>().ok();
    let midnight = || format!("{text}T00:00:00Z").parse::<Timestamp>().ok();
    let end = |at: Timestamp| at.checked_add_signed(TimeDelta::days(i64::from(is_end)));
    exact().or_else(|| midnight().and_then(end)).filter(|at| (1..=9_999).contains(&at.year()))
}

/// The day that a field for days shows for a moment: none where it is no midnight.
pub(super) fn day(at: Option<Timestamp>, is_end: bool) -> Option<String> {
    let at = at?;
    (at.timestamp() % 86_400 == 0 && at.timestamp_subsec_micros() == 0).then(|| {
        let day = if is_end { at - std::time::Duration::from_secs(86_400) } else { at };
        day.date_naive().to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Place {
        let mut query = ParamsMap::new();
        for (name, value) in entries {
            query.insert((*name).to_owned(), (*value).to_owned());
        }
        Place::read(&query)
    }

    #[test]
    fn filters_stand_in_the_address_and_nonsense_is_left_out() {
        let place = read(&[("state", "active"), ("workflow", "x"), ("q", " a&b "), ("cursor", "1.run_x")]);
        assert_eq!(place.filter.states.len(), 5);
        assert_eq!((place.filter.workflow, place.filter.q.as_deref()), (None, Some("a&b")));
        let href = place.href("acme");
        assert!(href.starts_with("/o/acme/runs?") && href.contains("state=active") && !href.contains("a&b"), "{href}");
        assert_eq!(read(&[("state", "x"), ("cost_min", "much"), ("lasts_min", "long")]), Place::default());
        assert_eq!(Place::default().href("acme"), "/o/acme/runs");
        assert_eq!(Place::default().bulk_href("acme", Bulk::Retry, None), "/o/acme/runs/bulk?action=retry");
        let place = read(&[("from", "2026-11-20T04:02:11.000987Z")]);
        assert_eq!(place.filter.from.map(|at| at.timestamp_subsec_micros()), Some(987));
        let href = place.href("acme").replace("%2E", ".");
        assert!(href.contains("11.000987Z"), "a period leads to the same runs again: {href}");
    }

    #[test]
    fn a_moment_that_nothing_can_hold_is_left_out() {
        for text in
            ["+262142-12-31", "+262142-12-31T23:59:59Z", "+10000-01-01", "9999-12-32", "-5000-01-01", "0000-01-01"]
        {
            assert_eq!(read(&[("from", text), ("to", text)]), Place::default(), "{text}");
        }
        // Nothing is later than the last day that counts.
        assert_eq!(read(&[("to", "9999-12-31")]), Place::default());
        for text in ["0001-01-01", "9999-12-30"] {
            let place = read(&[("from", text), ("to", text)]);
            assert_eq!(day(place.filter.from, false).as_deref(), Some(text));
            assert_eq!(day(place.filter.to, true).as_deref(), Some(text));
        }
    }

    #[test]
    fn everything_that_is_set_is_shown_and_can_be_taken_away() {
        let place = read(&[
            ("state", "failed"),
            ("state", "queued,running"),
            ("agent", "writer"),
            ("trigger", "live"),
            ("label", "night"),
            ("q", "4812"),
            ("in", "all"),
            ("cost_min", "0.5"),
            ("lasts_min", "5m"),
            ("from", "2026-11-20"),
            ("to", "2026-11-20"),
            ("order", "longest"),
        ]);
        let chips = place.chips(None);
        let words: Vec<_> = chips.iter().map(|(words, _)| words.as_str()).collect();
        assert_eq!(words[0], "Status: Failed or Queued or Running");
        assert_eq!(words[4], "“4812” in titles, inputs, outputs and logs");
        assert_eq!(words.len(), 9);
        for (words, without) in &chips {
            assert_eq!(without.chips(None).len(), 8, "{words}");
            assert_eq!(without.filter.order, RunOrder::Longest);
        }
        let (from, to) = (place.filter.from.unwrap(), place.filter.to.unwrap());
        assert_eq!((to - from).num_hours(), 24, "a day is the whole of it");
        assert_eq!(day(Some(to), true).as_deref(), Some("2026-11-20"));
        assert_eq!(day(Some(from), false).as_deref(), Some("2026-11-20"));
    }
}
