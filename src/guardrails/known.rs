//! Secrets whose values we know: found in whatever form they come back, whatever the patterns say.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use super::{
    detect,
    machine::{Hit, Rules, Tail},
};
use crate::{engine::plan::Sensitive, kernel::OrgId};

/// The shortest value that is looked for. A shorter one is in half of all texts.
const SHORTEST: usize = 6;
/// A longer value is looked for in parts of [`PART`] letters, so that a form of it has an end.
const LONGEST: usize = 256;
const PART: usize = 128;
/// How long a value is looked for after it was last used. No call lasts as long.
const KEPT: Duration = Duration::from_secs(3_600);

/// Values to look for. Cheap to clone.
#[derive(Clone, Default)]
pub struct Values {
    rules: Option<Arc<Rules>>,
    /// The values could not be made into rules: nothing may be let through.
    broken: bool,
}

impl Values {
    /// These values: each as it is, in base64, hex, percent-encoded, escaped as in JSON or HTML, reversed, and spaced out.
    #[must_use]
    pub fn new<'s>(values: impl IntoIterator<Item = &'s SecretString>) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        for value in values {
            let value = value.expose_secret().trim();
            let is_whole = value.len() <= LONGEST;
            patterns.extend(parts(value).iter().flat_map(|part| forms(part, is_whole)));
        }
        patterns.sort_unstable();
        patterns.dedup();
        if patterns.is_empty() {
            return Self::default();
        }
        let kind = Sensitive::Credential;
        let hit = move |_: usize, _: &str, text: &str| {
            Some(Hit { span: 0..text.len(), mark: detect::mark(kind), kind: Some(kind), tail: Tail::None })
        };
        let rules = Rules::new(&patterns, true, Box::new(hit));
        Self { broken: rules.is_none(), rules }
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) const fn rules(&self) -> Option<&Arc<Rules>> {
        self.rules.as_ref()
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values")
    }
}

fn parts(value: &str) -> Vec<String> {
    let letters: Vec<char> = value.chars().collect();
    if value.len() < SHORTEST {
        return Vec::new();
    }
    if value.len() <= LONGEST {
        return vec![value.to_owned()];
    }
    // The last part overlaps the one before it rather than being too short.
    let last = letters.len().saturating_sub(PART);
    let starts = (0..last).step_by(PART).chain([last]);
    starts.map(|start| letters[start..].iter().take(PART).collect()).collect()
}

/// The forms of a value as patterns. Of the parts of a long one, letters and figures are not looked for in escaped form:
/// nothing escapes them that does not mean to hide them, and the patterns would become very large.
fn forms(value: &str, is_whole: bool) -> Vec<String> {
    let escaped = |letter: char| {
        if is_whole || !letter.is_ascii_alphanumeric() { escaped(letter) } else { exactly(letter) }
    };
    let gap = r"(?:[\s_.*|,:/-]|\xe2\x80[\x8b-\x8d]|\xe2\x81\xa0|\xef\xbb\xbf|\xc2\xa0|\xc2\xad){1,3}";
    let letters = || value.chars().map(exactly);
    let mut all = vec![
        value.chars().map(&escaped).collect::<String>(),
        value.chars().rev().map(&escaped).collect::<String>(),
        letters().collect::<Vec<_>>().join(gap),
        value.bytes().map(|byte| format!(r"(?:0x|\\x)?(?i:{byte:02x})")).collect::<Vec<_>>().join("[ :,-]?"),
    ];
    all.extend((0..3).filter_map(|offset| base64(value, offset)));
    all
}

/// A letter as it is.
fn exactly(letter: char) -> String {
    let mut bytes = [0; 4];
    letter.encode_utf8(&mut bytes).bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, r"\x{byte:02x}");
        text
    })
}

/// A letter as it is, in an address, in JSON (also in JSON inside of JSON), and in HTML.
fn escaped(letter: char) -> String {
    let mut all = vec![exactly(letter)];
    let mut bytes = [0; 4];
    let percent: String = letter.encode_utf8(&mut bytes).bytes().map(|byte| format!("%(?i:{byte:02x})")).collect();
    let mut units = [0; 2];
    let json: String =
        letter.encode_utf16(&mut units).iter().map(|unit| format!(r"\\{{1,3}}u(?i:{unit:04x})")).collect();
    all.extend([
        percent,
        json,
        format!("&#0{{0,4}}{};", u32::from(letter)),
        format!("&#x0{{0,4}}(?i:{:x});", u32::from(letter)),
    ]);
    let more: &[&str] = match letter {
        ' ' => &[r"\+"],
        '"' => &[r#"\\{1,3}""#, "&quot;"],
        '\\' => &[r"\\{2,4}"],
        '/' => &[r"\\{1,2}/"],
        '\n' => &[r"\\{1,2}n", r"\r\n", r"\\{1,2}r\\{1,2}n"],
        '\r' => &[r"\\{1,2}r"],
        '\t' => &[r"\\{1,2}t"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        '\'' => &[r"\\{1,2}'"],
        _ => &[],
    };
    all.extend(more.iter().map(|one| (*one).to_owned()));
    format!("(?:{})", all.join("|"))
}

/// What of the value's base64 does not depend on its neighbours, where `offset` bytes of a group stand before it.
fn base64(value: &str, offset: usize) -> Option<String> {
    let bytes: Vec<u8> = std::iter::repeat_n(0, offset).chain(value.bytes()).collect();
    let text = STANDARD_NO_PAD.encode(&bytes);
    let own = text.get((offset * 8).div_ceil(6)..bytes.len() * 8 / 6)?;
    let letter = |letter| match letter {
        '+' => r"(?:\+|-|%2[Bb])".to_owned(),
        '/' => r"(?:/|_|\\/|%2[Ff])".to_owned(),
        other => other.to_string(),
    };
    (own.len() >= SHORTEST).then(|| own.chars().map(letter).collect())
}

/// The secrets that this process has had in its hands: those of the operator, and those of organizations that calls have
/// used of late. Cheap to clone.
#[derive(Clone, Default)]
pub struct Known {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    operator: Vec<SecretString>,
    of_operator: Values,
    organizations: Mutex<HashMap<OrgId, Noted>>,
}

struct Noted {
    values: Vec<(SecretString, Instant)>,
    made: Values,
}

impl Known {
    /// With the secrets of whoever runs the server: keys of providers, passwords of servers.
    #[must_use]
    pub fn of_operator(secrets: Vec<SecretString>) -> Self {
        let of_operator = Values::new(&secrets);
        Self { inner: Arc::new(Inner { operator: secrets, of_operator, organizations: Mutex::default() }) }
    }

    /// A secret of an organization was opened: from now on it is blotted out wherever it turns up. To be called before the
    /// secret is used, each time that it is.
    pub fn note(&self, org: OrgId, secrets: impl IntoIterator<Item = SecretString>) {
        let now = Instant::now();
        let mut all = self.inner.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other, noted| {
            *other == org || noted.values.iter().any(|(_, used)| now.duration_since(*used) < KEPT)
        });
        let noted =
            all.entry(org).or_insert_with(|| Noted { values: Vec::new(), made: self.inner.of_operator.clone() });
        let count = noted.values.len();
        noted.values.retain(|(_, used)| now.duration_since(*used) < KEPT);
        let mut changed = noted.values.len() < count;
        for secret in secrets {
            let same = |(value, _): &&mut (SecretString, Instant)| value.expose_secret() == secret.expose_secret();
            if let Some((_, used)) = noted.values.iter_mut().find(same) {
                *used = now;
            } else {
                noted.values.push((secret, now));
                changed = true;
            }
        }
        if changed {
            noted.made = Values::new(self.inner.operator.iter().chain(noted.values.iter().map(|(value, _)| value)));
        }
    }

    /// What is to be blotted out for an organization.
    #[must_use]
    pub fn of(&self, org: OrgId) -> Values {
        let all = self.inner.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&org).map_or_else(|| self.inner.of_operator.clone(), |noted| noted.made.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrails::redact::Redactor;

    fn shown(secret: &str, text: &str) -> String {
        let values = Values::new(&[SecretString::from(secret)]);
        Redactor::knowing(values).text(text, &mut std::collections::BTreeSet::new())
    }

    #[test]
    fn a_known_secret_is_found_in_every_form() {
        let secret = "pa ss/w\"örd+&7\\x";
        let json = serde_json::to_string(secret).unwrap();
        let twice = serde_json::to_string(&json).unwrap();
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let reversed: String = secret.chars().rev().collect();
        let spaced: Vec<String> = secret.chars().map(String::from).collect();
        for form in [
            secret.to_owned(),
            json[1..json.len() - 1].to_owned(),
            twice[3..twice.len() - 3].to_owned(),
            percent,
            hex.to_uppercase(),
            hex,
            reversed,
            spaced.join(" "),
            spaced.join("\u{200b}"),
        ] {
            assert_eq!(shown(secret, &format!("x{form}y")), "x[credential removed]y", "{form}");
        }
        for (before, after) in [("", ""), ("a", "b"), ("ab", "cd"), ("abc", "def"), ("abcd", "x")] {
            for text in [
                STANDARD_NO_PAD.encode(format!("{before}{secret}{after}")),
                base64::engine::general_purpose::URL_SAFE.encode(format!("{before}{secret}{after}")),
            ] {
                assert!(shown(secret, &text).contains("[credential removed]"), "{text}");
                assert!(shown(secret, &text).len() < 20 + 16, "{text}: {}", shown(secret, &text));
            }
        }
        assert_eq!(shown(secret, "password"), "password");
        assert_eq!(shown("short", "short"), "short");
    }

    #[test]
    fn a_long_secret_is_found_in_parts_and_secrets_that_overlap_go_together() {
        let long: String = (0..3_000).map(|n: u32| char::from(b'a' + u8::try_from(n * n % 23).unwrap())).collect();
        assert_eq!(shown(&long, &format!("<{long}>")), "<[credential removed]>");
        let values =
            Values::new(&[SecretString::from("abcdef"), SecretString::from("defghi"), SecretString::from("hijklmno")]);
        let text = Redactor::knowing(values).text("xabcdefghijklmnoy", &mut std::collections::BTreeSet::new());
        assert_eq!(text, "x[credential removed]y");
    }

    #[test]
    fn what_an_organization_used_is_its_own_and_the_operators_is_everybodys() {
        let known = Known::of_operator(vec![SecretString::from("operators-key")]);
        let (one, other) = (OrgId::new(), OrgId::new());
        known.note(one, [SecretString::from("secret-of-one")]);
        let read = |org| {
            let text = "operators-key secret-of-one";
            Redactor::knowing(known.of(org)).text(text, &mut std::collections::BTreeSet::new())
        };
        assert_eq!(read(one), "[credential removed] [credential removed]");
        assert_eq!(read(other), "[credential removed] secret-of-one");
    }
}
