//! `waybill runs bundle`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

use super::archive::resolve;
use super::look::short_id;
use crate::bundle;
use crate::cli::connection::session::until_signal;
use crate::cli::terminal::Terminal;
use crate::history::with_archive;
use crate::store::project::Project;
use crate::summary::units::{bytes, counted};

/// Puts the record of a run into one file, to be looked at elsewhere.
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
    /// The file [default: waybill-CONNECTION-RUN.tar.gz, here]
    #[arg(long, short, value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Writes a bundle.
pub(super) async fn bundle(terminal: &Terminal, project: &Project, args: &BundleArgs) -> Result<u8> {
    let cancel = CancellationToken::new();
    let work = async {
        let entry = with_archive(project, |archive| resolve(archive, &args.run))?;
        let name = || format!("waybill-{}-{}.tar.gz", entry.connection, short_id(&entry.run_id));
        let path = args.output_file.clone().unwrap_or_else(|| PathBuf::from(name()));
        if path.exists() && !args.force {
            return Err(Error::config(format!("{} is there already", path.display()))
                .hint("name another file with -o, or replace it with --force"));
        }
        let contents = bundle::gather(project, &entry, &cancel).await?;
        let target = path.clone();
        let packed = tokio::task::spawn_blocking(move || bundle::pack(contents, &target)).await;
        let manifest = packed.map_err(|e| Error::internal("packing").cause(e))??;
        if terminal.json_wanted() {
            terminal.json(&json!({"file": path, "manifest": manifest}))?;
            return Ok(0);
        }
        let size = path.metadata().map_or(0, |known| known.len());
        terminal.out(&path.display().to_string())?;
        terminal.note(&format!(
            "{}, {}; looked through for {}",
            counted(manifest.files.len() as u64, "file"),
            bytes(size),
            counted(manifest.secrets as u64, "secret")
        ));
        manifest.left_out.iter().for_each(|what| terminal.note(&format!("left out: {what}")));
        for place in &manifest.secrets_unread {
            terminal.warn(&format!("not looked through for the secrets of {place}"));
        }
        terminal.note(&format!("anybody can look at it: waybill runs --bundle {} show", path.display()));
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}
