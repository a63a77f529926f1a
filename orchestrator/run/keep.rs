//! `keep_runs`: the artifacts of older runs of a connection go; the last good run always stays.

use std::fs;
use std::path::{Path, PathBuf};

use crate::history::RunEntry;
use crate::summary::RunStatus;

/// The artifacts that go when `keep` runs of the connection stay. `runs` are newest first; one that
/// is going on and the newest that succeeded always stay.
pub fn surplus(runs: &[RunEntry], connection_id: &str, keep: usize) -> Vec<PathBuf> {
    let ended: Vec<&RunEntry> = runs
        .iter()
        .filter(|run| run.connection_id == connection_id && run.status != RunStatus::Running)
        .collect();
    let good = ended.iter().position(|run| run.status == RunStatus::Succeeded);
    let mut files = Vec::new();
    for (place, run) in ended.iter().enumerate() {
        if place < keep.max(1) || Some(place) == good {
            continue;
        }
        files.extend(run.summary_path.clone());
        if let Some(log) = &run.log_path {
            files.extend(beside(log, "rejects.jsonl"));
            files.push(log.clone());
        }
    }
    files
}

fn beside(log: &Path, kind: &str) -> Option<PathBuf> {
    let name = log.file_name()?.to_str()?.strip_suffix("events.jsonl")?;
    Some(log.with_file_name(format!("{name}{kind}")))
}

/// Removes files, best effort: what stays is tried again after the next run.
pub fn remove(files: &[PathBuf]) {
    for file in files {
        let _ = fs::remove_file(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, status: RunStatus) -> RunEntry {
        RunEntry {
            run_id: id.into(),
            connection: "c".into(),
            connection_id: "1".into(),
            status,
            presumed: false,
            started_at: String::new(),
            seconds: 0.0,
            rows: 0,
            exit_code: None,
            host: "h".into(),
            summary_path: Some(format!("{id}.json").into()),
            log_path: Some(format!("c_{id}_events.jsonl").into()),
        }
    }

    #[test]
    fn the_last_good_run_and_one_going_on_stay() {
        let runs = [
            run("e", RunStatus::Running),
            run("d", RunStatus::Failed),
            run("c", RunStatus::Crashed),
            run("b", RunStatus::Succeeded),
            run("a", RunStatus::Succeeded),
        ];
        let files = surplus(&runs, "1", 1);
        let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
        assert_eq!(
            names,
            [
                "c.json",
                "c_c_rejects.jsonl",
                "c_c_events.jsonl",
                "a.json",
                "c_a_rejects.jsonl",
                "c_a_events.jsonl"
            ]
        );
        assert!(surplus(&runs, "2", 1).is_empty() && surplus(&runs, "1", 9).is_empty());
    }
}
