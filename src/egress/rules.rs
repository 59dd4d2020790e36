//! What may be called: the check of an address as text, before a name is looked up.

use std::{collections::BTreeSet, net::IpAddr};

use url::{Host, Url};

use super::{Failure, address};

/// Who runs the server says here what outside calls may and may not reach.
#[derive(Debug, Clone, Default)]
pub struct EgressSettings {
    /// `host:port` that may be called although it is private or has an unusual port: a model server on this machine, a
    /// stand-in in tests.
    pub allowed: BTreeSet<String>,
    /// Names that are ours and never called: the public host of the product, the database's host.
    pub own_hosts: BTreeSet<String>,
}

impl EgressSettings {
    /// Reads `host:port, host:port`.
    ///
    /// # Errors
    /// When an entry has no port or no host; the error is a sentence.
    pub fn parse_allowed(list: &str) -> Result<BTreeSet<String>, String> {
        list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(Self::parse_entry).collect()
    }

    fn parse_entry(entry: &str) -> Result<String, String> {
        let url = Url::parse(&format!("http://{entry}/")).ok().filter(|url| {
            url.path() == "/"
                && url.username().is_empty()
                && entry
                    .rsplit_once(':')
                    .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        });
        url.as_ref().and_then(key).ok_or_else(|| format!("“{entry}” is not host:port, such as localhost:11434."))
    }

    /// Allows the host and port of an address that the operator has named, such as the base URL of a model server.
    pub fn allow(&mut self, url: &Url) {
        self.allowed.extend(key(url));
    }
}

/// An address that may be called, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// The address in its canonical form.
    pub url: Url,
    /// Whether the operator has named it, so that its addresses are not looked at.
    pub trusted: bool,
}

/// `host:port`, canonical: lower-case, no final dot, IPv6 in brackets.
fn key(url: &Url) -> Option<String> {
    let host = url.host_str()?.trim_end_matches('.');
    Some(format!("{host}:{}", url.port_or_known_default()?))
}

/// Checks the text of an address. Where its host is a name, the addresses behind it are checked when it is looked up.
pub(super) fn check(text: &str, settings: &EgressSettings) -> Result<Checked, Failure> {
    // The URL standard drops tabs and line ends inside of an address and turns backslashes; we want none of that.
    if text.len() > 8_000 || text.chars().any(|letter| letter.is_control() || letter.is_whitespace() || letter == '\\')
    {
        return Err(Failure::Refused);
    }
    let url = Url::parse(text).map_err(|_| Failure::Refused)?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::Refused);
    }
    let trusted = key(&url).is_some_and(|key| settings.allowed.contains(&key));
    if trusted {
        return Ok(Checked { url, trusted });
    }
    let port_is_usual = matches!(url.port_or_known_default(), Some(80 | 443));
    if port_is_usual && is_others(&url, settings)? { Ok(Checked { url, trusted }) } else { Err(Failure::Refused) }
}

/// A host and port that may be connected to, for what speaks no HTTP: any port, as long as the host is a public one.
pub(super) fn check_socket(host: &str, port: u16, settings: &EgressSettings) -> Result<Checked, Failure> {
    // Read as a browser reads a host, so that no way of writing an inner address gets by.
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':' | '[' | ']');
    if port == 0 || host.is_empty() || !host.chars().all(plain) {
        return Err(Failure::Refused);
    }
    let url = Url::parse(&format!("http://{host}:{port}/")).map_err(|_| Failure::Refused)?;
    let trusted = key(&url).is_some_and(|key| settings.allowed.contains(&key));
    if trusted || is_others(&url, settings)? { Ok(Checked { url, trusted }) } else { Err(Failure::Refused) }
}

/// Whether the host is neither ours nor a private address.
fn is_others(url: &Url, settings: &EgressSettings) -> Result<bool, Failure> {
    Ok(match url.host().ok_or(Failure::Refused)? {
        // `host_str` would have brackets here and no parser would take it for an address.
        Host::Ipv4(four) => address::is_public(IpAddr::V4(four)),
        Host::Ipv6(six) => address::is_public(IpAddr::V6(six)),
        Host::Domain(name) => !is_own(name, settings),
    })
}

fn is_own(name: &str, settings: &EgressSettings) -> bool {
    let name = name.trim_end_matches('.');
    let special = ["localhost", "local", "internal", "home.arpa", "intranet", "lan", "test", "invalid", "onion"];
    special.iter().any(|end| name == *end || name.ends_with(&format!(".{end}")))
        || settings.own_hosts.iter().any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> EgressSettings {
        EgressSettings {
            allowed: EgressSettings::parse_allowed("localhost:11434, 127.0.0.1:9000,[::1]:9001").unwrap(),
            own_hosts: ["app.example.com".to_owned(), "db.example.com".to_owned()].into(),
        }
    }

    #[test]
    fn every_way_to_write_an_inner_address_is_refused() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://017700000001/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1%25lo]/",
            "http://[fd00:ec2::254]/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://192.0.0.1/",
            "http://198.18.0.1/",
            "http://224.0.0.1/",
            "http://240.0.0.1/",
            "http://255.255.255.255/",
            "http://localhost/",
            "http://localhost./",
            "http://LOCALHOST/",
            "http://a.localhost/",
            "http://metadata.google.internal/",
            "http://printer.local/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://ok@127.0.0.1/",
            "http://127.0.0.1#@ok.com/",
            "http://user:secret@example.com/",
            "http:\\\\127.0.0.1/",
            "http://127.0.0.1\\@example.com/",
            "http://exa\tmple.com/",
            "http://example.com/\r\nHost: x",
            "http://example.com/ x",
            "file:///etc/passwd",
            "gopher://example.com/",
            "ftp://example.com/",
            "unix:/tmp/socket",
            "data:text/plain,x",
            "//example.com",
            "example.com",
            "",
            "http://",
            "http://example.com:22/",
            "http://example.com:5432/",
            "https://example.com:8443/",
            "http://app.example.com/",
            "https://APP.example.com./",
            "http://db.example.com/",
            "javascript:alert(1)",
            "http://localhost:11435/",
            "http://127.0.0.1:9001/",
            "http://[::1]:9000/",
        ] {
            assert_eq!(check(text, &settings()), Err(Failure::Refused), "{text}");
        }
    }

    #[test]
    fn public_addresses_and_those_that_the_operator_named_pass() {
        for (text, trusted) in [
            ("https://example.com/a?b=c#d", false),
            ("http://example.com:80/", false),
            ("http://example.com:443/", false),
            ("https://8.8.8.8/", false),
            ("https://[2606:4700::1111]/", false),
            ("https://münchen.example/", false),
            ("http://localhost:11434/v1", true),
            ("http://LOCALHOST.:11434/v1", true),
            ("http://127.1:9000/", true),
            ("http://[::1]:9001/", true),
        ] {
            assert_eq!(check(text, &settings()).map(|checked| checked.trusted), Ok(trusted), "{text}");
        }
        for (host, port, trusted) in [
            ("db.example.org", 5432, Some(false)),
            ("8.8.8.8", 5433, Some(false)),
            ("localhost", 11434, Some(true)),
            ("127.1", 9000, Some(true)),
            ("[::1]", 9001, Some(true)),
            ("localhost", 5432, None),
            ("127.1", 5432, None),
            ("2130706433", 5432, None),
            ("[::ffff:127.0.0.1]", 5432, None),
            ("db.example.com", 5432, None),
            ("%2Fvar%2Frun", 5432, None),
            ("/var/run", 5432, None),
            ("a@localhost", 11434, None),
            ("localhost:11434/", 80, None),
            ("db.example.org", 0, None),
            ("", 5432, None),
        ] {
            let checked = check_socket(host, port, &settings());
            assert_eq!(checked.ok().map(|checked| checked.trusted), trusted, "{host}:{port}");
        }
        assert!(EgressSettings::parse_allowed("localhost").is_err());
        assert!(EgressSettings::parse_allowed("http://localhost:1").is_err());
        assert!(EgressSettings::parse_allowed("a@localhost:1").is_err());
        assert!(EgressSettings::parse_allowed("").is_ok_and(|list| list.is_empty()));
    }
}
