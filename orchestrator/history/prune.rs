//! Which artifacts go: those of older runs; one that goes on and the last good run always stay.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::scan::LOG_SUFFIX;
use super::{Archive, RunEntry};
use crate::summary::RunStatus;

/// What goes: a run that all of these let go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rule {
    /// So many of the newest runs of a connection stay; at least one.
    pub keep: usize,
    /// What began later stays.
    pub before: Option<DateTime<Utc>>,
}

/// The runs of a connection that go. `runs` are newest first.
pub fn surplus<'r>(runs: &'r [RunEntry], connection_id: &str, rule: Rule) -> Vec<&'r RunEntry> {
    let ended: Vec<&RunEntry> = runs
        .iter()
        .filter(|run| run.connection_id == connection_id && run.status != RunStatus::Running)
        .collect();
    let good = ended.iter().position(|run| run.status == RunStatus::Succeeded);
    let old = |run: &RunEntry| {
        let began = DateTime::parse_from_rfc3339(&run.started_at);
        rule.before.is_none_or(|before| began.is_ok_and(|began| began < before))
    };
    let goes =
        |(place, run): &(usize, &RunEntry)| *place >= rule.keep.max(1) && Some(*place) != good && old(run);
    ended.into_iter().enumerate().filter(goes).map(|(_, run)| run).collect()
}

impl Archive<'_> {
    /// Every file that a run left.
    pub fn files_of(&self, run: &RunEntry) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = run.summary_path.iter().flat_map(|path| beginning(path, "")).collect();
        let events = LOG_SUFFIX.trim_start_matches('_');
        match (&run.log_path, &run.summary_path) {
            // A second try under the same id has a number in its names, and files of its own.
            (Some(log), _) => files.extend(beginning(log, events)),
            (None, Some(summary)) => {
                let date = summary.parent().and_then(Path::file_name).unwrap_or_default();
                let log = self.logs.join(date).join(super::log_name(&run.connection, &run.run_id));
                files.extend(beginning(&log, events));
            }
            (None, None) => {}
        }
        files
    }
}

/// The files beside one whose names begin as its own does before `end`.
fn beginning(path: &Path, end: &str) -> Vec<PathBuf> {
    let Some((folder, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let stem = name.strip_suffix(end).unwrap_or(name);
    let found = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(stem))
    };
    let mut found: Vec<PathBuf> = found.filter(ours).collect();
    found.sort();
    found
}

/// Removes files, best effort: those that stay, with the reason.
pub fn remove(files: &[PathBuf]) -> Vec<(PathBuf, std::io::Error)> {
    let gone = |file: &PathBuf| match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Some((file.clone(), error)),
        _ => None,
    };
    files.iter().filter_map(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, day: u32, status: RunStatus) -> RunEntry {
        RunEntry {
            run_id: id.into(),
            connection: "c".into(),
            connection_id: "1".into(),
            status,
            presumed: false,
            started_at: format!("2026-01-{day:02}T00:00:00.000000Z"),
            seconds: 0.0,
            rows: 0,
            exit_code: None,
            host: "h".into(),
            summary_path: None,
            log_path: None,
        }
    }

    #[test]
    fn the_last_good_run_and_one_going_on_stay() {
        let runs = [
            run("e", 5, RunStatus::Running),
            run("d", 4, RunStatus::Failed),
            run("c", 3, RunStatus::Crashed),
            run("b", 2, RunStatus::Succeeded),
            run("a", 1, RunStatus::Succeeded),
        ];
        let ids = |connection: &str, rule: Rule| -> Vec<String> {
            surplus(&runs, connection, rule).into_iter().map(|run| run.run_id.clone()).collect()
        };
        let keep = |keep| Rule { keep, before: None };
        assert_eq!(ids("1", keep(1)), ["c", "a"]);
        assert_eq!(ids("1", keep(0)), ["c", "a"]);
        assert!(ids("2", keep(1)).is_empty() && ids("1", keep(9)).is_empty());
        let before = "2026-01-03T00:00:00Z".parse().ok();
        assert_eq!(ids("1", Rule { keep: 0, before }), ["a"]);
    }

    #[test]
    fn every_file_of_a_run_is_found_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("run_logs");
        let day = logs.join("2026-01-01");
        fs::create_dir_all(&day).unwrap();
        let names = [
            "c_r1_events.jsonl",
            "c_r1_rejects.jsonl",
            "c_r1_stderr.log",
            "c_r1.2_events.jsonl",
            "c_r11_events.jsonl",
        ];
        names.iter().for_each(|name| fs::write(day.join(name), "").unwrap());
        let archive = Archive::new(folder.path(), &logs, "h", &|_| false);
        let mut entry = run("r1", 1, RunStatus::Crashed);
        entry.log_path = Some(day.join(names[0]));
        let found: Vec<PathBuf> = archive.files_of(&entry);
        assert_eq!(found, names[..3].iter().map(|name| day.join(name)).collect::<Vec<_>>());
        entry.log_path = None;
        entry.summary_path = Some(folder.path().join("2026-01-01/c.json"));
        fs::rename(day.join(names[0]), day.join("c_r1_events.jsonl.quarantined")).unwrap();
        assert_eq!(archive.files_of(&entry).len(), 3);
    }
}
