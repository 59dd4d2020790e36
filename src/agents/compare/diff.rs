//! What differs, found out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use similar::{ChangeTag, DiffOp, TextDiff};

use super::{Changed, Comparison, Line};
use crate::{
    agents::AgentConfig,
    engine::plan::{Guardrails, InputCheck, Memory, Reasoning, Sensitive, ToolPermission},
    kernel::text,
    models,
};

/// The unchanged lines around a change that are shown.
const AROUND: usize = 3;
/// What a comparison may take. Beyond this it is less fine, not wrong.
const PATIENCE: Duration = Duration::from_millis(200);

impl Comparison {
    /// What differs between two versions.
    #[must_use]
    pub fn of((from, older): (i32, &AgentConfig), (to, newer): (i32, &AgentConfig)) -> Self {
        let (before, after) = (settings(older), settings(newer));
        let names: BTreeSet<(u8, &String)> =
            before.keys().chain(after.keys()).map(|(rank, name)| (*rank, name)).collect();
        let changed = names.into_iter().filter_map(|(rank, name)| {
            let key = (rank, name.clone());
            let (from, to) = (before.get(&key).cloned(), after.get(&key).cloned());
            (from != to).then(|| Changed { name: name.clone(), from, to })
        });
        Self {
            from,
            to,
            settings: changed.collect(),
            instructions: lines(&older.instructions, &newer.instructions),
            output_schema: lines(&schema_text(&older.output_schema), &schema_text(&newer.output_schema)),
        }
    }
}

fn schema_text(schema: &Value) -> String {
    if schema.is_null() { String::new() } else { serde_json::to_string_pretty(schema).unwrap_or_default() }
}

/// The settings that are set, in words, by the order in which the form has them.
fn settings(config: &AgentConfig) -> BTreeMap<(u8, String), String> {
    let mut out = BTreeMap::new();
    let mut set = |rank: u8, name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.insert((rank, name.to_owned()), value);
        }
    };
    set(0, "Name", Some(config.name.clone()));
    set(1, "Role", Some(config.role.clone()));
    set(2, "Model", Some(models::label(&config.model).to_owned()));
    set(3, "Fallback models", Some(config.fallbacks.join(", then ")));
    set(4, "Temperature", config.temperature.map(|value| value.to_string()));
    set(5, "Top P", config.options.top_p.map(|value| value.to_string()));
    set(6, "Longest answer", config.options.max_output_tokens.map(|most| format!("{} tokens", text::grouped(most))));
    let reasoning = config.options.reasoning.map(|how| match how {
        Reasoning::Low => "little",
        Reasoning::Medium => "some",
        Reasoning::High => "much",
    });
    set(7, "Reasoning", reasoning.map(str::to_owned));
    for (tool, permission) in &config.tools {
        let words = match permission {
            ToolPermission::Policy => "by policy",
            ToolPermission::Allowed => "always allowed",
            ToolPermission::NeedsApproval => "each call needs approval",
        };
        set(8, &format!("Tool {tool}"), Some(words.to_owned()));
    }
    set(9, "Turns", Some(config.limits.max_turns.to_string()));
    set(10, "Tokens", Some(text::grouped(config.limits.max_tokens)));
    set(11, "Cost", Some(config.limits.max_cost.to_string()));
    set(12, "Seconds for one model call", Some(config.limits.timeout_s.to_string()));
    set(12, "Seconds for a task", config.limits.task_s.map(|seconds| seconds.to_string()));
    let Guardrails { injection, max_input_chars, redact, stop, allowed_domains, rule_of_two } = &config.guardrails;
    let injection = match injection {
        InputCheck::Off => "not looked for",
        InputCheck::Warn => "the log says so",
        InputCheck::Stop => "the task fails",
    };
    set(13, "Orders in outside text", Some(injection.to_owned()));
    set(14, "Longest task", max_input_chars.map(|most| format!("{} characters", text::grouped(most.into()))));
    set(15, "Blotted out", Some(kinds(redact)));
    set(16, "Fails the task", Some(kinds(stop)));
    set(17, "Hosts", Some(allowed_domains.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
    let asked = if *rule_of_two { "a person is asked" } else { "nobody is asked" };
    set(18, "Strangers' text, private data and sending together", Some(asked.to_owned()));
    let tags = &config.capabilities.tags;
    set(19, "Tags", Some(tags.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
    set(20, "Good for", Some(config.capabilities.about.clone()));
    let memory = match config.memory {
        Memory::None => "",
        Memory::Conversation => "the tasks of the same run",
        Memory::Key => "the tasks under the same key",
    };
    set(21, "Memory", Some(memory.to_owned()));
    set(22, "Long results of earlier turns", config.options.compress.then(|| "told in short".to_owned()));
    out
}

fn kinds(kinds: &BTreeSet<Sensitive>) -> String {
    let words = kinds.iter().map(|kind| match kind {
        Sensitive::Credential => "credentials",
        Sensitive::Card => "card numbers",
        Sensitive::Iban => "bank account numbers",
        Sensitive::Ssn => "social security numbers",
        Sensitive::Email => "e-mail addresses",
        Sensitive::Phone => "telephone numbers",
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Two texts line by line, what is far from a change folded. Empty where they are the same.
#[must_use]
pub fn lines(older: &str, newer: &str) -> Vec<Line> {
    if older == newer {
        return Vec::new();
    }
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(older, newer);
    let mut out = Vec::new();
    let mut seen = 0;
    for group in diff.grouped_ops(AROUND) {
        let begins = group.first().map_or(seen, |op| op.old_range().start);
        fold(&mut out, begins - seen);
        for op in &group {
            push(&mut out, &diff, op);
        }
        seen = group.last().map_or(seen, |op| op.old_range().end);
    }
    fold(&mut out, diff.old_len().saturating_sub(seen));
    out
}

fn fold(out: &mut Vec<Line>, lines: usize) {
    if lines > 0 {
        out.push(Line::Folded { lines });
    }
}

fn push(out: &mut Vec<Line>, diff: &TextDiff<'_, '_, str>, op: &DiffOp) {
    out.extend(diff.iter_changes(op).map(|change| {
        let text = change.value().trim_end_matches(['\n', '\r']).to_owned();
        match change.tag() {
            ChangeTag::Equal => Line::Same { text },
            ChangeTag::Delete => Line::Removed { text },
            ChangeTag::Insert => Line::Added { text },
        }
    }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn side(lines: &[Line], of_new: bool) -> usize {
        let count = |line: &Line| match line {
            Line::Same { .. } => 1,
            Line::Removed { .. } => usize::from(!of_new),
            Line::Added { .. } => usize::from(of_new),
            Line::Folded { lines } => *lines,
        };
        lines.iter().map(count).sum()
    }

    #[test]
    fn what_differs_is_told_setting_by_setting_and_line_by_line() {
        let older = AgentConfig {
            name: "Support".into(),
            instructions: "Be kind.\nBe brief.\nBe right.".into(),
            model: "sandbox/sandbox".into(),
            tools: BTreeMap::from([("calculator".to_owned(), ToolPermission::Allowed)]),
            ..AgentConfig::default()
        };
        let mut newer = AgentConfig {
            instructions: "Be kind.\nBe very brief.\nBe right.".into(),
            temperature: Some(0.2),
            tools: BTreeMap::from([("email_send".to_owned(), ToolPermission::NeedsApproval)]),
            output_schema: json!({ "type": "object" }),
            ..older.clone()
        };
        newer.limits.max_tokens = 20_000;
        let told = Comparison::of((1, &older), (2, &newer));
        let rows: Vec<(&str, Option<&str>, Option<&str>)> =
            told.settings.iter().map(|row| (row.name.as_str(), row.from.as_deref(), row.to.as_deref())).collect();
        assert_eq!(
            rows,
            [
                ("Temperature", None, Some("0.2")),
                ("Tool calculator", Some("always allowed"), None),
                ("Tool email_send", None, Some("each call needs approval")),
                ("Tokens", Some("100,000"), Some("20,000")),
            ]
        );
        let text = |text: &str| text.to_owned();
        assert_eq!(
            told.instructions,
            [
                Line::Same { text: text("Be kind.") },
                Line::Removed { text: text("Be brief.") },
                Line::Added { text: text("Be very brief.") },
                Line::Same { text: text("Be right.") },
            ]
        );
        assert!(told.output_schema.iter().all(|line| matches!(line, Line::Added { .. })));
        assert!(Comparison::of((1, &older), (3, &older)).is_same());
    }

    #[test]
    fn what_is_far_from_a_change_is_folded() {
        let older: String = (1..=40).map(|number| format!("line {number}\n")).collect();
        let newer = older.replace("line 20\n", "line twenty\n");
        let told = lines(&older, &newer);
        assert_eq!(told.first(), Some(&Line::Folded { lines: 16 }));
        assert_eq!(told.last(), Some(&Line::Folded { lines: 17 }));
        assert_eq!(told.len(), 2 + 2 * AROUND + 2);
    }

    proptest! {
        #[test]
        fn no_line_is_lost(older in "([a-c]\n){0,60}", newer in "([a-c]\n){0,60}") {
            let told = lines(&older, &newer);
            if older == newer {
                prop_assert!(told.is_empty());
            } else {
                prop_assert_eq!(side(&told, false), older.lines().count());
                prop_assert_eq!(side(&told, true), newer.lines().count());
            }
        }
    }
}
