//! Blots out of texts and JSON what is not to be seen, and puts a readable mark in its place.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    active, detect,
    known::Values,
    machine::{Pass, UNREADABLE},
    stream::Stream,
};
use crate::engine::plan::Sensitive;

/// What is blotted out. Known values first, so that no pattern can cut one in two.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    known: Values,
    kinds: BTreeSet<Sensitive>,
    active_content: bool,
}

impl Redactor {
    /// What looks like one of these kinds.
    #[must_use]
    pub fn of(kinds: BTreeSet<Sensitive>) -> Self {
        Self { kinds, ..Self::default() }
    }

    /// Known values alone.
    #[must_use]
    pub fn knowing(known: Values) -> Self {
        Self { known, ..Self::default() }
    }

    /// These known values, too.
    #[must_use]
    pub fn and_knowing(self, known: Values) -> Self {
        Self { known, ..self }
    }

    /// Makes text of what a page would load or run by itself, too.
    #[must_use]
    pub fn with_active_content_off(self) -> Self {
        Self { active_content: true, ..self }
    }

    /// Nothing where the rules cannot be made.
    pub(super) fn passes(&self) -> Option<Vec<Pass>> {
        let mut passes = Vec::new();
        if self.known.is_broken() {
            return None;
        }
        passes.extend(self.known.rules().map(Pass::new));
        if !self.kinds.is_empty() {
            passes.push(Pass::new(&detect::rules(&self.kinds)?));
        }
        if self.active_content {
            passes.push(Pass::new(&active::rules()?));
        }
        Some(passes)
    }

    /// For a text that comes in pieces.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self)
    }

    /// A text without what is not to be seen. Adds the kinds of it.
    #[must_use]
    pub fn text(&self, text: &str, found: &mut BTreeSet<Sensitive>) -> String {
        let mut stream = self.stream();
        let clean = stream.whole(text);
        found.extend(stream.found());
        clean
    }

    /// Blots it out of all texts in a value, and of numbers that are one. Of the names of fields, only known values: what
    /// reads a result relies on its names.
    pub fn json(&self, value: &mut Value, found: &mut BTreeSet<Sensitive>) {
        let names = (self.known.rules().is_some() || self.known.is_broken())
            .then(|| Self::knowing(self.known.clone()).stream());
        let mut reader =
            Reader { texts: self.stream(), names, named: self.kinds.contains(&Sensitive::Credential), found };
        reader.value(value);
        let Reader { texts, names, .. } = reader;
        let all = texts.found().into_iter().chain(names.iter().flat_map(Stream::found));
        found.extend(all);
    }
}

struct Reader<'f> {
    texts: Stream,
    names: Option<Stream>,
    /// Whether a text counts as a credential by the name of its field.
    named: bool,
    found: &'f mut BTreeSet<Sensitive>,
}

impl Reader<'_> {
    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.texts.whole(text),
            // Shorter ones are no card, account or telephone number.
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() > 8 {
                    let clean = self.texts.whole(&text);
                    if clean != text {
                        *value = Value::String(clean);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => {
                if let Some(names) = &mut self.names
                    && fields.keys().any(|name| names.whole(name) != *name)
                {
                    let renamed = std::mem::take(fields).into_iter().map(|(name, field)| (names.whole(&name), field));
                    *fields = renamed.collect::<Map<_, _>>();
                }
                for (name, field) in fields.iter_mut() {
                    match field {
                        Value::String(text) if self.named && detect::is_credential_field(name, text) => {
                            detect::mark(Sensitive::Credential).clone_into(text);
                            self.found.insert(Sensitive::Credential);
                        }
                        other => self.value(other),
                    }
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// What stands for a text when nothing of it may be shown.
pub(super) const fn withheld() -> &'static str {
    UNREADABLE
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_inside_of_a_value_are_read_and_the_rest_stays() {
        let redactor = Redactor::of(Sensitive::ALL.into());
        let mut found = BTreeSet::new();
        let mut value = json!({
            "to": ["ada@example.com", 7, null, true],
            "card": 4_111_111_111_111_111_u64,
            "nested": { "password": "h4nter2-x", "next_token": "abc123" },
            "json": "{\"password\": \"h4nter2-x\", \"n\": 1}",
            "ada@example.com": 1.5,
        });
        redactor.json(&mut value, &mut found);
        assert_eq!(
            value,
            json!({
                "to": ["[e-mail address removed]", 7, null, true],
                "card": "[card number removed]",
                "nested": { "password": "[credential removed]", "next_token": "abc123" },
                "json": "{\"password\": \"[credential removed]\", \"n\": 1}",
                "ada@example.com": 1.5,
            })
        );
        assert_eq!(found, [Sensitive::Credential, Sensitive::Card, Sensitive::Email].into());
    }

    #[test]
    fn a_known_value_goes_from_names_too() {
        let redactor = Redactor::knowing(Values::new(&[SecretString::from("0pen-sesame")]));
        let mut found = BTreeSet::new();
        let mut value = json!({ "x-0pen-sesame": "0pen-sesame ada@example.com" });
        redactor.json(&mut value, &mut found);
        assert_eq!(value, json!({ "x-[credential removed]": "[credential removed] ada@example.com" }));
        assert_eq!(found, [Sensitive::Credential].into());
    }

    #[test]
    fn a_clean_text_stays_as_it_is_and_cleaning_twice_changes_nothing() {
        let redactor = Redactor::of(Sensitive::ALL.into()).with_active_content_off();
        for text in ["", "Nothing to hide, 7 × 6 = 42 — «done» 👍.", "ada@example.com ![x](y) 4111 1111 1111 1111"]
        {
            let once = redactor.text(text, &mut BTreeSet::new());
            assert_eq!(redactor.text(&once, &mut BTreeSet::new()), once);
        }
    }
}
