//! What a version of an agent holds, and what can be wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_model_id;
use crate::{
    engine::plan::{AgentLimits, AgentSpec, Guardrails, Memory, ModelOptions, ToolPermission, template},
    kernel::{FieldError, Money, text},
};

/// The longest instructions, in characters.
pub const MAX_INSTRUCTIONS: usize = 20_000;
/// The most models to fall back on.
pub const MAX_FALLBACKS: usize = 5;
/// The most tags.
pub const MAX_TAGS: usize = 12;
/// The most hosts that an agent's tools can be limited to.
const MAX_DOMAINS: usize = 50;

/// What a version of an agent holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What it is called on screen.
    pub name: String,
    /// What it is, in a few words: "sales assistant".
    pub role: String,
    /// How it works: a template over what its task can read.
    pub instructions: String,
    /// The model, `provider/name`, or a task class, `class/routine`.
    pub model: String,
    /// The models to ask, in this order, when that one cannot be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// How freely the model chooses words, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How else the model is asked.
    #[serde(default, skip_serializing_if = "ModelOptions::is_default")]
    pub options: ModelOptions,
    /// The tools it may call, and how.
    #[serde(default)]
    pub tools: BTreeMap<String, ToolPermission>,
    /// JSON Schema of its answer; null for plain text.
    #[serde(default)]
    pub output_schema: Value,
    /// What stops it.
    #[serde(default)]
    pub limits: AgentLimits,
    /// What it must not take in, say, or combine.
    #[serde(default, skip_serializing_if = "Guardrails::is_default")]
    pub guardrails: Guardrails,
    /// What it is good for, for whoever has work to give.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
    /// What it remembers of its earlier tasks.
    #[serde(default, skip_serializing_if = "Memory::is_none")]
    pub memory: Memory,
}

/// What an agent is good for, as its makers say: people, planners and other agents choose by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Lower-case words.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// One sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl Capabilities {
    /// Whether nothing is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.about.is_empty()
    }
}

impl AgentConfig {
    /// What is wrong with it, field by field, as far as it can be said without knowing which tools there are.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Faults(Vec::new());
        self.look_at_words(&mut faults);
        self.look_at_model(&mut faults);
        if !self.output_schema.is_null() && !self.output_schema.is_object() {
            faults.add("output_schema", "The form of the answer must be a JSON Schema: an object in braces.");
        }
        self.look_at_limits(&mut faults);
        self.look_at_guardrails(&mut faults);
        self.look_at_capabilities(&mut faults);
        faults.0
    }

    fn look_at_words(&self, faults: &mut Faults) {
        let name = self.name.trim().chars().count();
        if name == 0 {
            faults.add("name", "Give the agent a name.");
        } else if name > 80 {
            faults.add("name", format!("The name has {name} characters; 80 are the most."));
        }
        if self.role.chars().count() > 200 {
            faults.add("role", "The role is a few words: 200 characters are the most.");
        }
        let instructions = self.instructions.chars().count();
        if instructions > MAX_INSTRUCTIONS {
            faults.add(
                "instructions",
                format!("The instructions have {instructions} characters; {MAX_INSTRUCTIONS} are the most."),
            );
        } else if self.instructions.trim().is_empty() {
            faults.add("instructions", "Write what the agent does and how.");
        } else if let Err(message) = template::pieces(&self.instructions) {
            faults.add("instructions", message);
        }
    }

    fn look_at_model(&self, faults: &mut Faults) {
        if !is_model_id(&self.model) {
            faults.add("model", "Choose a model, in the form provider/name, such as sandbox/sandbox.");
        }
        let fallbacks = self.fallbacks.iter().map(String::as_str).enumerate();
        faults.0.extend(fallback_faults(&self.model, fallbacks));
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            faults.add("temperature", "The temperature must be between 0 and 2.");
        }
        if self.options.top_p.is_some_and(|value| !(value > 0.0 && value <= 1.0)) {
            faults.add("options.top_p", "Top P must be above 0 and at most 1.");
        }
        if self.options.max_output_tokens.is_some_and(|most| !(1..=1_000_000).contains(&most)) {
            faults.add("options.max_output_tokens", "Between 1 and 1,000,000 tokens are possible for one answer.");
        }
    }

    fn look_at_limits(&self, faults: &mut Faults) {
        let AgentLimits { max_turns, max_tokens, max_cost, timeout_s, task_s } = self.limits;
        if !(1..=50).contains(&max_turns) {
            faults.add("limits.max_turns", "Between 1 and 50 turns are possible.");
        }
        if !(100..=10_000_000).contains(&max_tokens) {
            faults.add("limits.max_tokens", "Between 100 and 10,000,000 tokens are possible.");
        }
        if max_cost <= Money::ZERO || max_cost > Money(1_000_000_000) {
            faults.add("limits.max_cost", "The cost limit must be above $0 and at most $1,000.");
        }
        if !(5..=600).contains(&timeout_s) {
            faults.add("limits.timeout_s", "The time limit must be between 5 and 600 seconds.");
        }
        if task_s.is_some_and(|seconds| !(5..=604_800).contains(&seconds)) {
            faults.add("limits.task_s", "The time for a task must be between 5 seconds and 7 days (604,800 seconds).");
        }
    }

    fn look_at_guardrails(&self, faults: &mut Faults) {
        if self.guardrails.max_input_chars.is_some_and(|most| !(1..=10_000_000).contains(&most)) {
            faults.add("guardrails.max_input_chars", "Between 1 and 10,000,000 characters are possible.");
        }
        let domains = &self.guardrails.allowed_domains;
        if domains.len() > MAX_DOMAINS {
            faults.add("guardrails.allowed_domains", format!("{MAX_DOMAINS} hosts are the most."));
        } else if let Some(domain) = domains.iter().find(|domain| !text::is_host_name(domain)) {
            let message = format!(
                "“{domain}” is not the name of a host. Write it in small letters without https:// and path, such as \
                 example.com."
            );
            faults.add("guardrails.allowed_domains", message);
        }
    }

    fn look_at_capabilities(&self, faults: &mut Faults) {
        let Capabilities { tags, about } = &self.capabilities;
        if tags.len() > MAX_TAGS {
            faults.add("capabilities.tags", format!("{MAX_TAGS} tags are the most."));
        } else if let Some(tag) = tags.iter().find(|tag| !is_tag(tag)) {
            let message = format!(
                "“{tag}” is not a tag: a tag is one word in small letters, with hyphens where it needs them, of at most \
                 40 characters."
            );
            faults.add("capabilities.tags", message);
        }
        if about.chars().count() > 200 || about.contains('\n') {
            faults.add("capabilities.about", "One sentence of at most 200 characters.");
        }
    }

    /// The form that a run keeps.
    #[must_use]
    pub fn spec(&self, version: i32) -> AgentSpec {
        let instructions = if self.role.trim().is_empty() {
            self.instructions.clone()
        } else {
            format!("You are {}: {}.\n\n{}", self.name, self.role.trim(), self.instructions)
        };
        AgentSpec {
            name: self.name.clone(),
            version,
            instructions,
            model: self.model.clone(),
            fallbacks: self.fallbacks.clone(),
            temperature: self.temperature,
            options: self.options,
            tools: self.tools.clone(),
            output_schema: self.output_schema.clone(),
            limits: self.limits,
            guardrails: self.guardrails.clone(),
            memory: self.memory,
        }
    }

    /// What changed from an older version, in a few words.
    #[must_use]
    pub fn changes_since(&self, older: &Self) -> String {
        let parts = [
            ("name", self.name != older.name),
            ("role", self.role != older.role),
            ("instructions", self.instructions != older.instructions),
            ("model", self.model != older.model),
            ("fallbacks", self.fallbacks != older.fallbacks),
            ("temperature", self.temperature != older.temperature),
            ("model settings", self.options != older.options),
            ("tools", self.tools != older.tools),
            ("answer form", self.output_schema != older.output_schema),
            ("limits", self.limits != older.limits),
            ("guardrails", self.guardrails != older.guardrails),
            ("capabilities", self.capabilities != older.capabilities),
            ("memory", self.memory != older.memory),
        ];
        let changed: Vec<&str> = parts.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        if changed.is_empty() { "Nothing changed".to_owned() } else { format!("Changed {}", changed.join(", ")) }
    }
}

struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: message.into() });
    }
}

/// What is wrong with the models to fall back on, each with its place.
pub(super) fn fallback_faults<'a>(
    model: &'a str,
    fallbacks: impl Iterator<Item = (usize, &'a str)>,
) -> Vec<FieldError> {
    let mut seen = BTreeSet::from([model]);
    let mut out = Vec::new();
    for (number, (place, fallback)) in (1..).zip(fallbacks) {
        let message = if number > MAX_FALLBACKS {
            format!("{MAX_FALLBACKS} models to fall back on are the most.")
        } else if !is_model_id(fallback) {
            "Choose a model, in the form provider/name.".to_owned()
        } else if !seen.insert(fallback) {
            "This model is asked before already. Choose another one, or none.".to_owned()
        } else {
            continue;
        };
        out.push(FieldError { field: format!("fallbacks.{place}"), message });
    }
    out
}

fn is_tag(text: &str) -> bool {
    (1..=40).contains(&text.chars().count())
        && text.chars().all(|letter| letter == '-' || (letter.is_alphanumeric() && !letter.is_uppercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::engine::plan::{InputCheck, Reasoning, Sensitive};

    fn config() -> AgentConfig {
        AgentConfig {
            name: "Support".into(),
            role: "answers customers".into(),
            instructions: "Be kind.".into(),
            model: "sandbox/sandbox".into(),
            ..AgentConfig::default()
        }
    }

    #[test]
    fn each_field_says_what_is_wrong_with_it() {
        assert_eq!(config().faults(), []);
        let bad = AgentConfig {
            name: " ".into(),
            role: "x".repeat(201),
            instructions: "x".repeat(MAX_INSTRUCTIONS + 1),
            model: "gpt".into(),
            fallbacks: vec!["openai/gpt-5".into(), "openai/gpt-5".into(), "gpt".into()],
            temperature: Some(f64::NAN),
            options: ModelOptions { top_p: Some(0.0), max_output_tokens: Some(0), ..ModelOptions::default() },
            tools: BTreeMap::new(),
            output_schema: Value::Bool(true),
            limits: AgentLimits { max_turns: 51, max_tokens: 1, max_cost: Money(0), timeout_s: 4, task_s: Some(1) },
            guardrails: Guardrails {
                max_input_chars: Some(0),
                allowed_domains: BTreeSet::from(["https://example.com".to_owned()]),
                ..Guardrails::default()
            },
            capabilities: Capabilities { tags: BTreeSet::from(["Two Words".to_owned()]), about: "x\ny".into() },
            memory: Memory::Key,
        };
        let fields: Vec<String> = bad.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "name",
                "role",
                "instructions",
                "model",
                "fallbacks.1",
                "fallbacks.2",
                "temperature",
                "options.top_p",
                "options.max_output_tokens",
                "output_schema",
                "limits.max_turns",
                "limits.max_tokens",
                "limits.max_cost",
                "limits.timeout_s",
                "limits.task_s",
                "guardrails.max_input_chars",
                "guardrails.allowed_domains",
                "capabilities.tags",
                "capabilities.about",
            ]
        );
    }

    #[test]
    fn instructions_are_a_template() {
        let with = |instructions: &str| AgentConfig { instructions: instructions.into(), ..config() }.faults();
        assert_eq!(with("Help {{ input.name }}. A brace } is none, nor are { two }}."), []);
        assert_eq!(with("Help {{ input.name.")[0].field, "instructions");
    }

    #[test]
    fn a_model_is_asked_once_and_five_more_at_most() {
        let with = |fallbacks: &[&str]| {
            let fallbacks = fallbacks.iter().map(|&model| model.to_owned()).collect();
            let faults = AgentConfig { fallbacks, ..config() }.faults();
            faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert_eq!(with(&["a/1", "a/2", "a/3", "a/4", "class/routine"]), [""; 0]);
        assert_eq!(with(&["a/1", "a/2", "a/3", "a/4", "a/5", "a/6"]), ["fallbacks.5"]);
        assert_eq!(with(&["sandbox/sandbox"]), ["fallbacks.0"], "the model itself");
    }

    #[test]
    fn tags_are_words() {
        for good in ["billing", "order-to-cash", "büro", "o2c"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", "Billing", "two words", "a,b", &"x".repeat(41)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn the_note_of_a_version_names_what_changed() {
        let older = config();
        let newer = AgentConfig { role: "helps".into(), temperature: Some(0.2), ..config() };
        assert_eq!(newer.changes_since(&older), "Changed role, temperature");
        let capabilities = Capabilities { about: "Answers.".into(), ..Capabilities::default() };
        let newer = AgentConfig { fallbacks: vec!["a/b".into()], capabilities, ..config() };
        assert_eq!(newer.changes_since(&older), "Changed fallbacks, capabilities");
        assert_eq!(older.changes_since(&older), "Nothing changed");
    }

    #[test]
    fn a_version_of_old_is_still_read_and_written_as_it_was() {
        let old = json!({
            "name": "Support", "role": "helps", "instructions": "Be kind.", "model": "sandbox/sandbox",
            "tools": { "calculator": "allowed" }, "output_schema": null,
            "limits": { "max_turns": 8, "max_tokens": 100_000, "max_cost": 1_000_000, "timeout_s": 120 },
        });
        let config: AgentConfig = serde_json::from_value(old.clone()).expect("an old version");
        assert_eq!(config.guardrails, Guardrails::default());
        assert_eq!(serde_json::to_value(&config).expect("json"), old);
    }

    proptest! {
        #[test]
        fn whatever_is_set_survives_being_kept(
            top_p in proptest::option::of(0.01_f64..=1.0),
            most in proptest::option::of(1_u64..1_000_000),
            tags in proptest::collection::btree_set("[a-z][a-z0-9-]{0,20}", 0..12),
            domains in proptest::collection::btree_set("[a-z]{1,10}\\.example", 0..5),
            about in "[A-Z][a-z ]{0,60}",
            ask in any::<bool>(),
        ) {
            let config = AgentConfig {
                options: ModelOptions { top_p, max_output_tokens: most, reasoning: Some(Reasoning::High), compress: ask },
                memory: if ask { Memory::Key } else { Memory::Conversation },
                guardrails: Guardrails {
                    injection: InputCheck::Stop,
                    max_input_chars: Some(500),
                    redact: BTreeSet::from(Sensitive::ALL),
                    stop: BTreeSet::from([Sensitive::Card]),
                    allowed_domains: domains,
                    rule_of_two: ask,
                },
                capabilities: Capabilities { tags, about },
                ..config()
            };
            prop_assert_eq!(config.faults(), []);
            let kept = serde_json::to_value(&config).expect("json");
            prop_assert_eq!(serde_json::from_value::<AgentConfig>(kept).expect("a version"), config);
        }
    }
}
