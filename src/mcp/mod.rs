//! MCP servers: programs elsewhere (by URL) or here (by command, where the operator allows it) that offer tools. A tool is
//! offered to nobody until a person has approved its definition, and not any more once the definition changes. Nothing
//! that a server says of itself is trusted.

#[cfg(feature = "ssr")]
mod call;
#[cfg(feature = "ssr")]
mod connect;
#[cfg(feature = "ssr")]
mod definition;
#[cfg(feature = "ssr")]
mod process;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "ssr")]
pub(crate) use call::call;
#[cfg(feature = "ssr")]
pub use connect::{Connections, McpSettings};

use crate::{
    engine::plan::ToolEffect,
    kernel::{CredentialId, McpServerId, Timestamp},
};

/// The most tools that a server may offer.
pub const MAX_TOOLS: usize = 200;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Transport {
    /// By streamable HTTP at this address.
    Url {
        /// The address.
        url: String,
    },
    /// By starting this program here, without a shell.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct McpServer {
    /// Its id.
    pub id: McpServerId,
    /// What its tools' names begin with. Never changed.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// The credential that it gets.
    pub credential: Option<CredentialId>,
    /// The variable of a command's environment that the credential goes into.
    pub variable: String,
    /// Whether its tools are offered at all.
    pub enabled: bool,
    /// When it was last looked at.
    pub checked_at: Option<Timestamp>,
    /// What was wrong then.
    pub error: Option<String>,
    /// What it says of itself: name, version, protocol.
    pub about: String,
    /// Since when it is known.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What a server says of a tool: all that a model or a person gets to see of it. Approved as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What people read.
    pub title: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of the arguments.
    pub input: Value,
    /// JSON Schema of the structured result; null for none.
    pub output: Value,
    /// What the server claims of its effects. Believed by nobody.
    pub annotations: Value,
}

impl Definition {
    /// What the claims would make of it: a suggestion for whoever approves it.
    #[must_use]
    pub fn claimed_effect(&self) -> ToolEffect {
        let claims = |name: &str| self.annotations[name].as_bool();
        match (claims("readOnlyHint"), claims("destructiveHint")) {
            (Some(true), _) => ToolEffect::Read,
            (_, Some(true)) => ToolEffect::Destructive,
            _ => ToolEffect::Write,
        }
    }
}

/// Where a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolState {
    /// Nobody has approved it yet.
    New,
    /// Its definition is the one that was approved.
    Approved,
    /// Its definition has changed since it was approved.
    Changed,
    /// The server does not offer it any more.
    Gone,
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct McpTool {
    /// What the server calls it.
    pub name: String,
    /// What graphs, agents and models call it.
    pub alias: String,
    /// What the server last said of it.
    pub definition: Definition,
    /// SHA-256 of that, in hex.
    pub hash: String,
    /// What was approved.
    pub approved: Option<Definition>,
    /// SHA-256 of that.
    pub approved_hash: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// What it does to the world, by the word of whoever approved it.
    pub effect: ToolEffect,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Since when the server does not offer it any more.
    pub gone_at: Option<Timestamp>,
}

impl McpTool {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ToolState {
        match &self.approved_hash {
            _ if self.gone_at.is_some() => ToolState::Gone,
            None => ToolState::New,
            Some(approved) if *approved == self.hash => ToolState::Approved,
            Some(_) => ToolState::Changed,
        }
    }

    /// Whether it is offered, as far as it goes for itself.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.enabled && self.state() == ToolState::Approved
    }
}

/// A server with its tools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct McpServerDetail {
    /// The server.
    pub server: McpServer,
    /// Its tools, by name.
    pub tools: Vec<McpTool>,
}

/// A server as a form: texts as they are typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerForm {
    /// What people call it.
    pub name: String,
    /// What its tools' names begin with; only of a new one, empty: made from the name.
    pub slug: String,
    /// `url` or `command`.
    pub kind: String,
    /// The address.
    pub url: String,
    /// The program and its arguments, one in each line.
    pub command: String,
    /// The credential's id, or nothing.
    pub credential: String,
    /// The variable of the environment that a command gets the credential in.
    pub variable: String,
}

impl From<&McpServer> for ServerForm {
    fn from(server: &McpServer) -> Self {
        let (kind, url, command) = match &server.transport {
            Transport::Url { url } => ("url", url.clone(), String::new()),
            Transport::Command { command } => ("command", String::new(), command.join("\n")),
        };
        Self {
            name: server.name.clone(),
            slug: server.slug.clone(),
            kind: kind.to_owned(),
            url,
            command,
            credential: server.credential.map(|id| id.to_string()).unwrap_or_default(),
            variable: server.variable.clone(),
        }
    }
}
