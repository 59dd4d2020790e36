//! Agents: configured models. Every save is an immutable version; one version is deployed.

pub mod cases;
pub mod compare;
mod config;
pub mod form;
pub mod record;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;
#[cfg(feature = "ssr")]
pub(crate) mod trial;

use serde::{Deserialize, Serialize};

pub use self::config::{AgentConfig, Capabilities, MAX_FALLBACKS, MAX_INSTRUCTIONS, MAX_TAGS};
use crate::kernel::{AgentId, Timestamp, VersionLine};

/// Whether an agent can be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// It can.
    Active,
    /// Not now: it stays in the lists and in workflows, but no new run may use it.
    Inactive,
    /// Out of use: no list has it and no workflow may name it.
    Archived,
}

impl AgentStatus {
    /// The word in the database and in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Archived => "archived",
        }
    }

    /// The status of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Archived].into_iter().find(|status| status.as_str() == word)
    }
}

/// An agent with its newest version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What workflows call it.
    pub key: String,
    /// Whether it can be given work.
    pub status: AgentStatus,
    /// The newest version.
    pub version: i32,
    /// The version that workflows use.
    pub deployed_version: Option<i32>,
    /// What the newest version holds.
    pub config: AgentConfig,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An agent with its versions, as its page shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentDetail {
    /// The agent, with its newest version.
    pub agent: Agent,
    /// Its versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// The workflows whose newest or deployed version names it.
    pub used_by: Vec<String>,
    /// The version that was deployed before the one that is: where a roll back leads.
    pub former: Option<i32>,
    /// How many test cases it has.
    pub cases: i64,
}

/// A version that was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The version.
    pub version: i32,
    /// What was deployed before.
    pub replaced: Option<i32>,
    /// The name of who deployed it.
    pub deployed_by: String,
    /// When.
    pub deployed_at: Timestamp,
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
    use super::is_model_id;

    #[test]
    fn a_model_id_names_its_provider() {
        for good in ["sandbox/sandbox", "openai/gpt-5.2", "local/org/model:7b", "class/routine"] {
            assert!(is_model_id(good), "{good}");
        }
        for bad in ["", "gpt", "/gpt", "openai/", "open ai/gpt", "openai/a b"] {
            assert!(!is_model_id(bad), "{bad}");
        }
    }
}
