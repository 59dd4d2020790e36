//! Which hosts tools may call.

use std::collections::BTreeSet;

use url::Host;

/// The hosts that may be called: those that stand, or whose parent stands, in every list. No list: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains {
    lists: Vec<Vec<Host>>,
}

impl Domains {
    /// Reads a list. What is no host allows nothing; an empty list is none.
    #[must_use]
    pub fn of(names: &BTreeSet<String>) -> Self {
        Self::default().and(names)
    }

    /// The hosts that stand in one more list, too.
    #[must_use]
    pub fn and<'n>(mut self, names: impl IntoIterator<Item = &'n String>) -> Self {
        let mut names = names.into_iter().peekable();
        if names.peek().is_some() {
            self.lists.push(names.filter_map(|name| host(name)).collect());
        }
        self
    }

    /// Whether a host may be called: a name, as people or addresses write it, or an address, then exactly.
    #[must_use]
    pub fn allow(&self, called: &str) -> bool {
        if self.lists.is_empty() {
            return true;
        }
        let Some(called) = host(called) else { return false };
        let is = |one: &Host| match (&called, one) {
            (Host::Domain(called), Host::Domain(name)) => {
                called.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (called, one) => called == one,
        };
        self.lists.iter().all(|list| list.iter().any(is))
    }
}

/// Whether a host is one of those that are allowed; see [`Domains`].
#[must_use]
pub fn allowed(called: &str, names: &BTreeSet<String>) -> bool {
    Domains::of(names).allow(called)
}

/// A host in its one form: lower-case, international names as DNS has them, without the final dot. `*.` before a name says
/// what holds anyway.
fn host(text: &str) -> Option<Host> {
    let text = text.trim();
    let text = text.strip_prefix("*.").unwrap_or(text);
    let text = text.strip_suffix('.').unwrap_or(text);
    Host::parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_its_subdomains_are_allowed_and_nothing_that_looks_alike() {
        let names: BTreeSet<String> = [
            "example.com",
            "Bücher.example",
            "*.api.test",
            "192.0.2.7",
            "[2001:db8::1]",
            "http://wrong.example",
            "a b",
        ]
        .map(str::to_owned)
        .into();
        for host in [
            "example.com",
            "EXAMPLE.com.",
            "a.b.example.com",
            "xn--bcher-kva.example",
            "BÜCHER.example",
            "api.test",
            "v1.api.test",
            "192.0.2.7",
            "[2001:db8::1]",
        ] {
            assert!(allowed(host, &names), "{host}");
        }
        for host in [
            "",
            "notexample.com",
            "example.com.evil.test",
            "example.org",
            "wrong.example",
            "test",
            "192.0.2.8",
            "1.192.0.2.7",
            "[2001:db8::2]",
            "com",
            "exаmple.com",
        ] {
            assert!(!allowed(host, &names), "{host}");
        }
        assert!(allowed("anything.example", &BTreeSet::new()));
        assert!(!allowed("anything.example", &BTreeSet::from(["a b".to_owned()])));
    }

    #[test]
    fn a_host_stands_in_every_list() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let both = Domains::of(&list(&["api.example.com", "other.test"])).and(&list(&["example.com"])).and(&list(&[]));
        assert!(both.allow("v1.api.example.com"));
        assert!(!both.allow("example.com") && !both.allow("other.test"));
        assert!(!Domains::of(&list(&["example.com"])).and(&list(&["not a host"])).allow("example.com"));
    }
}
