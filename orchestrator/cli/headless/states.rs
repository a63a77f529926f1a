//! The entries of state that a run wrote, or meant to write, taken from its events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use waybill_protocol::event::Body;

use crate::events::{Entry, Line, Reader, Reporter};
use crate::store::config;
use crate::store::project::Project;

/// Follows the events of a run for its state.
#[derive(Debug, Clone, Default)]
pub(super) struct States(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    states: BTreeMap<String, Value>,
    /// The config has the entries of these streams; the event was too long to carry them.
    cut: bool,
}

impl Found {
    fn apply(&mut self, line: &Line) {
        if let Some(Body::StateMerged { states } | Body::StateMergeFailed { states }) = &line.body {
            self.states.extend(states.iter().map(|(stream, entry)| (stream.clone(), entry.clone())));
        }
        self.cut |= line.truncated && line.event.starts_with("state.merge");
    }
}

impl Reporter for States {
    fn line(&mut self, line: &Line) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).apply(line);
    }
}

impl States {
    /// What the events said; what was too long for them comes from the config, where it stands now.
    pub(super) fn take(&self, project: &Project, connection: &str) -> BTreeMap<String, Value> {
        let found = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !found.cut {
            return found.states;
        }
        let config = config::load(project).ok();
        let entry = config.as_ref().and_then(|config| config.connection(connection).ok());
        let members = entry.and_then(|entry| entry.state_as_loaded.as_object());
        members.into_iter().flatten().map(|(stream, entry)| (stream.clone(), entry.clone())).collect()
    }

    /// Reads what the log of a finished run says. A log that is gone says nothing.
    pub(super) fn read_log(&self, log: &Path) {
        let Ok(reader) = Reader::open(log) else { return };
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in reader {
            if let Entry::Line(line) = entry {
                found.apply(&line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_entries_are_those_of_the_events() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(
            &log,
            concat!(
                r#"{"seq":1,"ts":"2026-01-02T03:04:05Z","event":"phase.started","data":{}}"#,
                "\n",
                r#"{"seq":2,"ts":"2026-01-02T03:04:05Z","event":"state.merged","data":{"states":{"a":{"cursor":1}}}}"#,
                "\n",
                r#"{"seq":3,"ts":"2026-01-02T03:04:05Z","event":"state.merge_failed","data":{"states":{"b":{"cursor":2}}}}"#,
                "\n"
            ),
        )
        .unwrap();
        let states = States::default();
        states.read_log(&log);
        let project = Project::locate(&Default::default(), Default::default(), folder.path()).unwrap();
        assert_eq!(json!(states.take(&project, "c")), json!({"a": {"cursor": 1}, "b": {"cursor": 2}}));
        states.read_log(&folder.path().join("gone"));
        assert!(states.take(&project, "c").is_empty());
    }
}
