//! The run lock: one run of a connection at a time on this host. It is the operating system's, so
//! it dies with its owner; what stands in the file only says who that is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use waybill_protocol::{Error, Kind, Result};

use super::atomic::unwritable;
use super::project::Project;

/// Who holds a run lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run_id: String,
    /// Its process.
    pub pid: u32,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The connection's name.
    pub connection: String,
}

/// A held run lock; given back on drop, or by the system when the process dies.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

// Whoever looks whether a lock is free holds it for an instant: that is no run.
const GLANCE: Duration = Duration::from_millis(60);

/// The lock file of a connection.
pub fn run_lock_path(project: &Project, connection: Uuid) -> PathBuf {
    project.runs_dir.join(".locks").join(format!("{connection}.lock"))
}

impl RunLock {
    /// Takes the run lock of a connection, at once or waiting up to `wait`; held by another run it
    /// is an error of kind `locked` that says which. Blocks its thread.
    pub fn acquire(
        project: &Project,
        connection: Uuid,
        holder: &Holder,
        wait: Option<Duration>,
    ) -> Result<RunLock> {
        let path = run_lock_path(project, connection);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
        let start = Instant::now();
        let patience = wait.unwrap_or_default().max(GLANCE);
        loop {
            let file = open(&path, true).map_err(|e| unwritable(&path, e))?;
            match try_lock(&path, &file) {
                Ok(true) => return RunLock { file }.sign(&path, holder),
                Ok(false) => {}
                Err(e) => {
                    return Err(Error::config(format!("{} cannot be locked: {e}", path.display()))
                        .hint("keep runs/ on a file system with locks, or set RUNS_DIR")
                        .cause(e));
                }
            }
            if start.elapsed() >= patience {
                return Err(held(&holder.connection, read(&path), wait));
            }
            std::thread::sleep(Duration::from_millis(if start.elapsed() < GLANCE { 5 } else { 100 }));
        }
    }

    fn sign(mut self, path: &Path, holder: &Holder) -> Result<RunLock> {
        let text = serde_json::to_vec(holder)
            .map_err(|e| Error::internal("a lock's holder cannot be written as JSON").cause(e))?;
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&text)
        };
        write().map_err(|e| unwritable(path, e))?;
        Ok(self)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // A lock given back in good order names nobody; the file stays, since removing it races.
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().create(create).truncate(false).read(true).write(create).open(path)
}

/// Tries the lock; false also where the file was removed or replaced under it.
fn try_lock(path: &Path, file: &File) -> io::Result<bool> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => {
            let ours = file.metadata()?;
            Ok(fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
        Err(e) => Err(e),
    }
}

fn read(path: &Path) -> Option<Holder> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(64 << 10).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn held(connection: &str, holder: Option<Holder>, wait: Option<Duration>) -> Error {
    let waited = wait.map_or_else(String::new, |wait| format!(" after waiting {} s", wait.as_secs_f64()));
    let Some(holder) = holder else {
        return Error::new(
            Kind::Locked,
            format!("connection {connection:?} is being run by another process{waited}"),
        )
        .hint("wait for it with --wait-lock SECONDS");
    };
    let since = holder.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let message = format!(
        "connection {connection:?} is being run{waited}: run {}, process {}, since {since}",
        holder.run_id, holder.pid
    );
    Error::new(Kind::Locked, message)
        .hint(format!("wait for it with --wait-lock SECONDS, or see `waybill runs show {}`", holder.run_id))
}

/// Who holds the run lock of a connection now. Also `None` in the instant before a run has signed.
pub fn holder(project: &Project, connection: Uuid) -> Option<Holder> {
    is_held(project, connection).then(|| read(&run_lock_path(project, connection))).flatten()
}

/// Whether a living process holds the run lock of a connection. Creates nothing.
pub fn is_held(project: &Project, connection: Uuid) -> bool {
    let path = run_lock_path(project, connection);
    let Ok(file) = open(&path, false) else { return false };
    // The shared lock lets several look at once; closing the file gives it back.
    fs2::FileExt::try_lock_shared(&file).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;

    fn me(run: &str) -> Holder {
        let since = "2026-01-02T03:04:05Z".parse().unwrap();
        Holder { run_id: run.into(), pid: std::process::id(), since, connection: "crm".into() }
    }

    #[test]
    fn a_second_run_is_told_which_process_and_since_when() {
        let home = Home::new("{}");
        let id = Uuid::new_v4();
        assert!(!is_held(&home.project, id) && holder(&home.project, id).is_none());
        assert!(!home.project.runs_dir.exists());
        let lock = RunLock::acquire(&home.project, id, &me("r1"), None).unwrap();
        assert_eq!(holder(&home.project, id), Some(me("r1")));
        let error = RunLock::acquire(&home.project, id, &me("r2"), None).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (Kind::Locked, 6));
        for part in ["run r1", &format!("process {}", std::process::id()), "since 2026-01-02T03:04:05Z"] {
            assert!(error.message().contains(part), "{error}");
        }
        let wait = Some(Duration::from_millis(80));
        assert!(
            RunLock::acquire(&home.project, id, &me("r2"), wait).unwrap_err().message().contains("0.08 s")
        );
        RunLock::acquire(&home.project, Uuid::new_v4(), &me("r3"), None).unwrap();
        drop(lock);
        assert!(!is_held(&home.project, id) && holder(&home.project, id).is_none());
        RunLock::acquire(&home.project, id, &me("r2"), None).unwrap();
    }

    #[test]
    fn a_lock_left_by_a_dead_process_is_no_lock() {
        let home = Home::new("{}");
        let id = Uuid::new_v4();
        let path = run_lock_path(&home.project, id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for left in [serde_json::to_string(&me("dead")).unwrap(), "{torn".into(), "\0\0".into()] {
            fs::write(&path, left).unwrap();
            assert!(!is_held(&home.project, id) && holder(&home.project, id).is_none());
            let lock = RunLock::acquire(&home.project, id, &me("alive"), None).unwrap();
            assert_eq!(holder(&home.project, id), Some(me("alive")));
            drop(lock);
        }
    }

    #[test]
    fn a_process_that_is_killed_gives_its_lock_back() {
        let home = Home::new("{}");
        let id = Uuid::new_v4();
        let path = run_lock_path(&home.project, id);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let script = "exec 9<>\"$0\"; flock -x 9; echo held; exec sleep 60";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script, path.to_str().unwrap()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 4];
        child.stdout.take().unwrap().read_exact(&mut line).unwrap();
        assert!(is_held(&home.project, id));
        assert!(RunLock::acquire(&home.project, id, &me("r"), None).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_held(&home.project, id));
        RunLock::acquire(&home.project, id, &me("r"), None).unwrap();
    }

    #[test]
    fn a_wait_ends_when_the_lock_is_free_and_onlookers_do_not_disturb() {
        let home = Home::new("{}");
        let id = Uuid::new_v4();
        let lock = RunLock::acquire(&home.project, id, &me("r1"), None).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| RunLock::acquire(&home.project, id, &me("r2"), Some(Duration::from_secs(20))));
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
            waiting.join().unwrap().unwrap();
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    is_held(&home.project, id);
                }
            });
            for _ in 0..50 {
                RunLock::acquire(&home.project, id, &me("r3"), Some(Duration::from_secs(5))).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_a_clear_error() {
        let home = Home::new("{}");
        fs::write(&home.project.runs_dir, "").unwrap();
        let error = RunLock::acquire(&home.project, Uuid::new_v4(), &me("r"), None).unwrap_err();
        assert!(error.message().contains("runs/.locks") && error.exit_code() == 3, "{error}");
    }
}
