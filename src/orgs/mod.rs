//! Organizations, and who belongs to them. An organization is the tenant: everything else is inside one.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

use crate::access::{OrgRef, Role};

/// One of a person's organizations, for the switcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organization.
    pub org: OrgRef,
    /// The person's role there.
    pub role: Role,
}
