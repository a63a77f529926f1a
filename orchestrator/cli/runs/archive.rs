//! Which run a person means.

use std::path::PathBuf;

use waybill_protocol::{Error, Kind, Origin, Result};

use crate::history::{Archive, RunEntry};
use crate::run::gate::QUARANTINED;

/// The run that a person means; where there is none at all, that is what is said.
pub(crate) fn resolve(archive: &Archive<'_>, query: &str) -> Result<RunEntry> {
    match archive.resolve(query) {
        Err(error) if error.kind() == Kind::NotFound && archive.list(Some(1))?.is_empty() => {
            Err(Error::new(Kind::NotFound, "there are no runs yet")
                .origin(Origin::Orchestrator)
                .hint("waybill run NAME makes one; `waybill connection list` shows the names"))
        }
        found => found,
    }
}

/// Where the event log of a run lies; one that is gone or was put aside is an error that says so.
pub(crate) fn log_of(archive: &Archive<'_>, entry: &RunEntry) -> Result<PathBuf> {
    if let Some(log) = &entry.log_path {
        return Ok(log.clone());
    }
    let summary = archive.show(entry)?;
    let named = summary.artifacts.get("log").filter(|log| log.ends_with(QUARANTINED));
    let error = match named {
        Some(log) => Error::new(
            Kind::NotFound,
            format!(
                "the event log of run {} was put aside, because a secret stands in it: {log}",
                entry.run_id
            ),
        ),
        None => Error::new(Kind::NotFound, format!("the event log of run {} is gone", entry.run_id)),
    };
    Err(error
        .origin(Origin::Orchestrator)
        .hint(format!("what is known of the run: waybill runs show {}", entry.run_id)))
}
