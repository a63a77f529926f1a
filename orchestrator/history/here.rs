//! The archive of a project, as of now and seen from this host.

use uuid::Uuid;
use waybill_protocol::Result;

use super::Archive;
use crate::store::lock;
use crate::store::project::Project;

/// Looks at the runs of a project.
pub fn with_archive<T>(project: &Project, look: impl FnOnce(&Archive<'_>) -> Result<T>) -> Result<T> {
    with_lock_of(project, None, look)
}

/// Looks at the runs of a project while this process holds the run lock of connection `ours`: every
/// earlier run of it on this host is over.
pub fn with_lock_of<T>(
    project: &Project,
    ours: Option<Uuid>,
    look: impl FnOnce(&Archive<'_>) -> Result<T>,
) -> Result<T> {
    // What was taken from elsewhere says nothing of the locks here.
    let host = if project.as_of.is_some() { String::new() } else { host() };
    let is_locked =
        |id: &str| Uuid::try_parse(id).is_ok_and(|id| ours != Some(id) && lock::is_held(project, id));
    let mut archive = Archive::new(&project.runs_dir, &project.run_logs_dir, &host, &is_locked);
    archive.now = project.as_of.unwrap_or(archive.now);
    look(&archive)
}

/// The name of this host, as a run's record has it.
pub fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let named = named.map(|name| name.trim().to_owned()).ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "localhost".to_owned())
}
