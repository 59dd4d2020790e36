//! Agents: configured models. Every save is an immutable version; one version is deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::plan::{AgentLimits, ToolPermission},
    kernel::{AgentId, Timestamp},
};

/// What a version of an agent holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How freely the model chooses words, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The tools it may call, and how.
    #[serde(default)]
    pub tools: BTreeMap<String, ToolPermission>,
    /// JSON Schema of its answer; null for plain text.
    #[serde(default)]
    pub output_schema: Value,
    /// What stops it.
    #[serde(default)]
    pub limits: AgentLimits,
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
