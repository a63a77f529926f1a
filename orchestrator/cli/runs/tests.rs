//! The commands on real logs.

use std::path::PathBuf;

use waybill_protocol::event::{Phase, Status};

use super::{events, list, show};
use crate::cli::args::{ColorChoice, LookFlags};
use crate::cli::terminal::Terminal;
use crate::events::{Entry, Reader, Sieve};
use crate::history::{RunEntry, host, log_name, with_archive};
use crate::store::testing::Home;
use crate::summary::scripted::{Script, finished};

fn begin(home: &Home, connection: &str, run_id: &str) -> Script {
    std::thread::sleep(std::time::Duration::from_millis(2));
    let path = home.project.run_logs_dir.join("2026-01-02").join(log_name(connection, run_id));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Script::begin(&path, run_id, connection, &host())
}

fn home() -> Home {
    let home = Home::new("{}");
    let done = begin(&home, "crm", "run-done");
    done.load("orders", 10);
    done.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    done.log.finish();
    let killed = begin(&home, "crm", "run-killed");
    killed.load("orders", 10);
    killed.kill();
    home
}

fn plain() -> Terminal {
    Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
}

fn chosen(home: &Home, connection: Option<&str>, limit: usize, failed: bool) -> Vec<RunEntry> {
    let connection = connection.map(str::to_owned).into_iter().collect();
    let args = list::ListArgs { connection, limit, failed, ..list::ListArgs::default() };
    let mut runs = list::chosen(&home.project, &args).unwrap();
    runs.truncate(limit);
    runs
}

#[test]
fn lists_are_filtered_before_they_are_cut() {
    let home = home();
    let ids = |runs: Vec<RunEntry>| runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>();
    assert_eq!(ids(chosen(&home, None, 20, false)), ["run-killed", "run-done"]);
    assert_eq!(ids(chosen(&home, None, 1, false)), ["run-killed"]);
    assert_eq!(ids(chosen(&home, Some("crm"), 20, true)), ["run-killed"]);
    assert!(chosen(&home, Some("other"), 20, false).is_empty());
    let text = list::render(&plain(), &chosen(&home, None, 20, false));
    let first = text.lines().nth(1).unwrap();
    assert!(first.contains("crm") && first.contains("crashed") && first.ends_with("n-killed"), "{text}");
}

#[test]
fn showing_a_killed_run_writes_its_missing_summary() {
    let home = home();
    let summaries = || -> Vec<PathBuf> {
        let found = std::fs::read_dir(home.project.runs_dir.join("2026-01-02"));
        found.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    assert!(summaries().is_empty());
    assert_eq!(show::show(&plain(), &home.project, &show::of("crm")).unwrap(), 0);
    assert!(summaries().iter().any(|path| path.to_string_lossy().contains("n-killed")), "{:?}", summaries());
    let (entry, summary) = with_archive(&home.project, |archive| {
        let entry = archive.resolve("-1")?;
        let summary = archive.show(&entry)?;
        Ok((entry, summary))
    })
    .unwrap();
    let text = show::render(&plain(), &entry, &summary);
    for part in ["crashed", "orders", "incremental, merge", "run run-killed", "log      "] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn events_are_chosen_by_level_name_stream_and_phase() {
    let home = home();
    let log = home.project.run_logs_dir.join("2026-01-02").join(log_name("crm", "run-done"));
    let count = |args: &events::EventsArgs, raw: bool| {
        let sieve = Sieve::new(args.wanted(raw)).unwrap();
        let taken = |entry: &Entry| matches!(entry, Entry::Line(line) if sieve.takes(line));
        Reader::open(&log).unwrap().filter(taken).count()
    };
    let all = count(&events::of("crm"), true);
    assert!(all > 4);
    let args = events::EventsArgs { event: vec!["stream.*".into()], ..events::of("crm") };
    assert_eq!(count(&args, false), 3);
    let args = events::EventsArgs { stream: vec!["ord*".into()], ..events::of("crm") };
    assert!((4..all).contains(&count(&args, true)));
    let args = events::EventsArgs { phase: vec![Phase::Plan], ..events::of("crm") };
    assert_eq!(count(&args, true), 1);
    let args = events::EventsArgs { level: Some(events::LevelChoice::Error), ..events::of("crm") };
    assert_eq!(count(&args, true), 0);
    assert_eq!(
        events::events(&plain(), &home.project, &events::EventsArgs { follow: true, ..events::of("last") })
            .unwrap(),
        0
    );
}
