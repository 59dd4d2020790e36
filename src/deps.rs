//! What operations work with, made once at start and handed down. Nothing below reads the environment or makes its own.

use crate::{
    accounts::admission::SignUps, accounts::password::Passwords, connections::ModelConnections, credentials::Vault,
    db::Db, egress::Egress, engine::handle::Engine, expressions::Expressions, guardrails::Known, live::Hub, mail::Mail,
    mcp::Connections, models::Models, tools::registry::Tools,
};

/// What operations work with. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The organizations' own ways to providers of models.
    pub connections: ModelConnections,
    /// The database.
    pub db: Db,
    /// The way out: every call to an address that somebody else chose.
    pub egress: Egress,
    /// The engine, to be told of what was committed for it.
    pub engine: Engine,
    /// Evaluates expressions in templates.
    pub expressions: Expressions,
    /// The secrets that are blotted out wherever they turn up.
    pub known: Known,
    /// Where readers hear what is committed.
    pub live: Hub,
    /// The way out for mail.
    pub mail: Mail,
    /// The connections to MCP servers.
    pub mcp: Connections,
    /// The models that can be chosen and called.
    pub models: Models,
    /// How many runs of an organization may be at work at once, where it has no limit of its own.
    pub runs_per_organization: Option<u32>,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
    /// Who may make an account.
    pub sign_ups: SignUps,
    /// The tools that can be called.
    pub tools: Tools,
    /// The door to the organizations' credentials.
    pub vault: Vault,
}
