//! Settings: the profile, and API keys.

pub mod api;
