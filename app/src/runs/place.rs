//! What of a run its page shows, besides the selected step: which part of the tree, which of its lines, and what is
//! searched for. All of it stands in the address.

use agentflow::engine::state::StepId;
use leptos_router::params::ParamsMap;

use super::line::encoded;

/// Which lines of the tree show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Only {
    /// All.
    #[default]
    All,
    /// What failed, and what is above it.
    Errors,
    /// What the search found, and what is above it.
    Found,
}

/// What of a run shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The step that is the root of the tree.
    pub root: Option<StepId>,
    /// Which lines show.
    pub only: Only,
    /// What is searched for; empty where nothing is.
    pub find: String,
}

impl Place {
    /// What an address shows.
    #[must_use]
    pub fn of(query: &ParamsMap) -> Self {
        let root = query.get_str("root").filter(|root| !root.is_empty()).map(StepId::from_text);
        let only = match query.get_str("only") {
            Some("errors") => Only::Errors,
            Some("found") => Only::Found,
            _ => Only::All,
        };
        Self { root, only, find: query.get("find").unwrap_or_default().trim().to_owned() }
    }

    /// The part of an address that shows it, for after a `?`: `root=draft&only=errors&find=refund`.
    #[must_use]
    pub fn query(&self) -> String {
        let mut parts = Vec::new();
        if let Some(root) = &self.root {
            parts.push(["root=", &encoded(root.as_str())].concat());
        }
        match self.only {
            Only::All => {}
            Only::Errors => parts.push("only=errors".to_owned()),
            Only::Found => parts.push("only=found".to_owned()),
        }
        if !self.find.is_empty() {
            parts.push(["find=", &encoded(&self.find)].concat());
        }
        parts.join("&")
    }

    /// The same, for after another part: with an `&`, where there is anything.
    #[must_use]
    pub fn further(&self) -> String {
        let shown = self.query();
        if shown.is_empty() { shown } else { ["&", &shown].concat() }
    }

    /// The same with another root.
    #[must_use]
    pub fn rooted(&self, root: Option<StepId>) -> Self {
        Self { root, ..self.clone() }
    }

    /// The same with other lines.
    #[must_use]
    pub fn with(&self, only: Only) -> Self {
        Self { only, ..self.clone() }
    }
}

/// The address of a run with a step, if one is named, a tab, if it is not the first, and a place.
#[must_use]
pub fn address(base: &str, step: &str, tab: &str, place: &Place) -> String {
    let mut parts = Vec::new();
    if !step.is_empty() {
        parts.push(["step=", &encoded(step)].concat());
    }
    if !tab.is_empty() {
        parts.push(["tab=", tab].concat());
    }
    let shown = place.query();
    if !shown.is_empty() {
        parts.push(shown);
    }
    if parts.is_empty() { base.to_owned() } else { [base, "?", &parts.join("&")].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_shows_is_in_the_addresses_of_its_links() {
        let mut query = ParamsMap::new();
        for (name, value) in [("root", "each.3"), ("only", "errors"), ("find", " a&b "), ("step", "each.3.call")] {
            query.insert(name, value.to_owned());
        }
        let place = Place::of(&query);
        assert_eq!(place.query(), "root=each.3&only=errors&find=a%26b");
        assert_eq!(address("/r", "x~1", "logs", &place), "/r?step=x~1&tab=logs&root=each.3&only=errors&find=a%26b");
        let plain = place.rooted(None).with(Only::All);
        assert_eq!(address("/r", "", "", &Place { find: String::new(), ..plain }), "/r");
        assert_eq!(Place::of(&ParamsMap::new()), Place::default());
    }
}
