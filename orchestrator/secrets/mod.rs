//! Secrets: secrets.toml, its references and its edits, and the settings of a run made whole.

pub mod edit;
pub mod file;
pub mod hidden;
pub(crate) mod merge;
pub mod reference;
pub mod resolve;
pub mod section;
#[cfg(test)]
mod tests;

pub use edit::{NewValue, Place, set, unset};
pub use file::SecretsFile;
pub use resolve::{Resolved, ResolvedSecret, check, check_source, resolve, resolve_from, resolve_with};
