//! Runs on screen: a run's tree, its bars and its log.

pub mod again;
pub mod api;
pub mod asked;
pub mod detail;
pub mod facts;
#[cfg(test)]
mod fixture;
pub mod line;
pub mod list;
pub mod model;
pub mod page;
pub mod part;
pub mod steps;
pub mod tree;
pub mod waterfall;
pub mod words;
