//! Timing of whole commands in turn, and what a run's summary says of itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A project folder for the benchmarks, removed at the end.
pub struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Place {
    pub fn new(program: &Path) -> Place {
        Place { folder: tempfile::tempdir().unwrap(), program: program.to_owned() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs a connection, which must succeed.
    pub fn run(&self, connection: &str) {
        self.run_with(connection, &[]);
    }

    /// The same with more words.
    pub fn run_with(&self, connection: &str, more: &[&str]) {
        let output = self.command(&[&["run", connection, "--quiet"], more].concat()).output().unwrap();
        assert!(
            output.status.success(),
            "{connection}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Prints the peak memory of the connection's last run.
    pub fn memory(&self, connection: &str) {
        let output = self.command(&["runs", "show", connection, "--output", "json"]).output().unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let bytes = summary["stats"]["peak_memory_bytes"].as_u64().unwrap_or(0);
        println!("{:<52} {:>7.1} MB", format!("  peak memory of {connection}"), bytes as f64 / 1e6);
    }
}

/// CPU seconds of the processes that a process has started and that have ended: a server's sessions.
pub fn children_cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = [fields[13], fields[14]].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Runs a shell command, which must succeed, and returns what it prints.
pub fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Times the two in turn and prints medians and ratio.
pub fn compare<A, B>(
    what: &str,
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut reference: impl FnMut() -> B,
) {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        mine.push(timed(&mut ours));
        theirs.push(timed(&mut reference));
    }
    show(what, mine, theirs);
}

/// Prints medians and ratio.
pub fn show(what: &str, mine: Vec<Duration>, theirs: Vec<Duration>) {
    let (mine, theirs) = (median(mine), median(theirs));
    println!(
        "{what:<52} {:>9.3} s {:>9.3} s  ratio {:.2}",
        mine.as_secs_f64(),
        theirs.as_secs_f64(),
        mine.as_secs_f64() / theirs.as_secs_f64()
    );
}

/// How long some work takes.
pub fn timed<T>(work: &mut impl FnMut() -> T) -> Duration {
    let started = Instant::now();
    let _ = work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
