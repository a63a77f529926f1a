//! The runs that wrote the states of streams, and what their logs still say.

use std::collections::BTreeMap;

use serde::Serialize;
use waybill_protocol::{Result, StateRow};

use crate::history::RunEntry;
use crate::history::receipts::{Trace, traces};
use crate::history::with_archive;
use crate::store::project::Project;

/// Where a state came from.
#[derive(Debug, Serialize)]
pub(super) struct Origin {
    /// The run, where it left a record here.
    pub(super) run: Option<RunEntry>,
    /// What its log says, where that is still there.
    pub(super) trace: Option<Trace>,
    /// Order-free hash of all rows of that run.
    hash: Option<String>,
}

/// The origin of each row, by stream.
pub(super) fn origins(
    project: &Project,
    rows: &BTreeMap<String, StateRow>,
) -> Result<BTreeMap<String, Origin>> {
    let runs = with_archive(project, |archive| archive.list(None))?;
    let mut logs: BTreeMap<&str, Option<BTreeMap<String, Trace>>> = BTreeMap::new();
    let mut origins = BTreeMap::new();
    for (stream, row) in rows {
        let run = runs.iter().find(|run| run.run_id == row.run_id);
        let log = run.and_then(|run| run.log_path.as_ref());
        // A log that cannot be read is as good as gone.
        let found = logs.entry(&row.run_id).or_insert_with(|| log.and_then(|path| traces(path).ok()));
        let trace = found.as_ref().and_then(|traces| traces.get(stream).cloned());
        let hash = trace.as_ref().and_then(Trace::hash);
        origins.insert(stream.clone(), Origin { run: run.cloned(), trace, hash });
    }
    Ok(origins)
}
