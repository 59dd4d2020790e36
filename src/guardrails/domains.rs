//! Which hosts an agent's tools may call.

use std::collections::BTreeSet;

use url::Host;

/// The hosts that may be called: each one and its subdomains. None named: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains {
    named: Option<Vec<Host>>,
}

impl Domains {
    /// Reads a list. What is no host allows nothing.
    #[must_use]
    pub fn of(names: &BTreeSet<String>) -> Self {
        Self { named: (!names.is_empty()).then(|| names.iter().filter_map(|name| host(name)).collect()) }
    }

    /// Whether a host may be called: a name, as people or addresses write it, or an address, then exactly.
    #[must_use]
    pub fn allow(&self, called: &str) -> bool {
        let Some(named) = &self.named else { return true };
        match host(called) {
            Some(Host::Domain(called)) => named.iter().any(|one| match one {
                Host::Domain(name) => {
                    called.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                }
                Host::Ipv4(_) | Host::Ipv6(_) => false,
            }),
            Some(address) => named.contains(&address),
            None => false,
        }
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
}
