//! Runs on screen: a run's tree, its bars and its log.

pub mod again;
pub mod api;
pub mod asked;
pub mod compare;
pub mod detail;
pub mod facts;
pub mod find;
#[cfg(test)]
mod fixture;
#[cfg(feature = "ssr")]
mod found;
pub mod gaps;
pub mod line;
pub mod list;
pub mod model;
pub mod page;
pub mod part;
pub mod path;
pub mod place;
pub mod steps;
pub mod tree;
pub mod waterfall;
pub mod words;
