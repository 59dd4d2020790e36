//! Runs on screen: a run's tree, its bars and its log.

#[cfg(test)]
mod fixture;
pub mod tree;
pub mod waterfall;
