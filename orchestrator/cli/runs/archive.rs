//! Which run a person means.

use waybill_protocol::{Error, Kind, Origin, Result};

use crate::history::{Archive, RunEntry};

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
