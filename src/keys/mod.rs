//! API keys: how programs come in. A key belongs to one organization and has a role there; its secret is shown once and
//! kept only as a digest.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::{
    access::Role,
    kernel::{ApiKeyId, Timestamp},
};

/// A key as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// The first characters of the secret.
    pub prefix: String,
    /// Its role.
    pub role: Role,
    /// Who made it, as long as that account exists.
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// What state it is in.
    pub state: KeyState,
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It does.
    Active,
    /// Its time has come.
    Expired,
    /// Somebody took it back.
    Revoked,
}

/// A key that was just made, with the secret that nobody sees again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// The secret: `agentflow_…`.
    pub secret: String,
}

/// Shows no secret in a log.
impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewApiKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
