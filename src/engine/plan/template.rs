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

/// The names that expressions can begin with, wherever a template stands.
pub const NAMES: [&str; 10] =
    ["input", "steps", "context", "item", "index", "previous", "result", "response", "run", "now"];

/// The expressions of a template; none where it is not one.
#[must_use]
pub fn expressions(template: &str) -> Vec<&str> {
    let inside = |piece| match piece {
        Piece::Text(_) => None,
        Piece::Expression(inside) => Some(inside),
    };
    pieces(template).unwrap_or_default().into_iter().filter_map(inside).collect()
}

/// A template with these texts in the places of its expressions.
#[must_use]
pub fn joined(template: &str, filled: &[String]) -> String {
    let mut filled = filled.iter();
    let pieces = pieces(template).unwrap_or_else(|_| vec![Piece::Text(template)]);
    let texts = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Expression(_) => filled.next().map_or("", String::as_str),
    });
    texts.collect()
}

/// A template as it is written, in order: plain text, and expressions with their braces (`true`). What is not closed yet
/// is text.
#[must_use]
pub fn spans(template: &str) -> Vec<(bool, &str)> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find("{{") {
        let Some(close) = end_of_expression(&rest[open + 2..]) else { break };
        let end = open + 2 + close + 2;
        out.extend((open > 0).then(|| (false, &rest[..open])));
        out.push((true, &rest[open..end]));
        rest = &rest[end..];
    }
    out.extend((!rest.is_empty()).then_some((false, rest)));
    out
}

/// What the expressions of a template read, each once and in order: `input.customer.name`, and whether it begins with a
/// name that there is. A name that there is not is told only of an expression that is nothing else: it may be one that
/// the expression makes itself.
#[must_use]
pub fn variables(template: &str) -> Vec<(&str, bool)> {
    let mut found: Vec<(&str, bool)> = Vec::new();
    for (_, span) in spans(template).into_iter().filter(|(is_expression, _)| *is_expression) {
        let expression = span[2..span.len() - 2].trim();
        for path in paths(expression) {
            let root = path.split(['.', '?']).next().unwrap_or_default();
            let known = NAMES.contains(&root);
            if (known || path == expression) && !found.iter().any(|(other, _)| *other == path) {
                found.push((path, known));
            }
        }
    }
    found
}

/// The names with what is read of them by dots, outside of strings. What is called at the end of one is no part of it.
fn paths(expression: &str) -> Vec<&str> {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '$');
    let mut found = Vec::new();
    let mut letters = expression.char_indices().peekable();
    let mut before = ' ';
    while let Some((start, letter)) = letters.next() {
        if matches!(letter, '"' | '\'' | '`') {
            while let Some((_, inside)) = letters.next() {
                match inside {
                    '\\' => drop(letters.next()),
                    end if end == letter => break,
                    _ => {}
                }
            }
        } else if is_letter(letter) {
            let mut end = start + letter.len_utf8();
            while let Some((place, next)) = letters.next_if(|(place, next)| {
                is_letter(*next) || *next == '.' || (*next == '?' && expression[place + 1..].starts_with('.'))
            }) {
                end = place + next.len_utf8();
            }
            let mut path = expression[start..end].trim_end_matches(['.', '?']);
            if expression[end..].trim_start().starts_with('(') {
                path = path.rsplit_once('.').map_or("", |(of, _)| of.trim_end_matches('?'));
            }
            // A number is none, and what follows a dot is of something that has no name.
            let is_name = !letter.is_numeric() && before != '.' && !path.is_empty();
            found.extend(is_name.then_some(path));
        }
        before = letter;
    }
    found
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

/// Whether an expression of a template has a name as a word of its own: whoever fills it in must know it.
#[must_use]
pub fn mentions(template: &Value, name: &str) -> bool {
    has_code(template, &|code| has_word(code, name, &|_| false))
}

/// The same, but for the fields of something else: `input.context` does not read the context.
#[must_use]
pub fn reads(template: &Value, name: &str) -> bool {
    let is_field = |before: &str| before.ends_with('.') && !before.ends_with("..") && !before.ends_with("globalThis.");
    has_code(template, &|code| has_word(code, name, &is_field))
}

fn has_code(template: &Value, is_so: &dyn Fn(&str) -> bool) -> bool {
    let mut found = false;
    for_each_text(template, &mut |text| found |= expressions(text).into_iter().any(is_so));
    found
}

fn has_word(code: &str, word: &str, passes: &dyn Fn(&str) -> bool) -> bool {
    let part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '$');
    // An escaped letter in a name could hide it: then everything counts as mentioned.
    code.contains("\\u")
        || code.match_indices(word).any(|(place, _)| {
            let (before, after) = (&code[..place], &code[place + word.len()..]);
            !part(before.chars().next_back()) && !part(after.chars().next()) && !passes(before)
        })
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
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_mentioned_counts() {
        assert!(mentions(&json!({ "a": ["{{ context.key }}"] }), "context"));
        assert!(mentions(&json!("{{ cont\\u0065xt.key }}"), "context"));
        assert!(!mentions(&json!("context {{ contexts + mycontext }}"), "context"));
        assert!(mentions(&json!("{{ // All of it.\n context.list }}"), "context"));
        for read in ["[...context.list]", "1 + context.n", "globalThis.context", "// All.\n context.list"] {
            assert!(reads(&json!(format!("{{{{ {read} }}}}")), "context"), "{read}");
        }
        assert!(!reads(&json!("{{ input.context + input?.context + mycontext }}"), "context"));
    }

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
    fn what_was_filled_in_stands_in_the_places_of_the_expressions() {
        let template = "Be kind to {{ input.name }}, on {{ now }}.";
        assert_eq!(expressions(template), ["input.name", "now"]);
        assert_eq!(joined(template, &["Ada".to_owned(), "{{ x }}".to_owned()]), "Be kind to Ada, on {{ x }}.");
        assert_eq!(expressions("An {{ unclosed one"), [""; 0]);
        assert_eq!(joined("An {{ unclosed one", &[]), "An {{ unclosed one");
    }

    #[test]
    fn the_variables_of_a_template_are_told_once_and_unknown_names_as_such() {
        let template = "{{ input.a.b }} {{ steps.fetch.output?.name + ' input.no ' + input.a.b }} {{ custmer.name }} \
                        {{ input.list.map(x => x.y).join(', ') }} {{ Math.max(index, 1) }}";
        assert_eq!(
            variables(template),
            [
                ("input.a.b", true),
                ("steps.fetch.output?.name", true),
                ("custmer.name", false),
                ("input.list", true),
                ("index", true),
            ]
        );
    }

    proptest! {
        #[test]
        fn spans_are_the_template_and_any_text_has_variables(template in "(\\{\\{|\\}\\}|[a-z.?'\"(é ]|.){0,60}") {
            let whole: String = spans(&template).into_iter().map(|(_, span)| span).collect();
            prop_assert_eq!(&whole, &template);
            drop(variables(&template));
        }
    }

    #[test]
    fn the_steps_that_an_expression_reads_are_found() {
        let read = steps_read("steps.a.output + steps?.b_2.output + steps['c'].output + mysteps.d + x.steps.e");
        assert_eq!(read.into_iter().collect::<Vec<_>>(), ["a", "b_2", "c"]);
    }
}
