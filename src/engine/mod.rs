//! Durable execution. Pure where it decides, narrow where it acts, and ignorant of every feature.
//!
//! - [`plan`]: what a run executes.
//! - [`state`], [`journal`]: what a run is at, and the numbered events that say so, the same on the server and in the browser.
//! - [`port`]: all that a run may ask of the world.

pub mod journal;
pub mod plan;
pub mod port;
pub mod state;
