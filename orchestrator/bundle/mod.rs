//! A run's record in one file, to be looked at elsewhere: what there is about it, laid out as a
//! project folder, with a manifest of hashes. No secret passes into it.

mod gather;
mod pack;
mod secrets;
mod unpack;

use std::path::Path;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use waybill_protocol::{Error, Origin};

use crate::summary::RunStatus;

pub use gather::gather;
pub use pack::pack;
pub use unpack::{Opened, open};

/// Version of the layout.
pub const VERSION: u32 = 1;
/// The manifest's name in a bundle.
const MANIFEST: &str = "manifest.json";

/// What a bundle holds: its first file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of the layout.
    pub version: u32,
    /// The run that it is about.
    pub run_id: String,
    /// The run's connection.
    pub connection: String,
    /// How the run stood when the bundle was made.
    pub status: RunStatus,
    /// When the bundle was made.
    pub created_at: DateTime<Utc>,
    /// The version of the program that made it.
    pub waybill: String,
    /// Every other file of it.
    pub files: Vec<Packed>,
    /// What was there and is not in it, and why.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// How many secrets it was looked through for.
    pub secrets: usize,
    /// Places of secrets that could not be read, and so were not looked for.
    #[serde(default)]
    pub secrets_unread: Vec<String>,
}

/// A file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packed {
    /// Its path in the bundle.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Their SHA-256, in hex.
    pub sha256: String,
}

/// The JSON Schema of a manifest.
pub fn schema() -> Schema {
    schema_for!(Manifest)
}

/// The content of a bundle before it is written.
pub struct Contents {
    /// What it says of itself; `files` is filled by [`pack`].
    pub manifest: Manifest,
    /// Path in the bundle and what stands there.
    pub files: Vec<(String, Part)>,
    /// The secrets that must not be in it.
    pub redactor: crate::events::redact::Redactor,
    /// What anybody may read in the config.
    pub published: serde_json::Value,
}

/// Where the bytes of a file come from.
pub enum Part {
    /// A file on disk.
    File(std::path::PathBuf),
    /// Made for the bundle.
    Made(Vec<u8>),
}

fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::config(format!("{} cannot be read as a bundle: {why}", path.display()))
        .origin(Origin::Orchestrator)
        .hint("a bundle is what `waybill runs bundle` writes; copy it again, whole")
}

#[cfg(test)]
mod tests;
