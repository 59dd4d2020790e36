//! Numbers and durations as people read them, the same on the server and in the browser (`ui/design.md` §2.17).

/// Thousands apart: `18,204`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `820 ms`, `14.2 s`, `3 min 05 s`, `2 h 14 min`, with no-break spaces.
#[must_use]
pub fn duration(milliseconds: i64) -> String {
    let ms = milliseconds.max(0);
    match ms {
        0..1_000 => format!("{ms}\u{a0}ms"),
        1_000..60_000 => format!("{}.{}\u{a0}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}\u{a0}min\u{a0}{:02}\u{a0}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..172_800_000 => format!("{}\u{a0}h\u{a0}{:02}\u{a0}min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{}\u{a0}days", ms / 86_400_000),
    }
}

/// A text made fit for an address or key: lower-case letters, digits and single hyphens, at most `longest` characters.
#[must_use]
pub fn slug(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() {
            out.push(letter);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= longest {
            break;
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// The first `most` characters, with an ellipsis where something was cut.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let mut letters = text.char_indices();
    match letters.nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Whether a text could be an e-mail address. Only a message that arrives can prove one, so this catches slips alone.
#[must_use]
pub fn is_email(text: &str) -> bool {
    text.len() <= 254
        && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control())
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && domain.len() >= 3
                && domain.contains('.')
                && !domain.starts_with(['.', '-'])
                && !domain.ends_with(['.', '-'])
        })
}

/// Replaces the character NUL, which PostgreSQL stores nowhere, in a text.
#[must_use]
pub fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// What to say at a field that [`has_nul`].
pub const NUL_REFUSED: &str = "The text contains the character U+0000, which cannot be kept. Remove it.";

/// Whether a text or key of a value contains the character NUL, which PostgreSQL stores nowhere.
#[must_use]
pub fn has_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(key, field)| key.contains('\0') || has_nul(field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Replaces the character NUL, which PostgreSQL stores nowhere, in all texts and keys of a value.
pub fn clean(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => *text = without_nul(std::mem::take(text)),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                let taken = std::mem::take(fields);
                fields.extend(taken.into_iter().map(|(key, field)| (without_nul(key), field)));
            }
            fields.values_mut().for_each(clean);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text is the name of a host: labels of small letters, digits and inner hyphens. An address in digits is none.
#[must_use]
pub fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// A text whose letters that nobody sees, or that turn others around, are shown by their numbers: what a person decides
/// about must not look like something else. Joiners and selectors stay, since scripts and emoji are made with them.
#[must_use]
pub fn visible(text: &str) -> String {
    let is_hidden = |letter: char| {
        matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_hidden(letter) {
            true => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}"))),
            false => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_durations_and_slugs() {
        assert_eq!(grouped(18_204), "18,204");
        assert_eq!(grouped(999), "999");
        assert_eq!(duration(820), "820\u{a0}ms");
        assert_eq!(duration(14_230), "14.2\u{a0}s");
        assert_eq!(duration(185_000), "3\u{a0}min\u{a0}05\u{a0}s");
        assert_eq!(duration(8_040_000), "2\u{a0}h\u{a0}14\u{a0}min");
        assert_eq!(slug("Acme & Söhne, Inc.", 40), "acme-s-hne-inc");
        assert_eq!(shortened("größer", 3), "grö…");
        let mut value = serde_json::json!({ "a\0": ["b\0c", 1] });
        assert!(has_nul(&value) && has_nul(&serde_json::json!([{ "a\0": 1 }])));
        clean(&mut value);
        assert_eq!(value, serde_json::json!({ "a\u{fffd}": ["b\u{fffd}c", 1] }));
        assert!(!has_nul(&value));
    }

    #[test]
    fn names_of_hosts() {
        for good in ["example.com", "api.eu-west.example.com", "xn--bcher-kva.example", "intranet"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", ".", "example..com", "-a.com", "a-.com", "Example.com", "a b.com", "10.0.0.1", "a/b", "a:80"] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
