//! The shared context: values that the steps of a run, or all runs of an organization, keep under keys. Tools read and
//! write it, and expressions see it as `context`.

mod service;
mod store;

pub use service::{Change, Current, Scope, get, load, set};
