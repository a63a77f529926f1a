//! What is on disk: the project's files, config.json and its edits, locks, and a run's artifacts.

pub mod artifacts;
pub mod atomic;
pub mod config;
pub mod edit;
pub mod glob;
pub mod lock;
pub mod name;
pub mod nearest;
pub mod project;
pub mod schema;
pub mod shape;
pub mod sidecar;
pub mod span;
pub mod splice;
pub mod state;
pub(crate) mod systems;
#[cfg(test)]
pub(crate) mod testing;
