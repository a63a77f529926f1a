use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waybill_protocol::event::{Body, Counts, Level, Outcome, Status};
use waybill_protocol::{Error, Events, Kind};

use super::*;
use crate::events::{Entry, Reader, open_spans};
use crate::summary::scripted::{Script, commit, event, finished, started};
use crate::summary::{RunStatus, read_summary, rebuild, to_bytes, write_summary};

fn lines(path: &Path) -> Vec<Line> {
    let entries = Reader::open(path).unwrap();
    entries
        .map(|entry| match entry {
            Entry::Line(line) => *line,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn note(number: usize) -> Body {
    Body::Runtime { detail: json!(number) }
}

#[test]
fn numbers_have_no_gap_and_each_emitters_order_is_kept() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let events = script.events.for_stream(&worker.to_string());
            scope.spawn(move || (0..250).for_each(|number| events.info(note(number), "m")));
        }
    });
    script.log.conclude(finished(Status::Succeeded, 0)).unwrap();
    assert_eq!(script.log.finish(), None);
    let lines = lines(&script.path);
    assert_eq!(lines.len(), 2002);
    assert!(lines.iter().zip(1..).all(|(line, seq)| line.seq == seq));
    assert!(lines.windows(2).all(|pair| pair[0].t_ms <= pair[1].t_ms));
    for worker in 0..8 {
        let told = lines.iter().filter(|line| line.stream.as_deref() == Some(&worker.to_string()));
        assert!(
            told.map(|line| &line.data["detail"]).eq((0..250).map(Value::from).collect::<Vec<_>>().iter())
        );
    }
}

#[test]
fn a_span_ends_when_its_owner_panics() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    let span = script.start("orders", false);
    let open = script.log.snapshot().unwrap();
    assert_eq!((open.status, open.interrupted.len()), (RunStatus::Running, 1));
    let worker = std::thread::spawn(move || {
        let _span = span;
        std::panic::panic_any("on purpose");
    });
    assert!(worker.join().is_err());
    let path = script.kill();
    let lines = lines(&path);
    let last = lines.last().unwrap();
    assert!(
        matches!(last.body, Some(Body::StreamFinished { outcome: Outcome::Interrupted, .. })),
        "{last:?}"
    );
    assert!(open_spans(&lines).is_empty());
    assert!(rebuild(&path).unwrap().summary().interrupted.is_empty());
}

#[test]
fn it_beats_while_everything_else_is_blocked() {
    let folder = folder();
    let path = folder.path().join("log");
    let header = LogHeader { heartbeat: Duration::from_millis(20), ..LogHeader::new("r", "crm") };
    let (log, sink) = EventLog::open(&path, header, Redactor::new(), Vec::new(), || 77).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(std::fs::read(&path).unwrap(), b"", "no heartbeat comes before run.started");
    Events::new(sink).info(started("here", "id", &[]), "run started");
    std::thread::sleep(Duration::from_millis(300));
    log.conclude(finished(Status::Succeeded, 0)).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(log.finish(), None);
    let lines = lines(&path);
    let beats: Vec<u64> = lines
        .iter()
        .filter_map(|line| match line.body {
            Some(Body::RunHeartbeat { memory_bytes, queue_bytes: 77, .. }) => Some(memory_bytes),
            _ => None,
        })
        .collect();
    assert!(beats.len() >= 5, "{} beats in 300 ms", beats.len());
    assert!(!cfg!(target_os = "linux") || beats.iter().all(|bytes| *bytes > 100_000));
    assert_eq!(lines.last().unwrap().event, "run.finished");
}

#[test]
fn it_beats_also_when_events_never_pause() {
    let folder = folder();
    let path = folder.path().join("log");
    let header = LogHeader { heartbeat: Duration::from_millis(20), ..LogHeader::new("r", "crm") };
    let (log, sink) = EventLog::open(&path, header, Redactor::new(), Vec::new(), || 0).unwrap();
    let events = Events::new(sink);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(200) {
        events.info(note(1), "m");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(log);
    assert!(lines(&path).iter().filter(|line| line.event == "run.heartbeat").count() >= 4);
}

#[test]
fn a_long_text_is_redacted_before_it_is_cut() {
    let folder = folder();
    let secret = "S3CRET-S3CRET-S3CRET-S3CRET";
    let redactor = Redactor::new();
    let script = Script::begin_with(&folder.path().join("log"), "r", "crm", "here", redactor.clone(), &[]);
    redactor.add(secret, None);
    // The cut falls at 16 KiB: the secret lies before, across and behind it.
    for before in ((16 << 10) - secret.len() - 1)..=((16 << 10) + 1) {
        let text = format!("{}{secret}{}", "x".repeat(before), "y".repeat(80_000));
        script.events.info(Body::Runtime { detail: json!({"text": text}) }, text.as_str());
    }
    let path = script.kill();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(3).any(|window| window == b"S3C"), "part of the secret is on disk");
    assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() < 64 << 10));
    let lines = lines(&path);
    assert_eq!(lines.len(), 1 + secret.len() + 3);
    assert!(lines.iter().skip(1).all(|line| line.truncated && line.body.is_some()));
}

#[test]
fn no_text_of_an_event_carries_a_secret() {
    let folder = folder();
    let secret = "open sesame 42";
    let redactor = Redactor::new();
    redactor.add(secret, None);
    let script = Script::begin_with(&folder.path().join("log"), "r", "crm", "here", redactor, &[]);
    let error = Error::new(Kind::Auth, format!("refused {secret}"))
        .hint(format!("not {secret}"))
        .code(secret)
        .cause(std::io::Error::other(format!("password={secret}")));
    let body =
        Body::QueryStarted { role: "source".to_owned(), purpose: secret.to_owned(), sql: secret.to_owned() };
    script.events.emit(Level::Error, body, format!("m {secret}"), Some(error.record()));
    let summary = script.log.conclude(finished(Status::Failed, 1)).unwrap();
    script.log.finish();
    let text = std::fs::read_to_string(&script.path).unwrap() + &serde_json::to_string(&summary).unwrap();
    assert!(!text.contains("sesame"), "{text}");
    assert_eq!(text.matches("[redacted]").count(), 7 + 2 * 4, "{text}");
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Reporter for Seen {
    fn line(&mut self, line: &Line) {
        let mut seen = self.0.lock().unwrap();
        seen.push(format!("{} {}", line.event, line.message));
        assert!(seen.len() != 2 || !line.message.contains("bomb"), "a reporter panics");
    }
}

#[test]
fn reporters_see_what_is_written_and_a_broken_one_harms_nobody() {
    let folder = folder();
    let path = folder.path().join("log");
    let redactor = Redactor::new();
    redactor.add("a long secret", None);
    let (broken, good) = (Seen::default(), Seen::default());
    good.0.lock().unwrap().push("first".to_owned());
    let reporters: Vec<Box<dyn Reporter>> = vec![Box::new(broken.clone()), Box::new(good.clone())];
    let (log, sink) = EventLog::open(&path, LogHeader::new("r", "crm"), redactor, reporters, || 0).unwrap();
    let events = Events::new(sink);
    for message in ["one", "bomb", "a long secret"] {
        events.info(note(1), message);
    }
    log.conclude(finished(Status::Succeeded, 0)).unwrap();
    log.finish();
    let seen = good.0.lock().unwrap();
    assert_eq!(
        *seen,
        [
            "first",
            "runtime.event one",
            "runtime.event bomb",
            "runtime.event [redacted]",
            "run.finished run finished"
        ]
    );
    assert_eq!(lines(&path).len(), 4);
}

#[test]
fn a_full_disk_is_remembered_and_nobody_waits_for_it() {
    let header = LogHeader::new("r", "crm");
    let (log, sink) =
        EventLog::open(Path::new("/dev/full"), header, Redactor::new(), Vec::new(), || 0).unwrap();
    let events = Events::new(sink);
    events.info(started("here", "id", &[]), "run started");
    events.info(note(1), "m");
    let summary = log.snapshot().unwrap();
    assert_eq!(summary.events, 2, "the fold goes on in memory");
    let failure = log.failed().unwrap();
    assert!(failure.contains("/dev/full") && failure.contains("No space left"), "{failure}");
    let begun = Instant::now();
    (0..10_000).for_each(|number| events.info(note(number), "m"));
    assert!(begun.elapsed() < Duration::from_secs(2));
    log.conclude(finished(Status::Failed, 1)).unwrap();
    assert!(log.finish().is_some());
}

#[test]
fn a_log_that_cannot_be_opened_refuses_the_run() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    let taken = script.kill();
    for path in [taken.as_path(), folder.path(), &taken.join("below/a/file")] {
        let opened = EventLog::open(path, LogHeader::new("r", "crm"), Redactor::new(), Vec::new(), || 0);
        let error = opened.err().unwrap();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().starts_with("cannot write the event log") && error.get_hint().is_some());
    }
    assert_eq!(lines(&taken).len(), 1, "a log of an earlier run is as it was");
}

#[test]
fn the_summary_rebuilt_from_the_disk_equals_the_written_one() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    script.load("public.orders", 41_200);
    let retried = script.start("public.customers", true);
    let lost = Error::new(Kind::Network, "connection reset").code("08006").retry(true);
    let attempt = Body::StreamAttemptFailed { slice: "s".to_owned(), counts: Counts::default() };
    let events = script.events.for_stream("public.customers").for_attempt(2);
    events.emit(Level::Warn, attempt, "will be retried", Some(lost.record()));
    script.tell(
        "public.customers",
        commit(7, Some(json!({"data": {"x": 0.1, "big": 1e300}})), true),
        "staged",
    );
    Script::fail(retried, 7, Error::new(Kind::Permission, "may not swap é \u{1}").hint("grant it").record());
    script.events.warn(note(1), "y".repeat(100_000));
    let summary = script.log.conclude(finished(Status::Partial, 5)).unwrap();
    let path = folder.path().join("summary.json");
    write_summary(&path, &summary, |path, bytes| std::fs::write(path, bytes)).unwrap();
    script.events.info(note(2), "too late to be part of the record");
    assert_eq!(script.log.finish(), None);
    script.events.info(note(3), "much too late");

    let rebuilt = rebuild(&script.path).unwrap();
    assert!(rebuilt.ended());
    assert_eq!(
        String::from_utf8(to_bytes(&rebuilt.summary()).unwrap()),
        String::from_utf8(std::fs::read(&path).unwrap())
    );
    assert_eq!(read_summary(&path).unwrap(), summary);
    let lines = lines(&script.path);
    assert_eq!(lines.iter().filter(|line| line.event == "run.finished").count(), 1);
    assert_eq!(lines.last().unwrap().event, "run.finished");
    // Not the same by chance: without its end, or one line less, it is another summary.
    let text = std::fs::read_to_string(&script.path).unwrap();
    for skipped in 0..lines.len() {
        let fewer: Vec<&str> =
            text.lines().enumerate().filter(|(at, _)| *at != skipped).map(|(_, line)| line).collect();
        std::fs::write(folder.path().join("fewer"), fewer.join("\n")).unwrap();
        assert_ne!(
            rebuild(&folder.path().join("fewer")).unwrap().summary(),
            summary,
            "without line {skipped}"
        );
    }
}

#[test]
fn the_terminal_event_can_be_replaced_until_it_is_written() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    assert_eq!(script.log.conclude(finished(Status::Succeeded, 0)).unwrap().status, RunStatus::Succeeded);
    script.events.warn(note(1), "the summary could not be written");
    let summary = script.log.conclude(finished(Status::Failed, 1)).unwrap();
    assert_eq!((summary.status, summary.warnings_total, summary.events), (RunStatus::Failed, 1, 3));
    script.log.finish();
    assert_eq!(rebuild(&script.path).unwrap().summary(), summary);
    script.sink.emit(event(Level::Info, note(1), "after the end", None));
    assert_eq!(lines(&script.path).len(), 3);
}

#[test]
fn a_log_dropped_without_an_end_has_everything_but_the_end() {
    let folder = folder();
    let script = Script::begin(&folder.path().join("log"), "r", "crm", "here");
    (0..500).for_each(|number| script.events.info(note(number), "m"));
    let path = script.kill();
    assert_eq!(lines(&path).len(), 501);
    assert_eq!(rebuild(&path).unwrap().summary().status, RunStatus::Crashed);
}
