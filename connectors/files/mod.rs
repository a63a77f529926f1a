//! Files as a source: CSV and JSONL, plain or gzip; one file or a glob is one stream.
//!
//! The way of a value: [`input`] opens a file, [`records`] cuts it into rows with exact line
//! numbers ([`csv`] finds the fields, [`jsonl`] the members), each value becomes a [`cell`], and a
//! [`column`] takes it only if nothing of it is lost. [`guess`] infers types under the same rule.
//! [`read`] goes file by file, with the [`ledger`] where the stream is read incrementally.

mod cell;
mod column;
mod csv;
mod discover;
mod faults;
mod fields;
mod guess;
mod header;
mod input;
mod jsonl;
mod ledger;
mod listing;
mod moment;
mod number;
mod options;
mod read;
mod reader;
mod records;
mod rows;
mod sample;
mod session;
mod sink;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::connector::Role;
use waybill_protocol::{Context, Error, NoSettings, Result, Source, System};

pub use options::{Compression, Format, OnChange, StreamOptions};

/// Files: CSV and JSONL.
pub struct Files;

/// Settings of `files` as a source.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesSettings {
    /// The folder that the streams' paths start at. Default: the folder of config.json; a relative
    /// path starts there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

#[async_trait]
impl System for Files {
    const NAME: &'static str = "files";
    const TITLE: &'static str = "Files (CSV, JSONL)";
    const ROLES: &'static [Role] = &[Role::Source];
    type Source = FilesSettings;
    type Destination = NoSettings;
    type Stream = StreamOptions;

    fn validate_source(settings: &FilesSettings) -> Result<()> {
        match settings.root.as_deref() {
            Some("") => Err(Error::config("root: an empty path names no folder")
                .hint("leave root out to start at the folder of config.json")),
            Some(root) if root.contains('\0') => Err(Error::config("root: a path cannot hold a NUL byte")),
            _ => Ok(()),
        }
    }

    async fn open_source(ctx: Context, settings: FilesSettings) -> Result<Box<dyn Source>> {
        let root = ctx.base_dir.join(settings.root.as_deref().unwrap_or("."));
        let root: PathBuf = std::path::absolute(&root).map_err(|e| faults::io(&root.to_string_lossy(), e))?;
        // `a/.` and `a` are one folder; without this, paths below it would not compare.
        let root: PathBuf = root.components().collect();
        Ok(Box::new(session::Session::new(ctx, root, settings.root)))
    }
}
