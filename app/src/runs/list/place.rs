//! Where in the list of runs one is: all of it stands in the address.

use agentflow::{
    engine::state::RunState,
    kernel::{Cursor, Timestamp, WorkflowId},
    runs::{Bulk, RunFilter},
};
use leptos_router::params::ParamsMap;

use crate::kit::time::exactly;

/// What can be chosen as a status: the word in the address, what is read, and the states that it means.
pub(super) const STATES: [(&str, &str, &[RunState]); 8] = [
    (
        "active",
        "Not ended",
        &[RunState::Queued, RunState::Running, RunState::Waiting, RunState::Paused, RunState::Cancelling],
    ),
    ("queued", "Queued", &[RunState::Queued]),
    ("running", "Running", &[RunState::Running]),
    ("waiting", "Waiting", &[RunState::Waiting]),
    ("paused", "Paused", &[RunState::Paused]),
    ("succeeded", "Succeeded", &[RunState::Succeeded]),
    ("failed", "Failed", &[RunState::Failed]),
    ("cancelled", "Stopped", &[RunState::Cancelled]),
];

/// What the address of the list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// A word of [`STATES`].
    pub state: Option<String>,
    /// Of this workflow.
    pub workflow: Option<WorkflowId>,
    /// With this text.
    pub q: Option<String>,
    /// Accepted at or after this moment.
    pub from: Option<Timestamp>,
    /// Accepted before this moment.
    pub to: Option<Timestamp>,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
}

impl Place {
    /// Reads an address. What is not understood is left out.
    pub fn read(query: &ParamsMap) -> Self {
        let text = |name: &str| query.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        Self {
            state: text("state").filter(|word| STATES.iter().any(|(known, ..)| known == word)),
            workflow: text("workflow").and_then(|id| id.parse().ok()),
            q: text("q"),
            from: text("from").and_then(|at| at.parse().ok()),
            to: text("to").and_then(|at| at.parse().ok()),
            cursor: text("cursor").map(Cursor),
        }
    }

    /// The filter that it stands for.
    pub fn filter(&self) -> RunFilter {
        let chosen = STATES.iter().find(|(word, ..)| self.state.as_deref() == Some(word));
        RunFilter {
            states: chosen.map(|(_, _, states)| states.to_vec()).unwrap_or_default(),
            workflow: self.workflow,
            q: self.q.clone(),
            from: self.from,
            to: self.to,
            ..RunFilter::default()
        }
    }

    /// The address.
    pub fn href(&self, org: &str) -> String {
        format!("/o/{org}/runs{}", self.query().to_query_string())
    }

    /// The address where the same is done to all runs that fit, after it was shown what that is.
    pub fn bulk_href(&self, org: &str, action: Bulk) -> String {
        let mut query = Self { cursor: None, ..self.clone() }.query();
        query.insert("action", action.as_str().to_owned());
        format!("/o/{org}/runs/bulk{}", query.to_query_string())
    }

    fn query(&self) -> ParamsMap {
        let mut query = ParamsMap::new();
        if let Some(state) = &self.state {
            query.insert("state", state.clone());
        }
        if let Some(workflow) = self.workflow {
            query.insert("workflow", workflow.to_string());
        }
        if let Some(q) = &self.q {
            query.insert("q", q.clone());
        }
        for (name, moment) in [("from", self.from), ("to", self.to)] {
            if let Some(moment) = moment {
                query.insert(name, exactly(moment));
            }
        }
        if let Some(cursor) = &self.cursor {
            query.insert("cursor", cursor.0.clone());
        }
        query
    }

    /// Whether something is left out.
    pub fn is_filtered(&self) -> bool {
        self.state.is_some() || self.workflow.is_some() || self.q.is_some() || self.from.is_some() || self.to.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_stand_in_the_address_and_nonsense_is_left_out() {
        let mut query = ParamsMap::new();
        for (name, value) in [("state", "active"), ("workflow", "x"), ("q", " a&b "), ("cursor", "1.run_x")] {
            query.insert(name, value.to_owned());
        }
        let place = Place::read(&query);
        assert_eq!(place.filter().states.len(), 5);
        assert_eq!((place.workflow, place.q.as_deref()), (None, Some("a&b")));
        let href = place.href("acme");
        assert!(href.starts_with("/o/acme/runs?") && href.contains("state=active") && !href.contains("a&b"), "{href}");
        let mut query = ParamsMap::new();
        query.insert("state", "x".to_owned());
        assert_eq!(Place::read(&query), Place::default());
        assert_eq!(Place::default().href("acme"), "/o/acme/runs");
        assert_eq!(Place::default().bulk_href("acme", Bulk::Retry), "/o/acme/runs/bulk?action=retry");
        let mut query = ParamsMap::new();
        query.insert("from", "2026-11-20T04:02:11.000987Z".to_owned());
        let place = Place::read(&query);
        assert_eq!(place.filter().from.map(|at| at.timestamp_subsec_micros()), Some(987));
        let href = place.href("acme").replace("%2E", ".");
        assert!(href.contains("11.000987Z"), "a period leads to the same runs again: {href}");
    }
}
