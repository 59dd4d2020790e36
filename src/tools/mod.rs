//! Tools: what agents and workflows can do besides thinking. The catalog says what there is and is the same in the
//! browser; the server's [`registry`] does it.

mod catalog;
pub mod custom;

#[cfg(feature = "ssr")]
pub(crate) mod arithmetic;
#[cfg(feature = "ssr")]
mod ask_human;
#[cfg(feature = "ssr")]
mod calculator;
#[cfg(feature = "ssr")]
mod context;
#[cfg(feature = "ssr")]
mod csv;
#[cfg(feature = "ssr")]
mod current_time;
#[cfg(feature = "ssr")]
pub mod database_query;
#[cfg(feature = "ssr")]
pub(crate) mod deed;
#[cfg(feature = "ssr")]
mod email_send;
#[cfg(feature = "ssr")]
mod files;
#[cfg(feature = "ssr")]
mod html_to_text;
#[cfg(feature = "ssr")]
pub(crate) mod http_request;
#[cfg(feature = "ssr")]
mod json_query;
#[cfg(feature = "ssr")]
pub mod registry;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
pub mod settings;
#[cfg(feature = "ssr")]
mod shell;
#[cfg(feature = "ssr")]
mod store;
#[cfg(feature = "ssr")]
mod text_extract;
#[cfg(feature = "ssr")]
mod web_search;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use catalog::{catalog, find};

use crate::{
    engine::plan::{Flow, ToolEffect, ToolSource, ToolSpec},
    kernel::Money,
};

/// A tool as it is described to people, builders and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolInfo {
    /// What graphs, agents and models call it.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it does and when to use it, for people and models.
    pub description: String,
    /// What it does to the world.
    pub effect: ToolEffect,
    /// What passes through it.
    #[serde(default, skip_serializing_if = "Flow::is_none")]
    pub flow: Flow,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// JSON Schema of its result.
    pub output: Value,
    /// Seconds that one call may take.
    pub timeout_s: u64,
    /// Whether it changes nothing and answers the same arguments the same, whenever and in whichever run.
    #[serde(default)]
    pub repeatable: bool,
    /// What a call costs, as the operator has said: `registry::Tools::catalog`. Nothing where it is free.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
    /// What the operator has to do before it can be called, a sentence; nothing where it can be called. Of the catalog's
    /// tools, those that are set up are known at start: `registry::Tools::catalog`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_up: Option<String>,
}

/// A tool as the organization's lists show it, wherever it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What graphs, agents and models call it.
    pub name: String,
    /// What people read.
    pub title: String,
    /// What it does.
    pub description: String,
    /// What it does to the world.
    pub effect: ToolEffect,
    /// Where it comes from, in a word or two: `Built in`, `REST`, the name of an MCP server.
    pub from: String,
    /// What a call costs; nothing where it is free or not known.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
}

/// The tools that are part of the product, as runs keep them, by name.
#[must_use]
pub fn built_in() -> BTreeMap<String, ToolSpec> {
    catalog().iter().map(|tool| (tool.name.clone(), tool.into())).collect()
}

impl From<&ToolInfo> for ToolSpec {
    fn from(tool: &ToolInfo) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
            output: tool.output.clone(),
            effect: tool.effect,
            flow: tool.flow,
            source: ToolSource::BuiltIn,
            timeout_s: tool.timeout_s,
            at_most_once: false,
            repeatable: tool.repeatable,
            cost: tool.cost,
        }
    }
}
