//! Templates: texts with `{{ expression }}` in them, and values with such texts anywhere inside. This file finds the
//! expressions and what they read; evaluating them is an effect and happens on the server only.

use std::collections::BTreeSet;

use serde_json::Value;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// The inside of `{{ … }}`, trimmed.
    Expression(&'a str),
}

/// Splits a template into its pieces. An opening `{{` without its end is an error, told as a sentence.
///
/// # Errors
/// When a `{{` is not closed or an expression is empty.
pub fn pieces(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            out.push(Piece::Text(&rest[..open]));
        }
        let inside = &rest[open + 2..];
        let close = end_of_expression(inside)
            .ok_or_else(|| "An expression begins with {{ and has no }} after it.".to_owned())?;
        let expression = inside[..close].trim();
        if expression.is_empty() {
            return Err("The expression between {{ and }} is empty.".to_owned());
        }
        out.push(Piece::Expression(expression));
        rest = &inside[close + 2..];
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest));
    }
    Ok(out)
}

/// Where the `}}` of an expression is: one that does not close braces opened inside, nor stand in a string.
fn end_of_expression(inside: &str) -> Option<usize> {
    let bytes = inside.as_bytes();
    let mut depth = 0_u32;
    let mut quote: Option<u8> = None;
    let mut place = 0;
    while place < bytes.len() {
        let byte = bytes[place];
        match (quote, byte) {
            (Some(_), b'\\') => place += 1,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(place + 1) == Some(&b'}') => return Some(place),
            (None, _) => {}
        }
        place += 1;
    }
    None
}

/// The expression of a template that is exactly one, which keeps its JSON type.
#[must_use]
pub fn whole_expression(template: &str) -> Option<&str> {
    let trimmed = template.trim();
    match pieces(trimmed).ok()?.as_slice() {
        [Piece::Expression(expression)] => Some(expression),
        _ => None,
    }
}

/// The value of `input.customer.name`, and of nothing more complicated than that: what can be told before a run begins.
#[must_use]
pub fn input_at<'a>(expression: &str, input: &'a Value) -> Option<&'a Value> {
    expression.strip_prefix("input.")?.split('.').try_fold(input, |value, key| value.get(key.trim()))
}

/// Whether [`input_at`] understands it.
#[must_use]
pub fn is_input_path(expression: &str) -> bool {
    let is_name = |key: &str| {
        !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$'))
    };
    expression.strip_prefix("input.").is_some_and(|path| path.split('.').all(|key| is_name(key.trim())))
}

/// Calls `visit` with each text inside of a value.
pub fn for_each_text<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| for_each_text(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| for_each_text(field, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a value has no expression anywhere inside: filled in, it is itself.
#[must_use]
pub fn is_constant(value: &Value) -> bool {
    let mut constant = true;
    for_each_text(value, &mut |text| constant &= !text.contains("{{"));
    constant
}

/// The node keys that an expression reads as `steps.KEY` (or `steps["KEY"]`).
#[must_use]
pub fn steps_read(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(place) = rest.find("steps") {
        let before = rest[..place].chars().next_back();
        rest = &rest[place + "steps".len()..];
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '.' || letter == '$') {
            continue;
        }
        let after = rest.trim_start().trim_start_matches('?');
        let key = if let Some(name) = after.strip_prefix('.') {
            name.trim_start().split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next()
        } else if let Some(index) = after.strip_prefix('[') {
            let index = index.trim_start();
            index
                .chars()
                .next()
                .filter(|open| *open == '"' || *open == '\'')
                .and_then(|open| index[1..].split(open).next())
        } else {
            None
        };
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            found.insert(key.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_splits_into_text_and_expressions() {
        assert_eq!(
            pieces("Hello {{ input.name }}!").as_deref(),
            Ok([Piece::Text("Hello "), Piece::Expression("input.name"), Piece::Text("!")].as_slice()),
        );
        assert_eq!(whole_expression(" {{ ({a: {b: 1}}).a }} "), Some("({a: {b: 1}}).a"));
        assert_eq!(whole_expression("{{ '}}' }}"), Some("'}}'"));
        assert_eq!(whole_expression("{{ a }}{{ b }}"), None);
        assert!(pieces("{{ open").is_err());
        assert!(pieces("{{  }}").is_err());
    }

    #[test]
    fn the_steps_that_an_expression_reads_are_found() {
        let read = steps_read("steps.a.output + steps?.b_2.output + steps['c'].output + mysteps.d + x.steps.e");
        assert_eq!(read.into_iter().collect::<Vec<_>>(), ["a", "b_2", "c"]);
    }
}
