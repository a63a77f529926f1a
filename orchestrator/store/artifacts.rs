//! Where a run's artifacts lie, all under the UTC date of its start.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use waybill_protocol::{Error, Result};

use super::atomic::unwritable;
use super::name::{check_name, check_run_id};
use super::project::Project;

/// The paths of one run's artifacts. Only [`Artifacts::prepare`] touches the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// The event log.
    pub events: PathBuf,
    /// What child processes wrote.
    pub stderr: PathBuf,
    /// Rows that could not be loaded.
    pub rejects: PathBuf,
    /// The catalog, where it is too large for an event.
    pub catalog: PathBuf,
    /// The states, where they are too large for an event.
    pub state: PathBuf,
    /// The summary.
    pub summary: PathBuf,
}

impl Artifacts {
    /// The paths of a run; refuses a name or a run id that could not be part of a file name.
    pub fn new(
        project: &Project,
        connection: &str,
        run_id: &str,
        started: DateTime<Utc>,
    ) -> Result<Artifacts> {
        check_name("connection name", connection)?;
        check_run_id(run_id)?;
        let date = started.format("%Y-%m-%d").to_string();
        let logs = project.run_logs_dir.join(&date);
        let log = |kind: &str| logs.join(format!("{connection}_{run_id}_{kind}"));
        // ASCII by the rule above, so that bytes are characters.
        let tail = run_id.get(run_id.len().saturating_sub(8)..).unwrap_or(run_id);
        let stamp = started.format("%Y%m%dT%H%M%S%3fZ");
        Ok(Artifacts {
            events: log("events.jsonl"),
            stderr: log("stderr.log"),
            rejects: log("rejects.jsonl"),
            catalog: log("catalog.json"),
            state: log("state.json"),
            summary: project.runs_dir.join(date).join(format!("{connection}_{stamp}_{tail}.json")),
        })
    }

    /// The same paths for a run whose id was that of runs that were killed: their logs stay, and this
    /// one's has a number behind the id (`…_<run id>.2_events.jsonl`). The caller holds the run lock.
    pub fn beside_earlier(self) -> Artifacts {
        let numbered = |number: u32| {
            let with = |path: &Path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let (run, kind) = name.rsplit_once('_').unwrap_or((&name, ""));
                path.with_file_name(format!("{run}.{number}_{kind}"))
            };
            Artifacts {
                events: with(&self.events),
                stderr: with(&self.stderr),
                rejects: with(&self.rejects),
                catalog: with(&self.catalog),
                state: with(&self.state),
                summary: self.summary.clone(),
            }
        };
        let mut found = self.clone();
        // A log of another day lies in another folder and is in nobody's way.
        for number in 2..10_000 {
            if !found.events.exists() {
                break;
            }
            found = numbered(number);
        }
        found
    }

    /// Creates both folders and proves that both can be written, or refuses before anything else
    /// is touched. An event log of the same run must not be there yet.
    pub fn prepare(&self) -> Result<()> {
        for file in [&self.summary, &self.events] {
            let folder = file.parent().unwrap_or(Path::new("."));
            if let Err(error) = prove(folder) {
                // Where the first folder was made just now and the second cannot be, none stays.
                let folders = [&self.summary, &self.events].map(|file| file.parent());
                folders.into_iter().flatten().for_each(|folder| drop(fs::remove_dir(folder)));
                return Err(unwritable(folder, error).context("the run cannot leave its record"));
            }
        }
        if self.events.exists() {
            return Err(Error::config(format!("{} is there already", self.events.display()))
                .hint("give each run a run id of its own, or none"));
        }
        Ok(())
    }

    /// Kind → path, for `run.started` and the summary.
    pub fn paths(&self) -> BTreeMap<String, String> {
        let named = [
            ("events", &self.events),
            ("stderr", &self.stderr),
            ("rejects", &self.rejects),
            ("catalog", &self.catalog),
            ("state", &self.state),
            ("summary", &self.summary),
        ];
        named.into_iter().map(|(kind, path)| (kind.to_owned(), path.display().to_string())).collect()
    }
}

/// Creates the folder and writes a block into it: an empty file fits on a full disk.
fn prove(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Without a name, so that a process that is killed here leaves nothing behind.
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&[b' '; 4096])?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;

    fn start() -> DateTime<Utc> {
        "2026-01-02T03:04:05.006Z".parse().unwrap()
    }

    #[test]
    fn names_follow_the_design() {
        let home = Home::new("{}");
        let run = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000";
        let found = Artifacts::new(&home.project, "crm", run, start()).unwrap();
        let dir = &home.project.dir;
        assert_eq!(found.events, dir.join(format!("run_logs/2026-01-02/crm_{run}_events.jsonl")));
        assert_eq!(found.stderr, dir.join(format!("run_logs/2026-01-02/crm_{run}_stderr.log")));
        assert_eq!(found.summary, dir.join("runs/2026-01-02/crm_20260102T030405006Z_ffff0000.json"));
        found.prepare().unwrap();
        found.prepare().unwrap();
        assert_eq!(fs::read_dir(found.events.parent().unwrap()).unwrap().count(), 0);
        fs::write(&found.events, "").unwrap();
        assert!(found.prepare().unwrap_err().message().contains("is there already"));
        let second = found.clone().beside_earlier();
        assert_eq!(second.events, dir.join(format!("run_logs/2026-01-02/crm_{run}.2_events.jsonl")));
        assert_eq!(second.rejects, dir.join(format!("run_logs/2026-01-02/crm_{run}.2_rejects.jsonl")));
        fs::write(&second.events, "").unwrap();
        let third = found.clone().beside_earlier();
        assert_eq!(third.events, dir.join(format!("run_logs/2026-01-02/crm_{run}.3_events.jsonl")));
        assert!(
            Artifacts::new(&home.project, "crm", "r1", start())
                .unwrap()
                .summary
                .ends_with("2026-01-02/crm_20260102T030405006Z_r1.json")
        );
        assert_eq!(found.paths().len(), 6);
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let home = Home::new("{}");
        assert!(Artifacts::new(&home.project, "../x", "r", start()).is_err());
        assert!(Artifacts::new(&home.project, "x", "../r", start()).is_err());
    }

    #[test]
    fn a_run_that_cannot_leave_its_record_is_refused_before_anything_is_touched() {
        let home = Home::new("{}");
        let found = Artifacts::new(&home.project, "crm", "r", start()).unwrap();
        fs::write(&home.project.run_logs_dir, "a file").unwrap();
        let error = found.prepare().unwrap_err();
        assert!(error.message().contains("run_logs") && error.get_hint().unwrap().contains("a file stands"));
        assert_eq!(error.exit_code(), 3);
        assert!(!found.summary.parent().unwrap().exists());
    }
}
