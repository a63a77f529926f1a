//! The archive of a project as the commands look at it.

use uuid::Uuid;
use waybill_protocol::{Error, Kind, Origin, Result};

use crate::history::{Archive, RunEntry};
use crate::store::lock;
use crate::store::project::Project;

/// Looks at the runs of a project, as of now and from this host.
pub(crate) fn with_archive<T>(project: &Project, look: impl FnOnce(&Archive<'_>) -> Result<T>) -> Result<T> {
    let host = host();
    let is_locked = |id: &str| Uuid::try_parse(id).is_ok_and(|id| lock::is_held(project, id));
    look(&Archive::new(&project.runs_dir, &project.run_logs_dir, &host, &is_locked))
}

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

/// This host, as a run's record names it.
pub(crate) fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let named = named.map(|name| name.trim().to_owned()).ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "localhost".to_owned())
}
