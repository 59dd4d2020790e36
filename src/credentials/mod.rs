//! Credentials of an organization for other people's systems: sealed, written and never read, opened only at the moment of
//! a call.

#[cfg(feature = "ssr")]
mod vault;

use serde::{Deserialize, Serialize};

#[cfg(feature = "ssr")]
pub use vault::{Found, Opened, Use, Vault};

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
