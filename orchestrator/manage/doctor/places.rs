//! Where a project's files lie, whether they can be used, and how much room there is.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Area, Level};
use crate::secrets::reference::{ALLOW_LOOSE, loose_allowed};
use crate::store::project::{Origin, Project};
use crate::summary::units::bytes;

/// Below this a run may soon fail.
const LITTLE: u64 = 1 << 30;
/// Below this one will.
const NONE: u64 = 64 << 20;

/// Every place, with where it comes from.
pub(super) fn places(project: &Project, area: &mut Area<'_>) {
    let from = |field: &str| project.origins.get(field).unwrap_or(&Origin::Default).to_string();
    let dir = project.dir.display().to_string();
    match fs::metadata(&project.dir) {
        Ok(found) if found.is_dir() => area.ok(&dir, format!("the project's folder ({})", from("dir"))),
        _ => area.add(
            Level::Error,
            &dir,
            format!("is no folder ({})", from("dir")),
            Some(format!("waybill init {dir}")),
        ),
    }
    file(&project.config_path, "config", &from("config_path"), area);
    secrets(project, &from("secrets_path"), area);
    for (field, path, what) in [
        ("runs_dir", &project.runs_dir, "summaries and run locks"),
        ("run_logs_dir", &project.run_logs_dir, "event logs"),
        ("backups_dir", &project.backups_dir, "earlier versions of the config"),
    ] {
        folder(path, what, &from(field), area);
    }
}

fn file(path: &Path, what: &str, origin: &str, area: &mut Area<'_>) {
    let name = path.display().to_string();
    match OpenOptions::new().write(true).open(path) {
        Ok(_) => area.ok(&name, format!("{what} ({origin}), mode {}", mode(path))),
        // The reader of the config says so, with more.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => area.add(
            Level::Warning,
            &name,
            format!(
                "{what} ({origin}): cannot be written: {e}; runs work, what they reached is not written there"
            ),
            Some(format!("chmod u+w {name}")),
        ),
    }
}

fn secrets(project: &Project, origin: &str, area: &mut Area<'_>) {
    let path = &project.secrets_path;
    let name = path.display().to_string();
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            area.ok(&name, format!("secrets ({origin}): not there yet"));
        }
        Err(e) => {
            area.add(Level::Error, &name, format!("secrets ({origin}): {e}"), Some(format!("ls -l {name}")));
        }
        Ok(found) if found.permissions().mode() & 0o077 != 0 && !loose_allowed(project) => area.add(
            Level::Error,
            &name,
            format!("secrets ({origin}): others than the owner can read it, mode {}", mode(path)),
            Some(format!("chmod 600 {name}")),
        ),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => area.add(
            Level::Warning,
            &name,
            format!(
                "secrets ({origin}): others can read it, mode {}, and {ALLOW_LOOSE} allows that",
                mode(path)
            ),
            Some(format!("chmod 600 {name}")),
        ),
        Ok(_) => area.ok(&name, format!("secrets ({origin}), mode {}", mode(path))),
    }
}

fn folder(path: &Path, what: &str, origin: &str, area: &mut Area<'_>) {
    let name = path.display().to_string();
    let Some(there) = path.ancestors().find(|path| path.exists()) else { return };
    if !there.is_dir() {
        let detail = format!("{what} ({origin}): {} is no folder", there.display());
        return area.add(Level::Error, &name, detail, Some(format!("mv {0} {0}.old", there.display())));
    }
    // Only trying shows what modes, owners and mounts come to.
    match tempfile::Builder::new().prefix(".waybill-doctor-").tempfile_in(there) {
        Ok(_) if there == path => area.ok(&name, format!("{what} ({origin}), mode {}", mode(path))),
        Ok(_) => area.ok(&name, format!("{what} ({origin}): made by the first run")),
        Err(e) => area.add(
            Level::Error,
            &name,
            format!("{what} ({origin}): {} cannot be written: {e}", there.display()),
            Some(format!("chmod u+rwx {}", there.display())),
        ),
    }
}

fn mode(path: &Path) -> String {
    fs::metadata(path).map_or_else(|_| "?".to_owned(), |m| format!("{:04o}", m.permissions().mode() & 0o7777))
}

/// Room on the disks of the record.
pub(super) fn disk(project: &Project, area: &mut Area<'_>) {
    let mut said: Vec<(u64, u64)> = Vec::new();
    for path in [&project.dir, &project.runs_dir, &project.run_logs_dir] {
        let Some(there) = path.ancestors().find(|path| path.is_dir()) else { continue };
        let (Ok(free), Ok(total)) = (fs2::available_space(there), fs2::total_space(there)) else { continue };
        if said.contains(&(free, total)) {
            continue;
        }
        said.push((free, total));
        let what = there.display().to_string();
        let detail = format!("{} free of {}", bytes(free), bytes(total));
        let remedy =
            Some(format!("df -h {what}, and remove what is not needed; keep_runs bounds the record"));
        match free {
            free if free < NONE => area.add(Level::Error, &what, detail, remedy),
            free if free < LITTLE => area.add(Level::Warning, &what, detail, remedy),
            _ => area.ok(&what, detail),
        }
    }
}
