//! Agents: configured models. Every save is an immutable version; one version is deployed.

pub mod form;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::plan::{AgentLimits, AgentSpec, Guardrails, ModelOptions, ToolPermission},
    kernel::{AgentId, FieldError, Money, Timestamp, VersionLine},
};

/// The longest instructions, in characters.
pub const MAX_INSTRUCTIONS: usize = 20_000;

/// What a version of an agent holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// What it is called on screen.
    pub name: String,
    /// What it is, in a few words: "sales assistant".
    pub role: String,
    /// How it works.
    pub instructions: String,
    /// The model, `provider/name`.
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
}

/// An agent with its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What workflows call it.
    pub key: String,
    /// `active`, `inactive`, `archived`.
    pub status: String,
    /// The newest version.
    pub version: i32,
    /// The version that workflows use.
    pub deployed_version: Option<i32>,
    /// What the newest version holds.
    pub config: AgentConfig,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

/// An agent with its versions, as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDetail {
    /// The agent, with its newest version.
    pub agent: Agent,
    /// Its versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// The workflows whose newest version names it.
    pub used_by: Vec<String>,
}

impl AgentConfig {
    /// What is wrong with it, field by field, as far as it can be said without knowing which tools there are.
    #[must_use]
    pub fn faults(&self) -> Vec<FieldError> {
        let mut out = Vec::new();
        let mut fault = |field: &str, message: String| out.push(FieldError { field: field.to_owned(), message });
        let name = self.name.trim().chars().count();
        if name == 0 {
            fault("name", "Give the agent a name.".to_owned());
        } else if name > 80 {
            fault("name", format!("The name has {name} characters; 80 are the most."));
        }
        if self.role.chars().count() > 200 {
            fault("role", "The role is a few words: 200 characters are the most.".to_owned());
        }
        let instructions = self.instructions.chars().count();
        if instructions > MAX_INSTRUCTIONS {
            fault(
                "instructions",
                format!("The instructions have {instructions} characters; {MAX_INSTRUCTIONS} are the most."),
            );
        } else if self.instructions.trim().is_empty() {
            fault("instructions", "Write what the agent does and how.".to_owned());
        }
        if !is_model_id(&self.model) {
            fault("model", "Choose a model, in the form provider/name, such as sandbox/sandbox.".to_owned());
        }
        if self.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
            fault("temperature", "The temperature must be between 0 and 2.".to_owned());
        }
        if !self.output_schema.is_null() && !self.output_schema.is_object() {
            fault("output_schema", "The form of the answer must be a JSON Schema: an object in braces.".to_owned());
        }
        let AgentLimits { max_turns, max_tokens, max_cost, timeout_s } = self.limits;
        if !(1..=50).contains(&max_turns) {
            fault("limits.max_turns", "Between 1 and 50 turns are possible.".to_owned());
        }
        if !(100..=10_000_000).contains(&max_tokens) {
            fault("limits.max_tokens", "Between 100 and 10,000,000 tokens are possible.".to_owned());
        }
        if max_cost <= Money::ZERO || max_cost > Money(1_000_000_000) {
            fault("limits.max_cost", "The cost limit must be above $0 and at most $1,000.".to_owned());
        }
        if !(5..=600).contains(&timeout_s) {
            fault("limits.timeout_s", "The time limit must be between 5 and 600 seconds.".to_owned());
        }
        out
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
            ("temperature", self.temperature != older.temperature),
            ("tools", self.tools != older.tools),
            ("answer form", self.output_schema != older.output_schema),
            ("limits", self.limits != older.limits),
        ];
        let changed: Vec<&str> = parts.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        if changed.is_empty() { "Nothing changed".to_owned() } else { format!("Changed {}", changed.join(", ")) }
    }
}

/// An agent to begin with.
#[must_use]
pub fn blank() -> AgentConfig {
    AgentConfig { model: "sandbox/sandbox".to_owned(), ..AgentConfig::default() }
}

/// Whether a text has the form `provider/name`.
#[must_use]
pub fn is_model_id(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.len() <= 120
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:/@".contains(letter))
    };
    text.split_once('/').is_some_and(|(provider, name)| word(provider) && word(name))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            temperature: Some(f64::NAN),
            tools: BTreeMap::new(),
            output_schema: Value::Bool(true),
            limits: AgentLimits { max_turns: 51, max_tokens: 1, max_cost: Money(0), timeout_s: 4 },
            ..AgentConfig::default()
        };
        let fields: Vec<String> = bad.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "name",
                "role",
                "instructions",
                "model",
                "temperature",
                "output_schema",
                "limits.max_turns",
                "limits.max_tokens",
                "limits.max_cost",
                "limits.timeout_s"
            ]
        );
    }

    #[test]
    fn a_model_id_names_its_provider() {
        for good in ["sandbox/sandbox", "openai/gpt-5.2", "local/org/model:7b"] {
            assert!(is_model_id(good), "{good}");
        }
        for bad in ["", "gpt", "/gpt", "openai/", "open ai/gpt", "openai/a b"] {
            assert!(!is_model_id(bad), "{bad}");
        }
    }

    #[test]
    fn the_note_of_a_version_names_what_changed() {
        let older = config();
        let newer = AgentConfig { role: "helps".into(), temperature: Some(0.2), ..config() };
        assert_eq!(newer.changes_since(&older), "Changed role, temperature");
    }
}
