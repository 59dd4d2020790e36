//! A tool as a run keeps it: what it takes, what it does to the world, and where it comes from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::{CustomToolId, McpServerId, Money};

/// What a tool does to the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolEffect {
    /// Changes nothing.
    Read,
    /// Changes something, or sends something out.
    #[default]
    Write,
    /// Takes something away that cannot be brought back.
    Destructive,
}

/// What an agent may do with a tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolPermission {
    /// By the organization's policy: what reads is allowed, what writes needs approval.
    #[default]
    Policy,
    /// Always allowed.
    Allowed,
    /// Each call needs an approval.
    NeedsApproval,
}

/// Where a tool comes from, so that a call of it finds the same thing that the run's plan was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolSource {
    /// It is part of the product.
    #[default]
    BuiltIn,
    /// A REST tool that the organization has made, at one of its versions.
    Custom {
        /// Which one.
        id: CustomToolId,
        /// Its version.
        version: i32,
    },
    /// A tool of an MCP server, as its definition was approved.
    Mcp {
        /// The server.
        server: McpServerId,
        /// What the server calls the tool.
        tool: String,
        /// SHA-256 of the approved definition, in hex.
        hash: String,
    },
    /// Another agent of the plan: the call is a task for it.
    Agent {
        /// Its key.
        agent: String,
    },
    /// Another workflow of the plan: the call is its input.
    Workflow {
        /// What the plan calls it: [`super::SubWorkflow::key`].
        workflow: String,
    },
}

impl ToolSource {
    /// Whether it is part of the product.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        matches!(self, Self::BuiltIn)
    }
}

/// What passes through a tool. All three in one agent's task are more than it may do without a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flow {
    /// Its result holds what strangers have written.
    pub untrusted: bool,
    /// Its result holds what is not public.
    pub private: bool,
    /// Its arguments go to the outside.
    pub outbound: bool,
}

impl Flow {
    /// Whether nothing of the kind passes through it.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A tool as a run keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// JSON Schema of its result; null for anything.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// What it does to the world.
    pub effect: ToolEffect,
    /// What passes through it.
    #[serde(default, skip_serializing_if = "Flow::is_none")]
    pub flow: Flow,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "ToolSource::is_built_in")]
    pub source: ToolSource,
    /// Seconds that one call may take.
    pub timeout_s: u64,
    /// Whether a call must not be repeated when it is not known whether it happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most_once: bool,
    /// Whether it changes nothing and answers the same arguments the same, whenever and in whichever run: then its answer
    /// may be remembered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeatable: bool,
    /// What a call costs, as whoever set the tool up has said. Of a built-in one the operator says it, at the call.
    #[serde(default, skip_serializing_if = "Money::is_zero")]
    pub cost: Money,
}
