//! Organizations, and who belongs to them. An organization is the tenant: everything else is inside one.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::access::{OrgRef, Role};

/// What an organization has settled for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgSettings {
    /// Above this amount, in millionths of its currency's unit, what cannot be undone is approved by typing the amount.
    pub typed_amount_micros: i64,
    /// How many runs may be at work at once; none: the operator's default.
    pub max_running: Option<i32>,
    /// Days that ended runs are kept; 0 for ever. Nothing: as the server keeps them.
    pub retention_days: Option<i32>,
    /// The only hosts, with all below them, that tools may call. None named: all public ones.
    pub allowed_domains: Vec<String>,
}

/// One of a person's organizations, for the switcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organization.
    pub org: OrgRef,
    /// The person's role there.
    pub role: Role,
}
