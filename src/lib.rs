//! AgentFlow: what the product is (always) and what it does (feature `ssr`).
//!
//! Crates are the layers, folders are the features, and a feature has the same name in each crate. See
//! `docs/architecture.md`.
//!
//! Who may use whom: `kernel` knows nothing of ours; `access` and `engine` know `kernel`; features know those and each
//! other's types; `effects` implements [`engine::port`] with the features. SQL stands in `store.rs` files and `db.rs`.

#[cfg(all(target_arch = "wasm32", feature = "ssr"))]
compile_error!("the feature `ssr` is for the server and must not be on in the browser's build");

pub mod access;
pub mod accounts;
pub mod agents;
pub mod approvals;
pub mod budgets;
#[cfg(feature = "ssr")]
pub mod cache;
pub mod connections;
pub mod conversations;
pub mod credentials;
pub mod dashboard;
#[cfg(feature = "ssr")]
pub mod db;
#[cfg(feature = "ssr")]
pub mod deps;
#[cfg(feature = "ssr")]
pub mod effects;
#[cfg(feature = "ssr")]
pub mod egress;
pub mod engine;
pub mod events;
#[cfg(feature = "ssr")]
pub mod expressions;
#[cfg(feature = "ssr")]
pub mod guardrails;
#[cfg(feature = "ssr")]
pub mod housekeeping;
#[cfg(feature = "ssr")]
pub mod idempotency;
#[cfg(feature = "ssr")]
pub mod jobs;
pub mod kernel;
pub mod keys;
#[cfg(feature = "ssr")]
pub mod limits;
#[cfg(feature = "ssr")]
pub mod live;
#[cfg(feature = "ssr")]
pub mod logs;
pub mod mail;
pub mod mcp;
pub mod memory;
pub mod models;
#[cfg(feature = "ssr")]
pub mod notices;
pub mod orgs;
pub mod run_files;
pub mod runs;
#[cfg(feature = "ssr")]
pub mod schema;
#[cfg(feature = "ssr")]
pub mod search;
#[cfg(feature = "ssr")]
pub mod shared_context;
pub mod tools;
pub mod views;
pub mod workflows;
