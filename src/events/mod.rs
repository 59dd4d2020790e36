//! Events from the outside: a program tells workflows something under a key, and the steps that wait for it go on.

#[cfg(feature = "ssr")]
pub mod service;

use serde::{Deserialize, Serialize};

use crate::kernel::EventId;

/// An event that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Its id.
    pub event: EventId,
}
