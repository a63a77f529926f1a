//! A scripted run for tests: real events through a real log on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waybill_protocol::event::{Body, Counts, Emit, Event, Level, Outcome, Phase, Status};
use waybill_protocol::stream::{SyncMode, WriteMode};
use waybill_protocol::{ErrorRecord, Events};

use crate::events::{EventLog, LogHeader, Redactor};

/// An open log and what emits into it.
pub(crate) struct Script {
    pub(crate) log: EventLog,
    pub(crate) events: Events,
    pub(crate) sink: Arc<dyn Emit>,
    pub(crate) path: PathBuf,
}

pub(crate) fn event(level: Level, body: Body, message: &str, error: Option<ErrorRecord>) -> Event {
    let message = message.to_owned();
    Event { level, body, message, stream: None, phase: None, attempt: None, span: None, parent: None, error }
}

pub(crate) fn finished(status: Status, exit_code: u8) -> Event {
    let body =
        Body::RunFinished { status, exit_code, rows_loaded: 41_200, peak_memory_bytes: 9 << 20, ms: 4_250 };
    event(Level::Info, body, "run finished", None)
}

pub(crate) fn started(host: &str, connection_id: &str, artifacts: &[(&str, &str)]) -> Body {
    Body::RunStarted {
        version: "0.1.0".to_owned(),
        host: host.to_owned(),
        pid: 4711,
        source: "postgres".to_owned(),
        destination: "warehouse (sqlite)".to_owned(),
        connection_id: connection_id.to_owned(),
        config_hash: "c0ffee".to_owned(),
        settings: json!({"host": {"value": "db", "origin": "file"}}),
        options: json!({"limit": null}),
        artifacts: artifacts.iter().map(|(kind, path)| ((*kind).to_owned(), (*path).to_owned())).collect(),
    }
}

pub(crate) fn loaded(rows: u64) -> Counts {
    Counts {
        rows_read: rows,
        rows_loaded: rows,
        bytes_read: rows * 50,
        bytes_loaded: rows * 50,
        ..Counts::default()
    }
}

pub(crate) fn floor(day: u32) -> Value {
    json!({"floor": {"type": "date", "value": format!("2024-05-{day:02}")}})
}

pub(crate) fn commit(rows: u64, state: Option<Value>, staged: bool) -> Body {
    Body::CheckpointCommitted {
        commit_id: "c".to_owned(),
        slice: "s".to_owned(),
        rows,
        bytes: rows * 50,
        hash: None,
        state,
        staged,
        ms: 3,
    }
}

impl Script {
    /// Opens a log and emits `run.started`.
    pub(crate) fn begin(path: &Path, run_id: &str, connection: &str, host: &str) -> Script {
        Script::begin_with(path, run_id, connection, host, Redactor::new(), &[])
    }

    pub(crate) fn begin_with(
        path: &Path,
        run_id: &str,
        connection: &str,
        host: &str,
        redactor: Redactor,
        artifacts: &[(&str, &str)],
    ) -> Script {
        let header = LogHeader { heartbeat: Duration::from_secs(60), ..LogHeader::new(run_id, connection) };
        let (log, sink) = EventLog::open(path, header, redactor, Vec::new(), || 0).unwrap();
        let events = Events::new(Arc::clone(&sink));
        events.info(started(host, &format!("id-{connection}"), artifacts), "run started");
        Script { log, events, sink, path: path.to_owned() }
    }

    /// A stream's load begins, incrementally and by merge.
    pub(crate) fn start(&self, stream: &str, staged: bool) -> waybill_protocol::event::Span {
        let events = self.events.in_phase(Phase::Read).for_stream(stream);
        let rule = Body::StateReconciled {
            rule: "5".to_owned(),
            decision: "adopt".to_owned(),
            before: Some(floor(1)),
        };
        self.events.in_phase(Phase::Plan).for_stream(stream).info(rule, "goes on from 2024-05-01");
        let body = Body::StreamStarted {
            mode: SyncMode::Incremental,
            write: WriteMode::Merge,
            table: stream.replace('.', "_"),
            staged,
            wire: None,
            rows_expected: Some(41_200),
            bytes_expected: None,
        };
        events.span(Level::Info, body, format!("loading {stream}"))
    }

    /// Emits within a stream's read.
    pub(crate) fn tell(&self, stream: &str, body: Body, message: &str) {
        self.events.in_phase(Phase::Read).for_stream(stream).for_attempt(1).info(body, message);
    }

    /// A whole stream that is loaded.
    pub(crate) fn load(&self, stream: &str, rows: u64) {
        let span = self.start(stream, false);
        self.tell(stream, Body::StreamProgress { counts: loaded(rows / 2) }, "half");
        self.tell(stream, commit(rows, Some(floor(9)), false), "committed");
        let body = Body::StreamFinished {
            outcome: Outcome::Succeeded,
            counts: loaded(rows),
            ms: 2_000,
            after: Some(floor(9)),
        };
        span.finish(Level::Info, body, "loaded", None);
    }

    /// Ends a stream by a fault.
    pub(crate) fn fail(span: waybill_protocol::event::Span, rows: u64, error: ErrorRecord) {
        let body =
            Body::StreamFinished { outcome: Outcome::Failed, counts: loaded(rows), ms: 900, after: None };
        span.finish(Level::Error, body, "failed", Some(error));
    }

    /// What a killed process leaves: everything so far, and no end.
    pub(crate) fn kill(self) -> PathBuf {
        drop(self.log);
        self.path
    }
}

/// The entries of `map`, for readable assertions.
pub(crate) fn keys<V>(map: &BTreeMap<String, V>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}
