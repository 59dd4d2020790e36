//! Signing up.

pub mod api;
