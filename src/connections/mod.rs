//! An organization's own ways to providers of models: whose key, at which address, for which models. The key is a sealed
//! credential, which goes to the address that it was given for and to no other.

#[cfg(feature = "ssr")]
mod kept;
#[cfg(feature = "ssr")]
mod rules;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::kernel::{ConnectionId, Timestamp};

#[cfg(feature = "ssr")]
pub use kept::ModelConnections;

/// A connection as a list shows it: everything but its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelConnection {
    /// Its id.
    pub id: ConnectionId,
    /// The provider's name in model ids.
    pub provider: String,
    /// The provider's name for people.
    pub provider_label: String,
    /// What the organization calls it.
    pub label: String,
    /// Where it is, if not at the provider's usual address.
    pub base_url: Option<String>,
    /// The models to offer; empty means those of the price table.
    pub models: Vec<String>,
    /// Who is asked first: the lower number.
    pub rank: i16,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it has a key.
    pub has_key: bool,
    /// The end of its key.
    pub last4: Option<String>,
    /// When it was last tested.
    pub checked_at: Option<Timestamp>,
    /// Why that test failed.
    pub error: Option<String>,
    /// When a run last used its key.
    pub last_used_at: Option<Timestamp>,
}

/// A provider that the operator has set up for all organizations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorProvider {
    /// Its name for people.
    pub label: String,
    /// The models that are offered; empty means those of the price table.
    pub models: Vec<String>,
}

/// A provider to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderChoice {
    /// Its name in model ids.
    pub name: String,
    /// Its name for people.
    pub label: String,
}
