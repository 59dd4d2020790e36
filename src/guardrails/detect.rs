//! Finds credentials and personal data by their published shapes and check digits.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::machine::{Hit, Rules, Tail};
use crate::engine::plan::Sensitive::{self, Card, Credential, Email, Iban, Phone, Ssn};

/// What of a match is to go, judged by the two letters before it and the match itself; nothing where it is none after all.
type Check = fn(&str, &str) -> Option<Range<usize>>;

struct Pattern {
    kind: Sensitive,
    text: String,
    check: Check,
    tail: Tail,
}

/// What a value in code or settings is made of, and one in quotes.
const VALUE: &str = r#"[!-~\x80-\xff&&[^"'`,;<>\\]]{6,200}"#;
const QUOTED: &str = r#"(?:"[ -~\x80-\xff&&[^"\\]]{6,200}"|'[ -~\x80-\xff&&[^'\\]]{6,200}')"#;
/// What secrets are called. Not `token` alone: that is what the place in a long list is called, too.
const NAMES: &str = r"(?i:passwords?|passwd|passphrase|passwort|pwd|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|secret|api[_-]?key|access[_-]?key|account[_-]?key|(?:access|refresh|auth|api|bearer|session|id|bot)[_-]?token|private[_-]?key|credentials?)";

fn patterns() -> Vec<Pattern> {
    let mut all: Vec<Pattern> = Vec::new();
    let mut add = |kind, text: &str, check: Check, tail| all.push(Pattern { kind, text: text.to_owned(), check, tail });
    // Keys that say by their beginning what they are.
    for text in [
        r"sk-(?:ant|proj|or|svcacct|admin|lf)-[A-Za-z0-9_-]{16,80}",
        r"\bsk-[A-Za-z0-9_-]{20,80}",
        r"\b(?:xai-|pplx-|gsk_|hf_|r8_|nvapi-|tvly-|csk-|fw_)[A-Za-z0-9_-]{20,80}",
        r"AIza[A-Za-z0-9_-]{30,40}",
        r"gh[pousr]_[A-Za-z0-9]{20,80}",
        r"github_pat_[A-Za-z0-9_]{20,90}",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,80}",
        r"xapp-[0-9]-[A-Za-z0-9-]{10,80}",
        r"glpat-[A-Za-z0-9_-]{16,80}",
        r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,80}",
        r"npm_[A-Za-z0-9]{30,40}",
        r"pypi-[A-Za-z0-9_-]{50,200}",
        r"dop_v1_[a-f0-9]{40,64}",
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{20,40}",
        r"agentflow_[A-Za-z0-9_-]{30,60}",
        r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{30,40}",
    ] {
        add(Credential, text, random, Tail::Token);
    }
    for text in [
        r"whsec_[A-Za-z0-9+/=_-]{16,80}",
        r"SG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,60}",
        r"\bya29\.[A-Za-z0-9_-]{20,80}",
        r"\beyJ[A-Za-z0-9_-]{8,1000}\.eyJ[A-Za-z0-9_-]{4}",
    ] {
        add(Credential, text, random, Tail::Base64);
    }
    add(Credential, r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", random, Tail::None);
    // With the secret that belongs to it.
    add(Credential, r#"\b(?:AKIA|ASIA)[A-Z2-7]{16}["']?[\s,:;|/]{1,6}["']?[A-Za-z0-9/+]{40}"#, random, Tail::Base64);
    add(Credential, r"https://hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}", after_services, Tail::Base64);
    add(Credential, r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", whole, Tail::Pem);
    let header = r#"(?i:authorization)\\?["']?\s{0,3}[:=]\s{0,3}\\?["']?(?i:bearer|basic|token)\s{1,3}[A-Za-z0-9._~+/=-]{6,200}"#;
    add(Credential, header, after_space, Tail::Base64);
    add(Credential, r"\b(?i:bearer)\s[A-Za-z0-9._~+/=-]{20,200}", random_after_space, Tail::Base64);
    let user_password =
        r#"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[!-~\x80-\xff&&[^/:@"'<>`\\]]{0,100}:[!-~\x80-\xff&&[^/@"'<>`\\]]{1,200}@"#;
    add(Credential, user_password, user_info, Tail::None);
    let assigned = format!(r#"{NAMES}\\?["']?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}"#);
    add(Credential, &format!("{assigned}{QUOTED}"), assigned_in_quotes, Tail::None);
    add(Credential, &format!(r#"{assigned}\\?["']?{VALUE}"#), assigned_plainly, Tail::Value);

    add(Card, r"[0-9](?:[ -]?[0-9]){12,18}\b", card, Tail::None);
    add(Iban, r"\b[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}\b", iban, Tail::None);
    add(Ssn, r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", ssn, Tail::None);
    add(Ssn, r"\b[0-9]{3} [0-9]{2} [0-9]{4}\b", ssn, Tail::None);
    add(Ssn, r"\b(?i:ssn|social security(?: number)?)[ :#]{1,3}[0-9]{9}\b", ssn, Tail::None);
    add(
        Email,
        r"\b[A-Za-z0-9_][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
        email,
        Tail::None,
    );
    add(Phone, r"\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}\b", phone, Tail::None);
    add(Phone, r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[ .-][0-9]{4}\b", phone, Tail::None);
    add(Phone, r"\b(?:1[ .-])?[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}\b", phone, Tail::None);
    add(Phone, r"\b(?:1[ .-])?[2-9][0-9]{2}\.[2-9][0-9]{2}\.[0-9]{4}\b", phone, Tail::None);
    add(Phone, r"\b0[1-9][0-9]{1,3}[ /-][0-9]{3,8}(?:[ -][0-9]{2,5}){0,3}\b", national, Tail::None);
    add(Phone, r"\b0[1-9](?:[ .][0-9]{2}){4}\b", national, Tail::None);
    add(Phone, r"\(0[1-9][0-9]{1,3}\) ?[0-9]{3,8}(?:[ -][0-9]{2,5}){0,2}\b", national, Tail::None);
    all
}

/// The mark that stands for a kind.
pub(super) const fn mark(kind: Sensitive) -> &'static str {
    match kind {
        Credential => "[credential removed]",
        Card => "[card number removed]",
        Iban => "[bank account removed]",
        Ssn => "[social security number removed]",
        Email => "[e-mail address removed]",
        Phone => "[phone number removed]",
    }
}

/// A kind in the words of a sentence.
pub(super) const fn words(kind: Sensitive) -> &'static str {
    match kind {
        Credential => "a credential",
        Card => "a card number",
        Iban => "a bank account number",
        Ssn => "a social security number",
        Email => "an e-mail address",
        Phone => "a phone number",
    }
}

/// The rules for these kinds. Each set is made once. Nothing where they cannot be made.
pub(super) fn rules(kinds: &BTreeSet<Sensitive>) -> Option<Arc<Rules>> {
    static MADE: [OnceLock<Option<Arc<Rules>>>; 1 << Sensitive::ALL.len()] =
        [const { OnceLock::new() }; 1 << Sensitive::ALL.len()];
    let wanted = Sensitive::ALL.iter().enumerate().filter(|(_, kind)| kinds.contains(kind));
    let place: usize = wanted.map(|(bit, _)| 1_usize << bit).sum();
    let made = MADE.get(place)?;
    made.get_or_init(|| {
        let patterns: Vec<Pattern> = patterns().into_iter().filter(|one| kinds.contains(&one.kind)).collect();
        let texts: Vec<String> = patterns.iter().map(|one| one.text.clone()).collect();
        let judge = move |place: usize, before: &str, text: &str| {
            let pattern = patterns.get(place)?;
            let span = (pattern.check)(before, text)?;
            // Cut off inside of the match, nothing follows it.
            let tail = if span.end == text.len() { pattern.tail } else { Tail::None };
            Some(Hit { span, mark: mark(pattern.kind), kind: Some(pattern.kind), tail })
        };
        Rules::new(&texts, false, Box::new(judge))
    })
    .clone()
}

/// Whether the value of a field of this name is a credential: `"password": "…"`.
pub(super) fn is_credential_field(name: &str, value: &str) -> bool {
    static NAME: OnceLock<Option<regex::Regex>> = OnceLock::new();
    let pattern = NAME.get_or_init(|| regex::Regex::new(&format!("(?:{NAMES})$")).ok());
    pattern.as_ref().is_none_or(|pattern| pattern.is_match(name)) && is_secret(value)
}

fn whole(_: &str, text: &str) -> Option<Range<usize>> {
    Some(0..text.len())
}

/// Something that nobody writes by chance: it has a figure, and its letters are mixed.
fn random(_: &str, text: &str) -> Option<Range<usize>> {
    (text.bytes().any(|byte| byte.is_ascii_digit()) && entropy(text) >= 3.0).then_some(0..text.len())
}

fn after_services(_: &str, text: &str) -> Option<Range<usize>> {
    Some(text.find("services/")? + "services/".len()..text.len())
}

fn after_space(_: &str, text: &str) -> Option<Range<usize>> {
    Some(text.rfind(|letter: char| letter.is_ascii_whitespace())? + 1..text.len())
}

fn random_after_space(before: &str, text: &str) -> Option<Range<usize>> {
    let span = after_space(before, text)?;
    random("", &text[span.clone()]).map(|_| span)
}

fn user_info(_: &str, text: &str) -> Option<Range<usize>> {
    Some(text.find("://")? + 3..text.len() - 1)
}

/// Where the value begins behind `name = "`.
fn value_from(text: &str) -> Option<usize> {
    let sign = text.find([':', '='])?;
    let rest = text[sign..].trim_start_matches([':', '=', '>']).trim_start().trim_start_matches(['\\', '"', '\'']);
    Some(text.len() - rest.len())
}

fn assigned_in_quotes(_: &str, text: &str) -> Option<Range<usize>> {
    let span = value_from(text)?..text.len() - 1;
    is_secret(&text[span.clone()]).then_some(span)
}

fn assigned_plainly(_: &str, text: &str) -> Option<Range<usize>> {
    let span = value_from(text)?..text.len();
    is_secret(text[span.clone()].trim_end_matches(['.', ')', '}', ']'])).then_some(span)
}

/// Whether what is called a password looks like one, and not like a word about passwords or a place for one.
fn is_secret(value: &str) -> bool {
    let low = value.to_ascii_lowercase();
    let is_place = value.starts_with(['[', '<', '{', '$', '%', '*', '(', '•', '/'])
        || ["your", "xxx", "env.", "process.", "os.", "null", "none", "undefined", "example", "changeme", "secrets."]
            .iter()
            .any(|start| low.starts_with(start));
    let letters = value.chars().filter(|letter| letter.is_alphabetic()).count();
    let figures = value.bytes().filter(u8::is_ascii_digit).count();
    let signs = value.bytes().filter(|byte| byte.is_ascii_punctuation() && !b"-_.".contains(byte)).count();
    let is_mixed = value.chars().any(char::is_lowercase) && value.chars().any(char::is_uppercase);
    let is_one_word = !value.contains(' ');
    value.len() >= 6
        && !is_place
        && letters > 0
        && entropy(value) >= 2.0
        && (figures > 0
            || (signs > 0 && is_one_word)
            || (is_one_word && value.len() >= 16 && is_mixed && entropy(value) >= 3.5))
}

/// Bits in a letter, from how often each one stands there.
fn entropy(text: &str) -> f64 {
    let mut counts: HashMap<char, f64> = HashMap::new();
    text.chars().for_each(|letter| *counts.entry(letter).or_default() += 1.0);
    let all: f64 = counts.values().sum();
    counts.values().map(|count| -(count / all) * (count / all).log2()).sum()
}

fn figures(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}

/// Whether a number goes on to the left: it is then a part of an id, a version, an amount.
fn goes_on(before: &str) -> bool {
    let mut letters = before.chars().rev();
    match letters.next() {
        Some(letter) if letter.is_ascii_alphanumeric() || letter == '_' => true,
        Some('-' | '.' | ',' | ':' | '/') => letters.next().is_some_and(|letter| letter.is_ascii_digit()),
        _ => false,
    }
}

fn card(before: &str, text: &str) -> Option<Range<usize>> {
    let digits = figures(text);
    let begins = |count: usize| digits[..count].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (two, three, four) = (begins(2), begins(3), begins(4));
    let is_issued = match digits.len() {
        13 => two / 10 == 4 || matches!(two, 50 | 56..=58 | 67),
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
        15 => matches!(two, 34 | 37),
        16 => {
            two / 10 == 4
                || matches!(two, 35 | 36 | 38 | 39 | 50..=58 | 60 | 62 | 64 | 65 | 67)
                || (2221..=2720).contains(&four)
                || (2200..=2204).contains(&four)
        }
        17 | 18 => matches!(two, 50 | 56..=58 | 62 | 67),
        19 => two / 10 == 4 || matches!(two, 50 | 56..=58 | 60 | 62 | 64 | 65 | 67),
        _ => false,
    };
    (is_issued && !goes_on(before) && luhn(&digits)).then_some(0..text.len())
}

fn luhn(digits: &[u8]) -> bool {
    let double = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { double(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// How long an IBAN is in each country that has them.
const IBANS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

fn iban(_: &str, text: &str) -> Option<Range<usize>> {
    let plain: String =
        text.chars().filter(|letter| *letter != ' ').map(|letter| letter.to_ascii_uppercase()).collect();
    let has_length = IBANS.iter().any(|(country, length)| plain.starts_with(country) && plain.len() == *length);
    let rest = plain.chars().skip(4).chain(plain.chars().take(4)).fold(0_u32, |rest, letter| {
        let value = letter.to_digit(36).unwrap_or(0);
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    });
    (has_length && rest == 1).then_some(0..text.len())
}

fn ssn(before: &str, text: &str) -> Option<Range<usize>> {
    let digits = figures(text);
    let number =
        |range: Range<usize>| digits[range].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let area = number(0..3);
    let is_given = !matches!(area, 0 | 666 | 900..) && number(3..5) > 0 && number(5..9) > 0;
    let from = text.find(|letter: char| letter.is_ascii_digit())?;
    (is_given && (from > 0 || !goes_on(before))).then_some(from..text.len())
}

fn email(before: &str, text: &str) -> Option<Range<usize>> {
    let is_begun =
        before.chars().next_back().is_some_and(|letter| letter.is_ascii_alphanumeric() || "._%+-".contains(letter));
    (!is_begun).then_some(0..text.len())
}

fn phone(before: &str, text: &str) -> Option<Range<usize>> {
    let count = figures(text).len();
    ((8..=15).contains(&count) && !goes_on(before)).then_some(0..text.len())
}

fn national(before: &str, text: &str) -> Option<Range<usize>> {
    let count = figures(text).len();
    ((9..=12).contains(&count) && !goes_on(before)).then_some(0..text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrails::redact::Redactor;

    fn found(text: &str) -> Vec<Sensitive> {
        let mut found = BTreeSet::new();
        let _clean = Redactor::of(Sensitive::ALL.into()).text(text, &mut found);
        found.into_iter().collect()
    }

    fn shown(text: &str) -> String {
        Redactor::of(Sensitive::ALL.into()).text(text, &mut BTreeSet::new())
    }

    #[test]
    fn keys_are_known_by_their_shapes() {
        let jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
        for key in [
            "sk-abcDEF0123456789abcdEF01",
            "sk-ant-api03-AbCdEf0123456789_-xyz",
            "sk-proj-AbCdEf0123456789xyz",
            "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
            "xai-AbCdEf0123456789xyzAbCdEf",
            "pplx-AbCdEf0123456789xyzAbCd",
            "gsk_AbCdEf0123456789xyzAbCd",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_AbCdEf0123456789xyzAbCdEf01",
            "github_pat_11ABCDEFG0123456789_abcdefghij",
            "xoxb-123456789012-AbCdEfGhIjKl",
            "glpat-AbCdEf0123456789xyz",
            "sk_live_AbCdEf0123456789",
            "rk_live_AbCdEf0123456789",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "agentflow_Jx0yPq3mZ5nK7rT9vW1bC2dE4fG6hI8jL0oM1pN3qR5",
            jwt,
        ] {
            assert_eq!(shown(&format!("It is {key}, keep it.")), "It is [credential removed], keep it.", "{key}");
            assert_eq!(shown(key), "[credential removed]", "{key}");
        }
        let long = format!("sk-ant-api03-{}", "aB3dE6gH9".repeat(100));
        assert_eq!(shown(&long), "[credential removed]");
        let pair = "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(shown(pair), "[credential removed]");
    }

    #[test]
    fn a_private_key_goes_as_a_whole() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n".repeat(60);
        for kind in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
            let text =
                format!("Here:\n-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----\nDone.");
            assert_eq!(shown(&text), "Here:\n[credential removed]\nDone.");
            let inside = serde_json::to_string(&text).unwrap();
            assert_eq!(shown(&inside), "\"Here:\\n[credential removed]\\nDone.\"");
            let cut_short = &text[..text.len() - 60];
            assert_eq!(shown(cut_short), "Here:\n[credential removed]");
        }
        assert_eq!(shown("It begins with `-----BEGIN PRIVATE KEY-----`."), "It begins with `[credential removed]`.");
        assert_eq!(shown("-----BEGIN CERTIFICATE-----\nMIIB"), "-----BEGIN CERTIFICATE-----\nMIIB");
    }

    #[test]
    fn what_is_called_a_password_and_looks_like_one_goes() {
        for (text, left) in [
            ("password = hunter2!x", "password = [credential removed]"),
            ("DB_PASSWORD=\"s3cr3t w0rds\"", "DB_PASSWORD=\"[credential removed]\""),
            ("{\"api_key\": \"a1b2c3d4e5\"}", "{\"api_key\": \"[credential removed]\"}"),
            ("{\\\"password\\\": \\\"a1b2c3d4e5\\\"}", "{\\\"password\\\": \\\"[credential removed]\\\"}"),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer [credential removed]"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [credential removed]"),
            ("postgres://app:s3cret@db.example/x", "postgres://[credential removed]@db.example/x"),
            ("client_secret: pässw0rt,x", "client_secret: [credential removed],x"),
        ] {
            assert_eq!(shown(text), left);
        }
        for text in [
            "The password: it must have 8 characters.",
            "password: required",
            "api_key = ${API_KEY_1}",
            "password=<your password1>",
            "next_page_token: CAUQAA123",
            "max_tokens: 4096",
            "https://example.com:8080/path@2x",
            "Set the secret: ask Bob.",
            "risk-assessment-2024-framework-overview",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn personal_data_is_found_by_its_check_digits() {
        for (text, kind) in [
            ("4111111111111111", Card),
            ("4111 1111 1111 1111", Card),
            ("5500-0000-0000-0004", Card),
            ("378282246310005", Card),
            ("3782 822463 10005", Card),
            ("6011111111111117", Card),
            ("2223003122003222", Card),
            ("DE89370400440532013000", Iban),
            ("GB29 NWBK 6016 1331 9268 19", Iban),
            ("fr1420041010050500013m02606", Iban),
            ("123-45-6789", Ssn),
            ("SSN 123456789", Ssn),
            ("ada.lovelace+x@mail.example.co.uk", Email),
            ("+49 30 901820", Phone),
            ("+14155552671", Phone),
            ("+1 (415) 555-2671", Phone),
            ("(415) 555-2671", Phone),
            ("415-555-2671", Phone),
            ("030 90182099", Phone),
            ("0171/1234567", Phone),
            ("020 7946 0958", Phone),
            ("01 23 45 67 89", Phone),
        ] {
            assert_eq!(found(text), [kind], "{text}");
            let sentence = format!("Take {text}, please.");
            assert_eq!(found(&sentence), [kind], "{sentence}");
            assert!(!shown(&sentence).contains(&text[text.len() - 4..]), "{}", shown(&sentence));
        }
    }

    #[test]
    fn dates_ids_prices_and_versions_are_nobodys_data() {
        for text in [
            "2026-11-26T21:25:55.123456Z and 2026-11-26 21:25:55+00:00",
            "26.11.2026, 01-02-2026, 11/26/2026",
            "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "12345678-1234-4111-8111-111111111111",
            "1732650000, 1732650000123, 1732650000123456",
            "USD 1,234,567.89 and 4111.11",
            "v1.2.3-4567, 10.15.7.1234, 192.168.100.200",
            "order 114-1234567-1234567",
            "4111111111111112",
            "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567",
            "DE89370400440532013001",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "user@host, @name, a@b",
            "17*23 = 391 and 3.14159265358979",
            "run_01jd0000000000000000000000",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn every_set_of_kinds_has_its_rules() {
        for kind in Sensitive::ALL {
            assert!(rules(&BTreeSet::from([kind])).is_some());
        }
        assert!(rules(&BTreeSet::from(Sensitive::ALL)).is_some());
    }
}
