//! Credentials of an organization for other people's systems: sealed, written and never read, opened only at the moment of
//! a call.
//!
//! A credential is sealed with its organization's data key, which is wrapped under the operator's master key; that one is
//! in no database. See `docs/credentials.md`.

#[cfg(feature = "ssr")]
mod opened;
#[cfg(feature = "ssr")]
pub mod rotation;
#[cfg(feature = "ssr")]
pub(crate) mod rules;
#[cfg(feature = "ssr")]
mod seal;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
pub(crate) mod store;
#[cfg(feature = "ssr")]
mod vault;

use serde::{Deserialize, Serialize};

use crate::kernel::{CredentialId, Timestamp};

#[cfg(feature = "ssr")]
pub use opened::{Carrier, Opened};
#[cfg(feature = "ssr")]
pub use seal::{MasterKey, MasterKeys};
#[cfg(feature = "ssr")]
pub use vault::{Found, Unfit, Use, Vault};

/// How a credential shows itself to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A model provider's key. Used by the models alone.
    Model,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, of a user name and a password.
    Basic,
    /// A header of some name.
    Header,
    /// A parameter of some name in the address.
    Query,
    /// A PostgreSQL database: `postgres://user:password@host:port/database`.
    Postgres,
}

impl CredentialKind {
    /// Those that tools use.
    pub const OF_TOOLS: [Self; 5] = [Self::Bearer, Self::Header, Self::Basic, Self::Query, Self::Postgres];

    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Query => "query",
            Self::Postgres => "postgres",
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Model].into_iter().chain(Self::OF_TOOLS).find(|kind| kind.as_str() == word)
    }

    /// What people read.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Model => "Model provider's key",
            Self::Bearer => "Bearer token",
            Self::Basic => "User name and password",
            Self::Header => "Key in a header",
            Self::Query => "Key in the address",
            Self::Postgres => "PostgreSQL database",
        }
    }

    /// The name, in a credential's configuration, of what belongs to it and is not secret.
    #[must_use]
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            Self::Basic => Some("username"),
            Self::Header => Some("header"),
            Self::Query => Some("parameter"),
            Self::Model | Self::Bearer | Self::Postgres => None,
        }
    }
}

/// Whether a credential can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialStatus {
    /// It can.
    Connected,
    /// It was found to be unusable.
    Error,
    /// Its value was thrown away. A new one connects it again.
    Disconnected,
}

impl CredentialStatus {
    /// The status of a word of the database.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "connected" => Some(Self::Connected),
            "error" => Some(Self::Error),
            "disconnected" => Some(Self::Disconnected),
            _ => None,
        }
    }
}

/// A credential as a list shows it: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// What it is called.
    pub name: String,
    /// How it shows itself.
    pub kind: CredentialKind,
    /// The user's name, the header's or the parameter's.
    pub detail: Option<String>,
    /// The end of its value, where that is long enough to show it.
    pub last4: Option<String>,
    /// The hosts that it may be sent to, with all below them.
    pub allowed_hosts: Vec<String>,
    /// Whether it can be used.
    pub status: CredentialStatus,
    /// Why not.
    pub error: Option<String>,
    /// When its value was last set.
    pub rotated_at: Timestamp,
    /// When it was last used, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// Who uses it, by name.
    pub used_by: Vec<String>,
}
