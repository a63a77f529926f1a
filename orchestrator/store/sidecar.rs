//! The lock of an edit: a file beside the one that is edited, since the rename replaces that one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use waybill_protocol::{Error, Kind, Result};

use super::atomic::unwritable;

/// How long an edit waits for another one; each holds the lock for milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A held sidecar lock; given back on drop.
#[derive(Debug)]
pub struct Sidecar {
    _file: File,
}

/// The lock file of a file.
pub fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".lock");
    PathBuf::from(name)
}

/// Whether another process holds the lock of a file. Creates nothing.
pub fn is_held(path: &Path) -> bool {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let Ok(file) = File::open(lock_path(&target)) else { return false };
    fs2::FileExt::try_lock_shared(&file).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}

/// Opens the lock file, or makes it: whoever may write the file itself may lock it.
fn open(path: &Path, lock: &Path) -> io::Result<File> {
    let found = OpenOptions::new().write(true).open(lock);
    if !matches!(&found, Err(e) if e.kind() == io::ErrorKind::NotFound) {
        return found;
    }
    let mode = fs::metadata(path).map_or(0o600, |target| target.permissions().mode() & 0o666 | 0o600);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(mode).open(lock)?;
    // Past the umask, and only by whoever has just made it.
    let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    Ok(file)
}

impl Sidecar {
    /// Takes the lock of `path`, waiting up to `patience`.
    pub fn take(path: &Path, patience: Duration) -> Result<Sidecar> {
        let lock = lock_path(path);
        let file = open(path, &lock).map_err(|e| unwritable(&lock, e))?;
        let start = Instant::now();
        loop {
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => return Ok(Sidecar { _file: file }),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    return Err(Error::config(format!("{} cannot be locked: {e}", lock.display()))
                        .hint("keep the project on a file system with locks")
                        .cause(e));
                }
            }
            if start.elapsed() >= patience {
                let seconds = patience.as_secs_f64();
                return Err(Error::new(
                    Kind::Locked,
                    format!("{} is being edited by another process: waited {seconds} s", path.display()),
                )
                .hint(format!("find it with `fuser {}`, then try again", lock.display())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_bounded_and_says_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let held = Sidecar::take(&path, Duration::ZERO).unwrap();
        let error = Sidecar::take(&path, Duration::from_millis(40)).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Locked, 6));
        drop(held);
        assert!(Sidecar::take(&path, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_folder_in_the_place_of_the_lock_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::create_dir(lock_path(&path)).unwrap();
        assert!(Sidecar::take(&path, Duration::ZERO).unwrap_err().message().contains("config.json.lock"));
    }
}
