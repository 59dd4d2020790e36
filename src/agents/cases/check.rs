//! Whether an answer is as it must be. Expressions and schemas come from people: neither can take long.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{CaseForm, Check, MAX_EXPECTED, MAX_PROMPT};
use crate::{
    kernel::{
        FieldError,
        text::{self, shortened},
    },
    schema,
};

/// The most bytes that an expression may need once it is compiled.
const MAX_PATTERN: usize = 1 << 20;
/// How much of an answer a test case made of it expects at first, in characters.
const KEPT_CHARS: usize = 200;

impl Check {
    /// Whether an answer is as it must be. The error is a sentence that says why it is not.
    ///
    /// # Errors
    /// When it is not.
    pub fn holds(&self, output: &Value) -> Result<(), String> {
        match self {
            Self::Contains { text } => {
                let there = spoken(output).to_lowercase().contains(&text.to_lowercase());
                there.then_some(()).ok_or_else(|| format!("“{}” is not in the answer.", shortened(text, 100)))
            }
            Self::Equals { value } => {
                let same = match (value, output) {
                    (Value::String(wanted), Value::String(text)) => wanted.trim() == text.trim(),
                    // A model that answers in text answers with JSON written out.
                    (wanted, Value::String(text)) => read(text).as_ref() == Some(wanted),
                    (wanted, value) => wanted == value,
                };
                let wanted = || shortened(&spoken(value), 100);
                same.then_some(()).ok_or_else(|| format!("The answer is not “{}”.", wanted()))
            }
            Self::Matches { pattern } => {
                let fits = compiled(pattern)?.is_match(&spoken(output));
                fits.then_some(()).ok_or_else(|| format!("No part of the answer fits {}.", shortened(pattern, 100)))
            }
            Self::Schema { schema } => {
                let read = match output {
                    Value::String(text) => read(text),
                    _ => None,
                };
                let faults = schema::check(schema, read.as_ref().unwrap_or(output));
                if faults.is_empty() { Ok(()) } else { Err(schema::in_words(&faults)) }
            }
        }
    }
}

impl CaseForm {
    /// The form of a test case made of a task and its answer: JSON is to be the same, text is to begin so.
    pub(crate) fn of_answer(prompt: &str, answer: Option<&Value>) -> Self {
        let value = match answer {
            Some(Value::String(text)) => read(text).filter(|value| value.is_object() || value.is_array()),
            other => other.filter(|value| !value.is_null()).cloned(),
        };
        let check = match (value, answer) {
            (Some(value), _) => Some(Check::Equals { value }),
            (None, Some(Value::String(text))) => Some(Check::Contains { text: beginning(text.trim()).to_owned() }),
            (None, _) => None,
        };
        // What is too long to be kept is left to whoever looks at the form.
        let fits = |check: &Check| check.expected().chars().count() <= MAX_EXPECTED;
        let check = check.filter(fits).unwrap_or(Check::Contains { text: String::new() });
        Self {
            name: shortened(prompt.lines().next().unwrap_or_default().trim(), 79),
            prompt: prompt.to_owned(),
            check: check.kind().to_owned(),
            expected: check.expected(),
        }
    }

    /// The check of the form.
    ///
    /// # Errors
    /// The entries at fault.
    pub(super) fn read(&self) -> Result<Check, Vec<FieldError>> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
        let name = self.name.trim().chars().count();
        if name == 0 {
            fault("name", "Give the test case a name.".to_owned());
        } else if name > 80 {
            fault("name", format!("The name has {name} characters; 80 are the most."));
        }
        if self.prompt.trim().is_empty() {
            fault("prompt", "Write the task that the agent gets.".to_owned());
        } else if self.prompt.chars().count() > MAX_PROMPT {
            fault("prompt", format!("{} characters are the most.", text::grouped(MAX_PROMPT as u64)));
        }
        let mut check = None;
        if self.expected.trim().is_empty() {
            fault("expected", "Write what the answer must be like.".to_owned());
        } else if self.expected.chars().count() > MAX_EXPECTED {
            fault("expected", format!("{} characters are the most.", text::grouped(MAX_EXPECTED as u64)));
        } else {
            match self.check() {
                Ok(found) => check = found,
                Err(message) => fault("expected", message),
            }
            if check.is_none() && !Check::KINDS.iter().any(|(word, _)| *word == self.check) {
                fault("check", "Choose how the answer is checked.".to_owned());
            }
        }
        for (field, text) in [("name", &self.name), ("prompt", &self.prompt), ("expected", &self.expected)] {
            if text.contains('\0') {
                fault(field, text::NUL_REFUSED.to_owned());
            }
        }
        check.filter(|_| faults.is_empty()).ok_or(faults)
    }

    fn check(&self) -> Result<Option<Check>, String> {
        let expected = self.expected.replace("\r\n", "\n");
        Ok(Some(match self.check.as_str() {
            "contains" => Check::Contains { text: expected.trim().to_owned() },
            // What reads as JSON is meant as JSON; a text that happens to be a number is the same in an answer.
            "equals" => Check::Equals { value: read(&expected).unwrap_or_else(|| expected.trim().into()) },
            "matches" => {
                compiled(expected.trim())?;
                Check::Matches { pattern: expected.trim().to_owned() }
            }
            "schema" => {
                let schema = serde_json::from_str(&expected).map_err(|error| {
                    format!("This is not valid JSON (line {}, column {}).", error.line(), error.column())
                })?;
                schema::check_schema(&schema)?;
                Check::Schema { schema }
            }
            _ => return Ok(None),
        }))
    }
}

/// The first words of a text, as they stand there.
fn beginning(text: &str) -> &str {
    let Some((end, _)) = text.char_indices().nth(KEPT_CHARS) else { return text };
    let cut = &text[..end];
    cut.rfind(char::is_whitespace).map_or(cut, |space| cut[..space].trim_end())
}

fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok()
}

/// An answer as text.
fn spoken(output: &Value) -> String {
    match output {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The library's expressions take time in proportion to the text, whatever they are.
fn compiled(pattern: &str) -> Result<Regex, String> {
    let made = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
    made.map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("This is not a regular expression: {}.", shortened(&last, 200))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(kind: &str, expected: &str) -> Check {
        let form =
            CaseForm { name: "A case".into(), prompt: "Say it.".into(), check: kind.into(), expected: expected.into() };
        form.read().expect("a check")
    }

    #[test]
    fn an_answer_is_held_against_what_is_expected() {
        let good = [
            ("contains", "thank you", json!("We THANK YOU for writing.")),
            ("contains", "total", json!({ "total": 3 })),
            ("equals", "42", json!(" 42\n")),
            ("equals", "42", json!(42)),
            ("equals", "{ \"a\": [1] }", json!({ "a": [1] })),
            ("equals", "{ \"a\": [1] }", json!("{\"a\":[1]}")),
            ("equals", "Yes.", json!("Yes.")),
            ("matches", r"INV-\d{4}", json!("It is INV-2041.")),
            ("schema", r#"{ "type": "object", "required": ["a"] }"#, json!({ "a": 1 })),
            ("schema", r#"{ "type": "object", "required": ["a"] }"#, json!("{ \"a\": 1 }")),
            ("schema", r#"{ "type": "string" }"#, json!("not JSON")),
        ];
        for (kind, expected, output) in good {
            assert_eq!(check(kind, expected).holds(&output), Ok(()), "{kind} {expected} {output}");
        }
        let bad = [
            ("contains", "thank you", json!("No."), "“thank you” is not in the answer."),
            ("equals", "42", json!("43"), "The answer is not “42”."),
            ("matches", "^a+$", json!("b"), "No part of the answer fits ^a+$."),
            ("schema", r#"{ "type": "object", "required": ["a"] }"#, json!({}), "a: This is needed and is missing."),
        ];
        for (kind, expected, output, why) in bad {
            assert_eq!(check(kind, expected).holds(&output), Err(why.to_owned()), "{kind} {expected} {output}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_at_its_entry() {
        let form = |check: &str, expected: &str| CaseForm {
            name: String::new(),
            prompt: " ".into(),
            check: check.into(),
            expected: expected.into(),
        };
        for (kind, expected, field) in [
            ("contains", "", "expected"),
            ("matches", "(", "expected"),
            ("matches", r"(\w{1000}){1000}", "expected"),
            ("schema", "{", "expected"),
            ("schema", r#"{ "type": "strange" }"#, "expected"),
            ("judge", "x", "check"),
        ] {
            let faults = form(kind, expected).read().expect_err("faults");
            let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
            assert_eq!(fields, ["name", "prompt", field], "{kind} {expected}");
        }
    }

    #[test]
    fn a_check_survives_its_form_and_its_row() {
        for (kind, expected) in [
            ("contains", "thanks"),
            ("equals", "thanks"),
            ("equals", "3"),
            ("matches", "^a"),
            ("schema", "{\"type\":\"object\"}"),
        ] {
            let made = check(kind, expected);
            assert_eq!(check(made.kind(), &made.expected()), made);
            let row = serde_json::to_value(&made).expect("json");
            assert_eq!(serde_json::from_value::<Check>(row).expect("a check"), made);
        }
    }

    #[test]
    fn a_case_is_made_of_what_was_said() {
        let form = CaseForm::of_answer("What is 6 * 7?\nBe brief.", Some(&json!("It is 42. ")));
        assert_eq!((form.name.as_str(), form.prompt.as_str()), ("What is 6 * 7?", "What is 6 * 7?\nBe brief."));
        assert_eq!((form.check.as_str(), form.expected.as_str()), ("contains", "It is 42."));
        // JSON, also when it is written out as text, is to be the same.
        for answer in [json!({ "a": [1] }), json!("{\"a\": [1]}"), json!(42)] {
            let form = CaseForm::of_answer("x", Some(&answer));
            assert_eq!(form.check, "equals", "{answer}");
            assert_eq!(form.read().expect("a check").holds(&answer), Ok(()), "{answer}");
        }
        let long = json!({ "text": "x".repeat(MAX_EXPECTED) });
        for answer in [None, Some(&Value::Null), Some(&long)] {
            let form = CaseForm::of_answer(&"x".repeat(100), answer);
            assert_eq!((form.check.as_str(), form.expected.as_str()), ("contains", ""));
            assert_eq!(form.name.chars().count(), 80);
        }
    }

    proptest! {
        #[test]
        fn a_case_made_of_an_answer_holds_for_it(prompt in "\\PC{1,120}[a-z]", answer in "(\\PC|\n){0,400}[a-z]") {
            let form = CaseForm::of_answer(&prompt, Some(&json!(answer)));
            let check = form.read();
            prop_assert!(check.as_ref().is_ok_and(|check| check.holds(&json!(answer)).is_ok()), "{:?} {:?}", form, check);
        }

        #[test]
        fn an_answer_is_like_itself(answer in "[a-zA-Z ]{1,40}[a-z]") {
            prop_assert_eq!(check("contains", &answer).holds(&json!(answer)), Ok(()));
            prop_assert_eq!(check("equals", &answer).holds(&json!(answer)), Ok(()));
            prop_assert_eq!(check("matches", &regex::escape(answer.trim())).holds(&json!(answer)), Ok(()));
        }
    }
}
