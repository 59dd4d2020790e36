//! Saved views: the filters of a page under a name, each person's own.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use serde::{Deserialize, Serialize};

/// The pages with views.
pub const PAGES: [&str; 2] = ["runs", "logs"];

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedView {
    /// Its name.
    pub name: String,
    /// The address behind the question mark.
    pub query: String,
}
