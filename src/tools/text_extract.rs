//! The tool text_extract: regular expressions of the linear kind, so that no pattern takes exponential time.

use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::{
    deed::{aside, bad, deeds, number, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{
        port::Answer,
        state::{ErrorClass, StepError},
    },
    kernel::text::shortened,
};

/// The most bytes that a pattern may have when it is compiled. It bounds the work for each letter of the text.
const MAX_COMPILED: usize = 256 << 10;
/// How long all matches together may take. One match is linear, all of them are not always.
const MAX_TIME: Duration = Duration::from_secs(3);

deeds! {
    TextExtract = "text_extract" => extract;
}

async fn extract(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let pattern = RegexBuilder::new(text(arguments, "pattern")).size_limit(MAX_COMPILED).build().map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.');
        bad("text_extract.pattern", format!("The pattern cannot be used: {}.", shortened(reason, 200)))
    })?;
    let (whole, limit) = (text(arguments, "text").to_owned(), number(arguments, "limit", 100));
    aside(move || matches(&pattern, &whole, limit)).await.map(output)
}

fn matches(pattern: &Regex, whole: &str, limit: usize) -> Result<Value, StepError> {
    let started = Instant::now();
    let mut found = Vec::new();
    let mut truncated = false;
    for one in pattern.captures_iter(whole) {
        if found.len() == limit {
            truncated = true;
            break;
        }
        if started.elapsed() > MAX_TIME {
            let message = "The pattern takes too long on this text. Make it simpler, or the text shorter.";
            return Err(StepError::new(ErrorClass::BadInput, "text_extract.time", message));
        }
        let groups: Vec<Option<&str>> = one.iter().skip(1).map(|group| group.map(|group| group.as_str())).collect();
        let named: Map<String, Value> = pattern
            .capture_names()
            .flatten()
            .map(|name| (name.to_owned(), json!(one.name(name).map(|group| group.as_str()))))
            .collect();
        found.push(json!({ "text": &one[0], "groups": groups, "named": named }));
    }
    Ok(json!({ "count": found.len(), "matches": found, "truncated": truncated }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_by_number_and_by_name() {
        let pattern = Regex::new(r"#(?P<number>\d+)(-(\w))?").unwrap();
        let found = matches(&pattern, "order #12, order #13-b", 10).unwrap();
        assert_eq!(
            found,
            json!({
                "matches": [
                    { "text": "#12", "groups": ["12", null, null], "named": { "number": "12" } },
                    { "text": "#13-b", "groups": ["13", "-b", "b"], "named": { "number": "13" } }
                ],
                "count": 2, "truncated": false
            })
        );
        assert_eq!(matches(&pattern, "#1 #2 #3", 2).unwrap()["truncated"], true);
        assert_eq!(matches(&pattern, "none", 2).unwrap()["count"], 0);
    }

    #[test]
    fn usual_patterns_fit_and_hostile_ones_take_no_time() {
        let compile = |pattern: &str| RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build();
        assert!(compile(r"(?i)\b[\w.+-]+@[\w-]+\.[\w.]+\b").is_ok());
        assert!(compile(r"\p{L}+\s\d{4}-\d\d-\d\d").is_ok());
        assert!(compile(r"(\w{100}){100}").is_err());
        let started = Instant::now();
        let pattern = compile("(a+)+$").unwrap();
        assert_eq!(
            matches(&pattern, &format!("{}!", "a".repeat(20_000)), 10).unwrap_or(json!({ "count": 0 }))["count"],
            0
        );
        assert!(started.elapsed() < MAX_TIME + Duration::from_secs(5));
    }
}
