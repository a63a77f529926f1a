//! Writing a file so that after any crash it is either the old one or the new one, whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use tempfile::NamedTempFile;
use waybill_protocol::{Error, Kind, Result};

/// The steps that make a write durable, apart so that tests can watch them and make them fail.
pub(crate) trait Disk {
    /// Writes the bytes into the temporary file.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Makes the temporary file's content durable.
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Puts the temporary file in the place of the target.
    fn rename(&self, file: NamedTempFile, target: &Path) -> io::Result<()> {
        let temporary = file.into_temp_path();
        // The standard library's, which goes through the C library, so that tests can stand between.
        fs::rename(&temporary, target)?;
        // It has its new name by now: nothing is left to be removed.
        let _ = temporary.keep();
        Ok(())
    }

    /// Makes the folder's new entry durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        match File::open(folder)?.sync_all() {
            // Some network file systems have no such thing; there is nothing more to do on them.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            done => done,
        }
    }
}

/// The real disk.
pub(crate) struct RealDisk;

impl Disk for RealDisk {}

/// Replaces or creates a file: temporary file in the same folder, fsync, rename, fsync of the
/// folder. The mode is `mode`, else that of the file it replaces, else the usual one; an existing
/// file's owner is kept, and one that this user may not write is not replaced. `path` itself is
/// replaced: the caller resolves symbolic links.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<()> {
    write_through(&RealDisk, path, bytes, mode)
}

pub(crate) fn write_through(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<()> {
    steps(disk, path, bytes, mode).map_err(|e| unwritable(path, e))
}

fn steps(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err(io::ErrorKind::IsADirectory.into()),
    };
    let existing = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) => Some(found),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    // A file that this user may not write is not replaced either, although its folder would allow it.
    if existing.is_some() {
        OpenOptions::new().write(true).open(path)?;
    }
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix(path))
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode.unwrap_or(0o666)))
        .tempfile_in(folder)?;
    if let Some(existing) = &existing {
        let made = temporary.as_file().metadata()?;
        if (made.uid(), made.gid()) != (existing.uid(), existing.gid()) {
            keep_owner(temporary.as_file(), existing)?;
        }
    }
    // After the change of owner, which may clear bits.
    if let Some(mode) = mode.or(existing.map(|found| found.mode() & 0o7777)) {
        temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    disk.write(temporary.as_file_mut(), bytes)?;
    disk.sync_file(temporary.as_file())?;
    disk.rename(temporary, path)?;
    disk.sync_folder(folder)
}

/// Gives a new file the owner of the one that it replaces. Where only root may do so, another user
/// of the file's group becomes its owner, if the group may do all that the owner may: then nobody's
/// rights change.
fn keep_owner(file: &File, existing: &fs::Metadata) -> io::Result<()> {
    match fchown(file, Some(existing.uid()), Some(existing.gid())) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let (owner, group) = (existing.mode() >> 6 & 7, existing.mode() >> 3 & 7);
            if owner & !group != 0 {
                return Err(e);
            }
            fchown(file, None, Some(existing.gid()))
        }
        done => done,
    }
}

/// Temporary files are named for the file that they are to become.
fn prefix(path: &Path) -> String {
    format!(".{}.waybill-", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes temporary files that a killed process left beside a file. The caller holds the lock of
/// that file, so that none of them is in use; best effort.
pub(crate) fn sweep(path: &Path) {
    remove_temporary(path, &prefix(path));
}

/// The same for files whose names begin with that of `path`, as those of its backups do.
pub(crate) fn sweep_beginning(path: &Path) {
    remove_temporary(path, &format!(".{}", path.file_name().unwrap_or_default().to_string_lossy()));
}

fn remove_temporary(path: &Path, prefix: &str) {
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.contains(".waybill-") && name.ends_with(".tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The error of a file or folder that cannot be written, with what to do about it.
pub(crate) fn unwritable(path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as E;
    let kind = match error.kind() {
        E::PermissionDenied | E::ReadOnlyFilesystem => Kind::Permission,
        _ => Kind::Config,
    };
    let hint = match error.kind() {
        E::PermissionDenied => "give this user the right to write that file and its folder",
        E::ReadOnlyFilesystem => "mount the folder read-write, or name another one",
        E::ResourceBusy | E::CrossesDevices => {
            "a single mounted file cannot be replaced: mount the folder that holds it"
        }
        E::StorageFull | E::QuotaExceeded => "make room on that disk",
        E::IsADirectory => "a folder stands where the file should be: move it away, or name another file",
        E::NotADirectory => "a file stands where a folder should be: move it away, or name another folder",
        E::NotFound => "create the folder that holds it",
        _ => "look at the folder and its disk",
    };
    Error::new(kind, format!("{} cannot be written: {error}", path.display())).hint(hint).cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::path::PathBuf;

    /// Records the steps; fails at one of them.
    #[derive(Default)]
    struct Watched {
        steps: RefCell<Vec<(&'static str, PathBuf)>>,
        fail: Option<(&'static str, i32)>,
    }

    impl Watched {
        fn step(&self, name: &'static str, path: &Path) -> io::Result<()> {
            self.steps.borrow_mut().push((name, path.to_path_buf()));
            match self.fail {
                Some((step, code)) if step == name => Err(io::Error::from_raw_os_error(code)),
                _ => Ok(()),
            }
        }
    }

    impl Disk for Watched {
        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            // What a full disk leaves: the beginning.
            file.write_all(&bytes[..bytes.len() / 2])?;
            self.step("write", Path::new(""))?;
            file.write_all(&bytes[bytes.len() / 2..])
        }

        fn sync_file(&self, file: &File) -> io::Result<()> {
            self.step("sync_file", Path::new(""))?;
            RealDisk.sync_file(file)
        }

        fn rename(&self, file: NamedTempFile, target: &Path) -> io::Result<()> {
            self.step("rename", target)?;
            RealDisk.rename(file, target)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.step("sync_folder", folder)?;
            RealDisk.sync_folder(folder)
        }
    }

    fn names(watched: &Watched) -> Vec<&'static str> {
        watched.steps.borrow().iter().map(|(name, _)| *name).collect()
    }

    #[test]
    fn the_folder_is_synced_after_the_rename() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let watched = Watched::default();
        write_through(&watched, &path, b"new", None).unwrap();
        assert_eq!(names(&watched), ["write", "sync_file", "rename", "sync_folder"]);
        assert_eq!(watched.steps.borrow()[3].1, folder.path());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn syncing_a_folder_really_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        RealDisk.sync_folder(folder.path()).unwrap();
        assert!(RealDisk.sync_folder(&folder.path().join("gone")).is_err());
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_file_and_nothing_else() {
        // ENOSPC, EIO, EBUSY (a bind-mounted file), EXDEV, EROFS.
        for (step, code, word) in [
            ("write", 28, "make room"),
            ("sync_file", 5, "disk"),
            ("rename", 16, "mount the folder"),
            ("rename", 18, "mount the folder"),
            ("rename", 30, "read-write"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            fs::write(&path, "old").unwrap();
            let watched = Watched { fail: Some((step, code)), ..Watched::default() };
            let error = write_through(&watched, &path, b"new one", None).unwrap_err();
            assert!(error.message().contains("cannot be written"), "{error}");
            assert!(error.get_hint().unwrap().contains(word), "{step} {code}: {:?}", error.get_hint());
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{step}: a temporary file stayed");
        }
    }

    #[test]
    fn mode_and_owner_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        // Only root may give a file away; elsewhere the owner is this user's anyway.
        let _ = std::os::unix::fs::chown(&path, Some(1), Some(1));
        let before = fs::metadata(&path).unwrap();
        write_atomic(&path, b"new", None).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
        assert_ne!(before.ino(), after.ino());
        write_atomic(&path, b"new", Some(0o600)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for name in [".config.json.waybill-x1.tmp", ".secrets.toml.waybill-x1.tmp", "config.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        sweep(&path);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".secrets.toml.waybill-x1.tmp", "config.json"]);
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_and_a_file_in_the_place_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(folder.path(), b"x", None).unwrap_err();
        assert!(error.get_hint().unwrap().contains("a folder stands"), "{error:?}");
        let file = folder.path().join("f");
        fs::write(&file, "").unwrap();
        let error = write_atomic(&file.join("x"), b"x", None).unwrap_err();
        assert!(error.get_hint().unwrap().contains("a file stands"), "{error:?}");
    }
}
