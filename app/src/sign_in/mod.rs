//! Signing in and out.

pub mod api;
