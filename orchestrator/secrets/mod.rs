//! Secrets: secrets.toml, its references and its edits, and the settings of a run made whole.

pub mod edit;
pub mod file;
pub mod hidden;
mod merge;
pub mod reference;
pub mod resolve;
#[cfg(test)]
mod tests;

pub use edit::{NewValue, Place, set, unset};
pub use file::SecretsFile;
pub use resolve::{Resolved, ResolvedSecret, check, resolve, resolve_with};
