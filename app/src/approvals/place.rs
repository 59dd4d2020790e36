//! Where in the inbox one is: all of it stands in the address.

use agentflow::{
    approvals::{ApprovalFilter, ApprovalKind, Risk},
    kernel::{ApprovalId, Cursor},
};
use leptos_router::params::ParamsMap;

/// One of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// What waits.
    Waiting,
    /// What one has put off.
    Snoozed,
    /// What was decided.
    Decided,
}

/// What the address of the inbox says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which approvals.
    pub filter: ApprovalFilter,
    /// The one whose card shows.
    pub selected: Option<ApprovalId>,
    /// Whether what cannot be undone is being confirmed, without JavaScript.
    pub confirm: bool,
}

impl Place {
    /// Reads an address. What is not understood is left out.
    pub fn read(query: &ParamsMap) -> Self {
        let text = |name: &str| query.get_str(name).filter(|value| !value.is_empty());
        Self {
            filter: ApprovalFilter {
                decided: text("view") == Some("decided"),
                snoozed: text("view") == Some("snoozed"),
                kind: text("kind").and_then(ApprovalKind::parse),
                workflow: text("workflow").and_then(|id| id.parse().ok()),
                agent: text("agent").and_then(|id| id.parse().ok()),
                risk: text("risk").and_then(Risk::parse),
                mine: text("mine").is_some(),
                assigned: text("assigned").is_some(),
                after: text("after").filter(|after| after.bytes().all(is_plain)).map(|after| Cursor(after.to_owned())),
            },
            selected: text("sel").and_then(|id| id.parse().ok()),
            confirm: text("confirm").is_some(),
        }
    }

    /// The address.
    pub fn href(&self, org: &str) -> String {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        match self.view() {
            View::Waiting => {}
            View::Snoozed => pairs.push(("view", "snoozed".to_owned())),
            View::Decided => pairs.push(("view", "decided".to_owned())),
        }
        if let Some(kind) = self.filter.kind {
            pairs.push(("kind", kind.as_str().to_owned()));
        }
        if let Some(workflow) = self.filter.workflow {
            pairs.push(("workflow", workflow.to_string()));
        }
        if let Some(agent) = self.filter.agent {
            pairs.push(("agent", agent.to_string()));
        }
        if let Some(risk) = self.filter.risk {
            pairs.push(("risk", risk.as_str().to_owned()));
        }
        for (name, is_on) in [("mine", self.filter.mine), ("assigned", self.filter.assigned)] {
            if is_on {
                pairs.push((name, "true".to_owned()));
            }
        }
        if let Some(Cursor(after)) = &self.filter.after {
            pairs.push(("after", after.clone()));
        }
        if let Some(selected) = self.selected {
            pairs.push(("sel", selected.to_string()));
        }
        // Only words and ids: nothing that would have to be escaped.
        let query: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let question = if query.is_empty() { "" } else { "?" };
        format!("/o/{org}/approvals{question}{}", query.join("&"))
    }

    /// The same with another card.
    pub fn select(&self, id: ApprovalId) -> Self {
        Self { selected: Some(id), confirm: false, ..self.clone() }
    }

    /// The same with no card chosen.
    pub fn without_choice(&self) -> Self {
        Self { selected: None, confirm: false, ..self.clone() }
    }

    /// Which list it is.
    pub fn view(&self) -> View {
        match self.filter {
            ApprovalFilter { decided: true, .. } => View::Decided,
            ApprovalFilter { snoozed: true, .. } => View::Snoozed,
            _ => View::Waiting,
        }
    }

    /// Another one of the lists, with the same filters.
    pub fn in_view(&self, view: View) -> Self {
        let (decided, snoozed) = (view == View::Decided, view == View::Snoozed);
        Self { filter: ApprovalFilter { decided, snoozed, after: None, ..self.filter.clone() }, ..Self::default() }
    }

    /// The page of the list that begins after a place; the first one without.
    pub fn page(&self, after: Option<Cursor>) -> Self {
        Self { filter: ApprovalFilter { after, ..self.filter.clone() }, ..Self::default() }
    }

    /// The same list without filters.
    pub fn unfiltered(&self) -> Self {
        Self::default().in_view(self.view())
    }

    /// Whether something is left out.
    pub fn is_filtered(&self) -> bool {
        self.page(None).filter != self.unfiltered().filter
    }
}

/// Whether a letter needs no escape in an address.
const fn is_plain(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let place = Place {
            filter: ApprovalFilter {
                decided: true,
                kind: Some(ApprovalKind::Tool),
                risk: Some(Risk::AboveLimit),
                mine: true,
                ..ApprovalFilter::default()
            },
            selected: "apr_01jd0000000000000000000000".parse().ok(),
            confirm: false,
        };
        let href = place.href("acme");
        assert_eq!(
            href,
            "/o/acme/approvals?view=decided&kind=tool&risk=above_limit&mine=true&sel=apr_01jd0000000000000000000000"
        );
        let mut query = ParamsMap::new();
        for pair in href.split_once('?').unwrap().1.split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            query.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(Place::read(&query), place);
        assert!(place.is_filtered() && !place.unfiltered().is_filtered());
        let second = Place::default().page(Some(Cursor("1.2.apr_x".to_owned())));
        assert_eq!(second.href("acme"), "/o/acme/approvals?after=1.2.apr_x");
        assert!(!second.is_filtered() && second.in_view(View::Decided).filter.after.is_none());
        let put_off = Place::default().in_view(View::Snoozed);
        assert_eq!(put_off.href("acme"), "/o/acme/approvals?view=snoozed");
        assert!(!put_off.is_filtered() && put_off.in_view(View::Waiting) == Place::default());
        assert_eq!(Place::default().href("acme"), "/o/acme/approvals");
    }

    #[test]
    fn nonsense_in_an_address_is_left_out() {
        let mut query = ParamsMap::new();
        for (name, value) in [
            ("kind", "x"),
            ("workflow", "x"),
            ("agent", "x"),
            ("risk", "x"),
            ("sel", "x"),
            ("view", "x"),
            ("mine", ""),
            ("after", "a&b"),
        ] {
            query.insert(name, value.to_owned());
        }
        assert_eq!(Place::read(&query), Place::default());
    }
}
