//! Ordinary background work, on the queue of a maintained library (`graphile_worker`) behind two small traits: a [`Job`]
//! is asked for inside of the transaction that it belongs to, a [`Chore`] comes round by itself. No run is a job: runs are
//! the engine's.
//!
//! The library keeps what a job is made of in its tables and writes it to the log. So a job is made of ids, and never of
//! texts, addresses or secrets.

mod store;
mod worker;

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

pub(crate) use store::prepare;
pub use store::{enqueue, failed_for_good};
pub use worker::{Crew, Pace};

use crate::{
    deps::Deps,
    kernel::{OrgId, Result},
};

/// Work for an organization, done once at least, some time after the commit that asks for it.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the queue calls it. Never changed: jobs that wait carry it.
    const NAME: &'static str;
    /// How often it is tried. The pauses grow from seconds to six hours.
    const MAX_ATTEMPTS: i32;

    /// Two jobs of an organization with one name and one key are one, as long as neither has begun.
    fn key(&self) -> String;

    /// Does it. It may have been done before: by a process that died before it could say so.
    ///
    /// # Errors
    /// Whatever kept it from being done; it is tried again.
    fn run(self, deps: &Deps, org: OrgId) -> impl Future<Output = Result<()>> + Send;
}

/// Work that comes round: one process of all does it at a time, whichever is free.
pub trait Chore: Send + Sync + 'static {
    /// What the queue calls it.
    const NAME: &'static str;
    /// How often.
    const EVERY: Every;

    /// Does it.
    ///
    /// # Errors
    /// Whatever kept it from being done; it is tried again soon, and when its time comes again.
    fn run(&self, deps: &Deps) -> impl Future<Output = Result<()>> + Send;
}

/// How often a chore comes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// At each full minute.
    Minute,
    /// At this minute of each hour.
    Hour(u32),
    /// At this hour of each day (UTC), a quarter past.
    Day(u32),
}
