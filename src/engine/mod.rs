//! Durable execution. Pure where it decides, narrow where it acts, and ignorant of every feature but the words of approvals.
//!
//! - [`plan`]: what a run executes.
//! - [`state`], [`journal`], [`view`]: what a run is at, the numbered events that say so, and the fold from the one to the
//!   other, the same on the server and in the browser.
//! - [`port`]: all that a run may ask of the world.
//! - `machine`, `decide`, `retry`, `reuse`: what a run does next, and what one that is run again takes over; pure.
//! - `store`: its tables. `writer`: the one place where owners write, many runs in one commit. `runner`: claims, loads,
//!   decides, has it written, and only then acts. `handle`: what services tell it. `counters`: what it did so far.

#[cfg(feature = "ssr")]
pub mod counters;
#[cfg(feature = "ssr")]
pub mod decide;
#[cfg(feature = "ssr")]
pub mod handle;
pub mod journal;
#[cfg(feature = "ssr")]
pub mod machine;
pub mod plan;
pub mod port;
#[cfg(feature = "ssr")]
pub mod retry;
#[cfg(feature = "ssr")]
pub mod reuse;
#[cfg(feature = "ssr")]
pub mod runner;
pub mod state;
#[cfg(feature = "ssr")]
pub mod store;
pub mod view;
#[cfg(feature = "ssr")]
pub mod writer;
