//! What a credential may look like, as it is typed. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use url::{Host, Url};

use super::CredentialKind;
use crate::kernel::{Error, Result, text};

/// The most bytes of a value.
const LONGEST_VALUE: usize = 8 << 10;
/// The most hosts of a credential.
const MOST_HOSTS: usize = 20;
/// The shortest value whose end is shown: it must be far from guessed by its last letters.
const SHOWN_FROM: usize = 16;

/// Headers that the connection is made of, or that say whom a request is for.
pub(super) const NOT_OURS: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

/// A value of a kind. What was pasted around it is cut off, but for a password, which may begin or end with a space.
pub(crate) fn value(kind: CredentialKind, typed: &SecretString) -> Result<SecretString> {
    let typed = typed.expose_secret();
    let value = match kind {
        CredentialKind::Basic => typed.trim_end_matches(['\r', '\n']),
        _ => typed.trim(),
    };
    let wrong = |message: &str| Err(Error::invalid("secret", message));
    if value.is_empty() {
        return wrong("Enter the secret value.");
    }
    if value.len() > LONGEST_VALUE {
        return wrong("Use 8,192 bytes at most.");
    }
    if value.contains('\0') {
        return wrong(text::NUL_REFUSED);
    }
    match kind {
        CredentialKind::Model | CredentialKind::Bearer | CredentialKind::Header
            if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || HeaderValue::try_from(value).is_err() =>
        {
            wrong("Use letters, digits and signs of ASCII, on one line: it is sent in a header.")
        }
        CredentialKind::Postgres => database(value).map(|_| value.into()),
        _ => Ok(value.into()),
    }
}

/// The host of a database's address.
fn database(value: &str) -> Result<String> {
    let wrong = |message: &str| Error::invalid("secret", message);
    let form = "Enter an address such as postgres://user:password@db.example.com:5432/name.";
    let url = Url::parse(value).map_err(|_| wrong(form))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") || url.username().is_empty() || url.fragment().is_some() {
        return Err(wrong(form));
    }
    // Others lead elsewhere, or read files of this machine.
    if url.query_pairs().any(|(name, _)| name != "sslmode") {
        return Err(wrong("Of parameters only sslmode can be set."));
    }
    normal_host(url.host_str().unwrap_or_default()).ok_or_else(|| wrong(form))
}

/// What belongs to the kind and is not secret.
pub(super) fn config(kind: CredentialKind, typed: &str) -> Result<BTreeMap<String, String>> {
    let typed = typed.trim();
    let wrong = |message: &str| Err(Error::invalid("detail", message));
    let Some(name) = kind.detail() else { return Ok(BTreeMap::new()) };
    if typed.len() > 200 || typed.chars().any(char::is_control) {
        return wrong("Use 200 letters at most, on one line.");
    }
    match kind {
        CredentialKind::Header => match HeaderName::try_from(typed) {
            Ok(name) if !NOT_OURS.contains(&name) => {}
            _ => return wrong("Enter the header's name, such as X-Api-Key."),
        },
        CredentialKind::Basic if typed.contains(':') => return wrong("A user name cannot have a colon."),
        _ if typed.is_empty() && kind == CredentialKind::Basic => return wrong("Enter the user name."),
        _ if typed.is_empty() => return wrong("Enter the parameter's name, such as api_key."),
        _ => {}
    }
    Ok(BTreeMap::from([(name.to_owned(), typed.to_owned())]))
}

/// The hosts that a value may be sent to: of a database its own, of others those that were typed.
pub(super) fn hosts(kind: CredentialKind, typed: &str, value: Option<&SecretString>) -> Result<Vec<String>> {
    if kind == CredentialKind::Postgres
        && let Some(value) = value
    {
        return Ok(vec![database(value.expose_secret())?]);
    }
    let mut hosts = Vec::new();
    for word in typed.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
        let host = normal_host(word).ok_or_else(|| {
            let message = format!(
                "“{}” is not a host. Enter names such as api.example.com, without https:// and without a path; what is \
                 below a name is included.",
                text::shortened(&text::without_nul(word.to_owned()), 60)
            );
            Error::invalid("hosts", message)
        })?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    match hosts.len() {
        0 => Err(Error::invalid("hosts", "Name at least one host that the credential may be sent to.")),
        1..=MOST_HOSTS => Ok(hosts),
        _ => Err(Error::invalid("hosts", "Name 20 hosts at most.")),
    }
}

/// A host as we keep and compare it: lower case, ASCII, without the dot at its end. Nothing where it is none.
pub(super) fn normal_host(text: &str) -> Option<String> {
    let host = match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => Host::parse(&format!("[{text}]")),
        _ => Host::parse(text),
    };
    let host = match host.ok()? {
        Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        address => address.to_string(),
    };
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.:[]".contains(letter);
    (!host.is_empty() && host.len() <= 253 && host.chars().all(fits)).then_some(host)
}

/// Whether a host is this one or one below it. Addresses, and names without a dot, stand for themselves alone.
pub(super) fn covers(allowed: &str, host: &str) -> bool {
    let has_below = allowed.contains('.') && !allowed.starts_with('[') && allowed.parse::<IpAddr>().is_err();
    allowed == host || has_below && host.strip_suffix(allowed).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// The end of a value, where it is long enough. Passwords and addresses of databases show nothing.
pub(crate) fn last4(kind: CredentialKind, value: &SecretString) -> Option<String> {
    let has_end = !matches!(kind, CredentialKind::Basic | CredentialKind::Postgres);
    let letters: Zeroizing<Vec<char>> = Zeroizing::new(value.expose_secret().chars().collect());
    (has_end && letters.len() >= SHOWN_FROM).then(|| letters[letters.len() - 4..].iter().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn hosts_of(typed: &str) -> Result<Vec<String>> {
        hosts(CredentialKind::Bearer, typed, None)
    }

    #[test]
    fn hosts_are_names_and_addresses_and_nothing_more() {
        let typed = "API.Example.com., bücher.example\n10.0.0.1  crm ::1 api.example.com";
        let hosts = ["api.example.com", "xn--bcher-kva.example", "10.0.0.1", "crm", "[::1]"];
        assert_eq!(hosts_of(typed).expect("hosts"), hosts);
        for typed in
            ["", " ,", "https://a.example", "a.example/x", "a.example:80", "u@a.example", "*.a.example", "a\0b"]
        {
            assert!(hosts_of(typed).is_err(), "{typed:?}");
        }
        let many: Vec<String> = (0..21).map(|at| format!("h{at}.example")).collect();
        assert!(hosts_of(&many.join(",")).is_err());
    }

    #[test]
    fn a_host_covers_itself_and_what_is_below_it() {
        for (allowed, host) in [("a.example", "a.example"), ("a.example", "x.y.a.example"), ("10.0.0.1", "10.0.0.1")] {
            assert!(covers(allowed, host), "{allowed} {host}");
        }
        for (allowed, host) in [
            ("a.example", "xa.example"),
            ("a.example", "example"),
            ("a.example", ".a.example"),
            ("a.example", "a.example.evil.net"),
            ("com", "a.com"),
            ("10.0.0.1", "9.10.0.0.1"),
        ] {
            assert!(!covers(allowed, host), "{allowed} {host}");
        }
    }

    #[test]
    fn values_fit_their_kind() {
        let good = |kind, typed: &str| value(kind, &secret(typed)).map(|it| it.expose_secret().to_owned());
        assert_eq!(good(CredentialKind::Bearer, " sk-1 \n").expect("value"), "sk-1");
        assert_eq!(good(CredentialKind::Basic, " pä ss \n").expect("value"), " pä ss ");
        for typed in ["", " ", "a\nb", "ä", "a\0b", &"x".repeat(8_193)] {
            assert!(good(CredentialKind::Header, typed).is_err(), "{typed:.20?}");
        }
        let url = "postgres://ada:pw@DB.example.com/crm?sslmode=require";
        assert_eq!(good(CredentialKind::Postgres, url).expect("value"), url);
        let value = secret(url);
        assert_eq!(hosts(CredentialKind::Postgres, "evil.net", Some(&value)).expect("hosts"), ["db.example.com"]);
        for typed in [
            "https://db.example.com",
            "postgres:///crm?host=evil.net",
            "postgres://ada:pw@db.example.com/crm?host=evil.net",
            "postgres://db.example.com/crm",
            "postgres://ada:pw@db.example.com/crm?sslrootcert=/etc/passwd",
        ] {
            assert!(good(CredentialKind::Postgres, typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn details_fit_their_kind() {
        assert_eq!(config(CredentialKind::Header, " X-Key ").expect("config")["header"], "X-Key");
        assert!(config(CredentialKind::Bearer, "ignored").expect("config").is_empty());
        for (kind, typed) in [
            (CredentialKind::Header, ""),
            (CredentialKind::Header, "Host"),
            (CredentialKind::Header, "x y"),
            (CredentialKind::Basic, "a:b"),
            (CredentialKind::Basic, ""),
            (CredentialKind::Query, ""),
            (CredentialKind::Query, "a\0"),
        ] {
            assert!(config(kind, typed).is_err(), "{kind:?} {typed:?}");
        }
    }

    #[test]
    fn only_the_end_of_a_long_value_is_shown() {
        let shown = |kind, text: &str| last4(kind, &secret(text));
        assert_eq!(shown(CredentialKind::Bearer, "0123456789abcdef").as_deref(), Some("cdef"));
        assert_eq!(shown(CredentialKind::Bearer, "0123456789abcde"), None);
        assert_eq!(shown(CredentialKind::Basic, "0123456789abcdef"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_as_hosts_gives_hosts_that_are_themselves(typed: String) {
            if let Ok(hosts) = hosts_of(&typed) {
                for host in hosts {
                    prop_assert_eq!(normal_host(host.trim_matches(['[', ']'])), Some(host));
                }
            }
        }
    }
}
