//! The address of a REST tool: scheme, host and port stand there as they are; path and query may have expressions in
//! them. What an expression gives becomes a piece of one path segment or of one query value, and never anything else.

use url::Url;

use crate::engine::plan::template::{self, Piece};

/// A piece of a path segment or of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// The place of an expression's value among all of them.
    Value(usize),
}

/// The template of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// Scheme, host and port.
    origin: &'a str,
    segments: Vec<Vec<Part<'a>>>,
    query: Option<Vec<Part<'a>>>,
    expressions: Vec<&'a str>,
}

impl<'a> Address<'a> {
    /// Reads the template of an address. The error is a sentence.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let text = text.trim();
        let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
        let scheme = scheme.ok_or("An address begins with https:// or http://.")?;
        let end = text[scheme.len()..].find(['/', '?', '#', '\\']).map_or(text.len(), |place| scheme.len() + place);
        let (origin, rest) = text.split_at(end);
        if origin.contains('{') || origin.contains('}') {
            return Err("Expressions may stand in the path and the query alone, not in the host or port.".to_owned());
        }
        if origin.contains('@') {
            return Err("An address here has no user name or password. Use a credential.".to_owned());
        }
        if origin.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
            return Err("An address has no spaces, line ends or backslashes.".to_owned());
        }
        let mut address = Self { origin, segments: vec![Vec::new()], query: None, expressions: Vec::new() };
        for piece in template::pieces(rest)? {
            match piece {
                Piece::Expression(code) => {
                    let value = Part::Value(address.expressions.len());
                    address.expressions.push(code);
                    address.here().push(value);
                }
                Piece::Text(text) => address.text(text)?,
            }
        }
        // The first one is what stands before the first slash: nothing.
        if address.segments.len() > 1 {
            address.segments.remove(0);
        }
        let sample = vec!["x".to_owned(); address.expressions.len()];
        address.fill(&sample)?;
        Ok(address)
    }

    /// The expressions, in order.
    pub fn expressions(&self) -> &[&'a str] {
        &self.expressions
    }

    /// The host that every call goes to.
    pub fn host(&self) -> String {
        Url::parse(self.origin).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The address with the expressions' values in their places. The error is a sentence.
    pub fn fill(&self, values: &[String]) -> Result<Url, String> {
        let no_address = || "This is no address that can be called.".to_owned();
        let mut text = self.origin.to_owned();
        for segment in &self.segments {
            let filled = joined(segment, values);
            let from_outside = segment.iter().any(|part| matches!(part, Part::Value(_)));
            if from_outside && (filled.is_empty() || is_dots(&filled)) {
                return Err("A part of the path came out empty, or as dots. It would lead to another path.".to_owned());
            }
            text.push('/');
            text.push_str(&filled);
        }
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(&joined(query, values));
        }
        let filled = Url::parse(&text).map_err(|_| no_address())?;
        let fixed = Url::parse(self.origin).map_err(|_| no_address())?;
        let same = filled.origin() == fixed.origin() && filled.fragment().is_none();
        if same { Ok(filled) } else { Err(no_address()) }
    }

    fn here(&mut self) -> &mut Vec<Part<'a>> {
        if self.segments.is_empty() {
            self.segments.push(Vec::new());
        }
        let last = self.segments.len() - 1;
        match &mut self.query {
            Some(query) => query,
            None => &mut self.segments[last],
        }
    }

    fn text(&mut self, text: &'a str) -> Result<(), String> {
        if text.contains('#') {
            return Err("An address here has no part behind a #.".to_owned());
        }
        if text.contains(|letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\') {
            return Err("An address has no spaces, line ends or backslashes.".to_owned());
        }
        let (path, query) = match (&self.query, text.split_once('?')) {
            (Some(_), _) => ("", Some(text)),
            (None, Some((path, query))) => (path, Some(query)),
            (None, None) => (text, None),
        };
        for (place, piece) in path.split('/').enumerate() {
            if place > 0 {
                self.segments.push(Vec::new());
            }
            if !piece.is_empty() {
                self.here().push(Part::Text(piece));
            }
        }
        if let Some(query) = query {
            self.query.get_or_insert_default().push(Part::Text(query));
        }
        Ok(())
    }
}

fn joined(parts: &[Part<'_>], values: &[String]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => (*text).to_owned(),
            Part::Value(place) => encoded(values.get(*place).map(String::as_str).unwrap_or_default()),
        })
        .collect()
}

/// A text with everything but letters, digits and `-._~` percent-encoded: nothing in it has a meaning of its own.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Whether a segment leads upwards or nowhere, as the URL standard reads it.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(template: &str, values: &[&str]) -> Result<String, String> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Address::parse(template)?.fill(&values).map(String::from)
    }

    #[test]
    fn values_are_encoded_where_they_stand() {
        for (template, values, wanted) in [
            ("https://api.example.com", &[][..], "https://api.example.com/"),
            ("https://api.example.com/", &[], "https://api.example.com/"),
            ("https://api.example.com/v1/c/{{ input.id }}", &["a b"], "https://api.example.com/v1/c/a%20b"),
            (
                "https://api.example.com/c/{{ input.id }}/orders",
                &["1/../2"],
                "https://api.example.com/c/1%2F..%2F2/orders",
            ),
            (
                "https://api.example.com/c/{{ a ? '1' : '2' }}?q={{ b }}&z=1",
                &["x?y#z", "1&admin=true"],
                "https://api.example.com/c/x%3Fy%23z?q=1%26admin%3Dtrue&z=1",
            ),
            ("https://api.example.com/c-{{ a }}{{ b }}.json", &["1", "2"], "https://api.example.com/c-12.json"),
            ("http://localhost:8080/a//b/", &[], "http://localhost:8080/a//b/"),
            ("https://api.example.com?q={{ a }}", &["ü"], "https://api.example.com/?q=%C3%BC"),
        ] {
            assert_eq!(fill(template, values).as_deref(), Ok(wanted), "{template}");
        }
    }

    #[test]
    fn a_value_that_would_lead_elsewhere_is_refused() {
        for value in ["", ".", ".."] {
            assert!(fill("https://api.example.com/c/{{ a }}/x", &[value]).is_err(), "{value}");
        }
        assert!(fill("https://api.example.com/c/{{ a }}{{ b }}", &[".", "."]).is_err());
        assert!(fill("https://api.example.com/c/%2e{{ a }}", &["."]).is_err());
    }

    #[test]
    fn a_template_that_leaves_the_host_open_is_refused() {
        for template in [
            "",
            "example.com",
            "ftp://example.com/",
            "{{ input.url }}",
            "https://{{ input.host }}/x",
            "https://a.{{ input.host }}/x",
            "https://example.com:{{ input.port }}/",
            "https://example.com{{ input.rest }}",
            "https://user:{{ input.p }}@example.com/",
            "https://user@example.com/",
            "{{ 'https' }}://example.com/",
            "https://example.com\\{{ a }}",
            "https://example.com/a b",
            "https://example.com/#{{ a }}",
            "https://example.com/{{ a",
            "https:///{{ a }}",
        ] {
            assert!(Address::parse(template).is_err(), "{template}");
        }
        assert_eq!(Address::parse("https://API.example.com:8443/{{ a }}").unwrap().host(), "api.example.com");
    }

    proptest! {
        /// Whatever an argument is: the same host, as many segments, the same query, and nothing behind a #.
        #[test]
        fn no_value_changes_anything_but_its_own_place(path in ".*", query in ".*") {
            let address = Address::parse("https://api.example.com:8443/v1/{{ a }}/end?q={{ b }}&z=1").unwrap();
            match address.fill(&[path.clone(), query.clone()]) {
                Err(_) => prop_assert!(matches!(path.as_str(), "" | "." | "..")),
                Ok(url) => {
                    prop_assert_eq!(url.host_str(), Some("api.example.com"));
                    prop_assert_eq!(url.port(), Some(8443));
                    prop_assert_eq!(url.fragment(), None);
                    let segments: Vec<_> = url.path_segments().unwrap().collect();
                    prop_assert_eq!(segments.len(), 3);
                    prop_assert_eq!((segments[0], segments[2]), ("v1", "end"));
                    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
                    prop_assert_eq!(pairs, vec![("q".to_owned(), query), ("z".to_owned(), "1".to_owned())]);
                }
            }
        }
    }
}
