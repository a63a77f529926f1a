use std::cell::RefCell;

use waybill_protocol::event::{Event, Status};

use super::*;
use crate::summary::scripted::{Script, commit, finished};
use crate::summary::to_bytes;

const DATE: &str = "2026-01-02";

struct Project {
    folder: tempfile::TempDir,
    locked: RefCell<Vec<String>>,
}

impl Project {
    fn new() -> Project {
        Project { folder: tempfile::tempdir().unwrap(), locked: RefCell::default() }
    }

    fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("run_logs")
    }

    fn begin(&self, date: &str, connection: &str, run_id: &str, host: &str) -> Script {
        // Starts must differ for an order to be told.
        std::thread::sleep(Duration::from_millis(2));
        Script::begin(&self.logs().join(date).join(log_name(connection, run_id)), run_id, connection, host)
    }

    /// A run that ended well, with or without its summary on disk.
    fn run(&self, connection: &str, run_id: &str, written: bool) -> Summary {
        let script = self.begin(DATE, connection, run_id, "here");
        script.load("orders", 10);
        let summary = script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
        if written {
            let path = self.runs().join(DATE).join(summary_name(connection, &Utc::now(), run_id));
            write_summary(&path, &summary, write).unwrap();
        }
        script.log.finish();
        summary
    }

    fn with<T>(&self, ask: impl FnOnce(&Archive<'_>) -> T) -> T {
        let (runs, logs) = (self.runs(), self.logs());
        let is_locked = |id: &str| self.locked.borrow().iter().any(|locked| locked == id);
        ask(&Archive::new(&runs, &logs, "here", &is_locked))
    }

    fn list(&self) -> Vec<String> {
        let shown = |run: RunEntry| {
            format!("{} {}{}", run.run_id, run.status.word(), if run.presumed { "?" } else { "" })
        };
        self.with(|archive| archive.list(None)).unwrap().into_iter().map(shown).collect()
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap())?;
    std::fs::write(path, bytes)
}

#[test]
fn no_folders_have_no_runs() {
    let project = Project::new();
    assert!(project.list().is_empty());
    let error = project.with(|archive| archive.resolve("last")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn the_lock_tells_a_run_that_goes_on_from_one_that_was_killed() {
    let project = Project::new();
    let first = project.begin("2026-01-01", "crm", "r-1", "here");
    first.kill();
    project.run("crm", "r-2", true);
    project.begin(DATE, "crm", "r-3", "here").kill();
    project.begin(DATE, "crm", "r-4", "here").kill();
    assert_eq!(project.list(), ["r-4 crashed", "r-3 crashed", "r-2 succeeded", "r-1 crashed"]);
    // One lock is one run: the newest.
    project.locked.borrow_mut().push("id-crm".to_owned());
    assert_eq!(project.list(), ["r-4 running", "r-3 crashed", "r-2 succeeded", "r-1 crashed"]);
    project.run("crm", "r-5", true);
    assert_eq!(project.list()[..2], ["r-5 succeeded", "r-4 crashed"]);
    assert_eq!(project.with(|archive| archive.list(Some(2))).unwrap().len(), 2);
}

#[test]
fn a_run_on_another_host_is_presumed_by_its_silence() {
    let project = Project::new();
    project.locked.borrow_mut().push("id-crm".to_owned());
    project.begin(DATE, "crm", "r-1", "elsewhere").kill();
    assert_eq!(project.list(), ["r-1 running?"]);
    let (runs, logs) = (project.runs(), project.logs());
    let mut archive = Archive::new(&runs, &logs, "here", &|_| true);
    for (seconds, status) in [(119, RunStatus::Running), (122, RunStatus::Crashed)] {
        archive.now = Utc::now() + chrono::TimeDelta::seconds(seconds);
        let run = archive.list(None).unwrap().remove(0);
        assert_eq!((run.status, run.presumed), (status, true), "{seconds}");
        let summary = archive.show(&run).unwrap();
        assert_eq!((summary.status, summary.presumed), (status, true));
        assert!(summary.report[0].contains("(presumed)"), "{:?}", summary.report);
        // Only the other host can know: nothing is written for it.
        assert!(archive.rebuild_missing(write).unwrap().is_empty());
    }
}

#[test]
fn the_summary_of_a_killed_run_is_written_once_and_then_believed() {
    let project = Project::new();
    let script = project.begin(DATE, "crm", "0190-aaaabbbbcccc", "here");
    script.tell("orders", commit(40, None, false), "committed");
    script.kill();
    project.begin(DATE, "shop", "0190-runs", "here").kill();
    project.locked.borrow_mut().push("id-shop".to_owned());
    let before = project.with(|archive| archive.show(&archive.resolve("crm").unwrap())).unwrap();
    let written = project.with(|archive| archive.rebuild_missing(write)).unwrap();
    let [(entry, path)] = &written[..] else { panic!("{written:?}") };
    assert_eq!((entry.run_id.as_str(), entry.rows), ("0190-aaaabbbbcccc", 40));
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("crm_2") && name.ends_with("Z_bbbbcccc.json"), "{name}");
    assert_eq!(path.parent().unwrap().file_name().unwrap(), DATE);
    assert_eq!(std::fs::read(path).unwrap(), to_bytes(&before).unwrap());
    assert!(project.with(|archive| archive.rebuild_missing(write)).unwrap().is_empty());
    assert_eq!(project.list(), ["0190-runs running", "0190-aaaabbbbcccc crashed"]);
    let after = project.with(|archive| archive.resolve("crm")).unwrap();
    assert_eq!(after.summary_path.as_ref(), Some(path));
    assert!(after.log_path.is_some());
}

#[test]
fn a_summary_wins_over_a_missing_last_line_and_a_log_over_a_missing_summary() {
    let project = Project::new();
    let summary = project.run("crm", "r-1", true);
    let log = project.logs().join(DATE).join(log_name("crm", "r-1"));
    let text = std::fs::read_to_string(&log).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap();
    std::fs::write(&log, &text[..cut]).unwrap();
    assert_eq!(project.list(), ["r-1 succeeded"]);
    let second = project.run("crm", "r-2", false);
    assert_eq!(project.list(), ["r-2 succeeded", "r-1 succeeded"]);
    project.with(|archive| {
        assert_eq!(archive.show(&archive.resolve("-2").unwrap()).unwrap(), summary);
        assert_eq!(archive.show(&archive.resolve("r-2").unwrap()).unwrap(), second);
        // A summary that somebody broke is passed over while the log is there, and never replaced.
        let path = archive.rebuild_missing(write).unwrap().remove(0).1;
        std::fs::write(&path, "{\"version\": 1").unwrap();
        let entry = archive.resolve("last").unwrap();
        assert_eq!((entry.run_id.as_str(), entry.summary_path.as_ref()), ("r-2", None));
        assert_eq!(archive.show(&entry).unwrap(), second);
        assert!(archive.rebuild_missing(write).unwrap().is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"version\": 1");
    });
    std::fs::remove_dir_all(project.logs()).unwrap();
    assert_eq!(project.list(), ["r-1 succeeded"]);
    assert_eq!(project.with(|archive| archive.show(&archive.resolve("crm").unwrap())).unwrap(), summary);
}

#[test]
fn a_run_is_found_by_any_name_that_means_only_it() {
    let project = Project::new();
    for (connection, run_id) in
        [("crm", "0190aa-11112222"), ("crm", "0190ab-33334444"), ("shop", "0190ab-55556666")]
    {
        project.run(connection, run_id, true);
    }
    project.with(|archive| {
        for (query, found) in [
            ("last", "0190ab-55556666"),
            ("-1", "0190ab-55556666"),
            ("-3", "0190aa-11112222"),
            ("crm", "0190ab-33334444"),
            ("0190aa", "0190aa-11112222"),
            ("0190ab-3", "0190ab-33334444"),
            ("33334444", "0190ab-33334444"),
            (" 0190ab-55556666\n", "0190ab-55556666"),
        ] {
            assert_eq!(archive.resolve(query).unwrap().run_id, found, "{query}");
        }
        let error = archive.resolve("0190ab").unwrap_err();
        assert!(
            error.message().starts_with("\"0190ab\" could mean 2 runs: 0190ab-55556666 (shop, 2"),
            "{error}"
        );
        for query in ["", "-0", "-4", "--1", "222", "x", "../etc", "-99999999999999999999999"] {
            assert_eq!(archive.resolve(query).unwrap_err().kind(), Kind::NotFound, "{query}");
        }
    });
}

#[test]
fn a_log_without_a_first_line_is_no_reason_to_write_a_summary() {
    let project = Project::new();
    let folder = project.logs().join(DATE);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("my_crm_r-1_events.jsonl"), "").unwrap();
    std::fs::write(folder.join("my_crm_r-2_events.jsonl"), "{\"v\":1,\"se").unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    std::fs::create_dir_all(project.logs().join("not-a-date")).unwrap();
    let (runs, logs) = (project.runs(), project.logs());
    // A run signs its lock before it makes its log.
    std::fs::create_dir_all(runs.join(".locks")).unwrap();
    std::fs::write(runs.join(".locks/one.lock"), "{\"run_id\":\"r-1\"}").unwrap();
    let locked = |id: &str| id == "one";
    let archive = Archive::new(&runs, &logs, "here", &locked);
    let listed = archive.list(None).unwrap();
    assert!(listed.iter().all(|run| run.presumed && run.connection == "my_crm"));
    let goes_on = |run: &&RunEntry| run.status == RunStatus::Running;
    assert_eq!(listed.iter().filter(goes_on).map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["r-1"]);
    let archive = Archive::new(&runs, &logs, "here", &|_| false);
    let listed = archive.list(None).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|run| run.status == RunStatus::Crashed && run.presumed));
    assert!(listed.iter().all(|run| run.connection == "my_crm"));
    assert!(archive.rebuild_missing(write).unwrap().is_empty());
    archive.show(&listed[0]).unwrap();
}

#[test]
fn the_name_that_the_run_meant_to_use_is_used() {
    let project = Project::new();
    let log = project.logs().join(DATE).join(log_name("crm", "r-1"));
    let artifacts = [("summary", "/elsewhere/runs/2026-01-02/crm_meant.json")];
    let script = Script::begin_with(&log, "r-1", "crm", "here", crate::events::Redactor::new(), &artifacts);
    let last: Event = finished(Status::Succeeded, 0);
    script.events.info(last.body, "x");
    script.kill();
    let written = project.with(|archive| archive.rebuild_missing(write)).unwrap();
    assert_eq!(written[0].1, project.runs().join(DATE).join("crm_meant.json"));
}
