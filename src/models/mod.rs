//! Language models: their ids, what is known of them, and (on the server) calling them in one neutral form. Without any
//! key there is the sandbox model, which works by rules and is labelled as such wherever it shows.

#[cfg(feature = "ssr")]
mod breaker;
mod class;
#[cfg(feature = "ssr")]
pub mod classes;
#[cfg(feature = "ssr")]
pub mod connection;
#[cfg(feature = "ssr")]
mod prices;
#[cfg(feature = "ssr")]
mod provider;
#[cfg(feature = "ssr")]
mod registry;
#[cfg(feature = "ssr")]
pub mod routing;
#[cfg(feature = "ssr")]
mod sandbox;
#[cfg(feature = "ssr")]
pub mod settings;
#[cfg(feature = "ssr")]
mod store;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use class::{Class, ClassModels};
#[cfg(feature = "ssr")]
pub use prices::Prices;
#[cfg(feature = "ssr")]
pub use provider::was_cut;
#[cfg(feature = "ssr")]
pub use registry::{Models, OPERATOR};
#[cfg(feature = "ssr")]
pub use settings::{ModelSettings, ProviderSettings};

/// The id of the sandbox model.
pub const SANDBOX: &str = "sandbox/sandbox";
/// What the sandbox model is called wherever it shows.
pub const SANDBOX_LABEL: &str = "Sandbox model";

/// A model's id: `provider/name`. The name may have slashes of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId {
    provider: String,
    name: String,
}

impl ModelId {
    /// Reads `provider/name`. The error is a sentence for the person who typed it.
    ///
    /// # Errors
    /// When it has no such form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/@".contains(letter);
        text.split_once('/')
            .filter(|(provider, name)| {
                !provider.is_empty() && !name.is_empty() && text.len() <= 200 && text.chars().all(fits)
            })
            .map(|(provider, name)| Self { provider: provider.to_owned(), name: name.to_owned() })
            .ok_or_else(|| "A model is written provider/name, such as sandbox/sandbox.".to_owned())
    }

    /// Who serves it: `sandbox`, `openai`, `anthropic` …
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What the provider calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

/// The name to show for a model's id, also of one that is no longer available.
#[must_use]
pub fn label(id: &str) -> &str {
    match Class::of(id) {
        Some(class) => class.label(),
        None if id == SANDBOX => SANDBOX_LABEL,
        None => id.split_once('/').map_or(id, |(_, name)| name),
    }
}

/// A model that can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `provider/name`.
    pub id: String,
    /// What people read.
    pub label: String,
    /// The provider as people write it.
    pub provider: String,
    /// How many tokens it can take in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// The list price, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Whether it is the sandbox model: rules instead of a language model, free of charge.
    #[serde(default)]
    pub sandbox: bool,
}

/// A list price in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Tokens in.
    pub input: f64,
    /// Tokens out.
    pub output: f64,
    /// Tokens in that the provider had kept; the full price where it has none for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Tokens in that the provider keeps from now on; the full price where it has none for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_has_a_provider_and_a_name() {
        let id = ModelId::parse("groq/openai/gpt-oss-120b").unwrap();
        assert_eq!((id.provider(), id.name()), ("groq", "openai/gpt-oss-120b"));
        assert_eq!(id.to_string(), "groq/openai/gpt-oss-120b");
        for text in ["", "gpt-5", "/gpt-5", "openai/", "openai/gpt 5", "openai/<script>", "a/b\n"] {
            assert!(ModelId::parse(text).is_err(), "{text}");
        }
        assert_eq!(label(SANDBOX), "Sandbox model");
        assert_eq!(label("openai/gpt-5"), "gpt-5");
        assert_eq!(label("class/routine"), "Routine");
    }
}
