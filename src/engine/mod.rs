//! Durable execution. Pure where it decides, narrow where it acts, and ignorant of every feature.
//!
//! - [`plan`]: what a run executes.
//! - [`state`], [`journal`], [`view`]: what a run is at, the numbered events that say so, and the fold from the one to the
//!   other, the same on the server and in the browser.
//! - [`port`]: all that a run may ask of the world.

pub mod journal;
pub mod plan;
pub mod port;
pub mod state;
pub mod view;
