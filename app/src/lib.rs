//! Pages and thin server functions.

pub mod live;
