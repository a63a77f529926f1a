//! Where a stream's state came from: the receipts and the decision in the log of the run that wrote it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use waybill_protocol::{Body, CursorValue, StreamState};

use crate::events::line::{Line, stamp};
use crate::events::read::{Entry, Reader};

/// One receipt: rows that became durable together with a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitReceipt {
    /// When: UTC.
    pub at: String,
    /// The commit.
    pub commit_id: String,
    /// Rows.
    pub rows: u64,
    /// Order-free hash of them (hex), where they were decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Where reading goes on from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// How far was read then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<String>,
    /// Whether the rows were in a staging table still.
    pub staged: bool,
}

/// What a log says about the load of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The rule that decided where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What that meant, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Receipts, in order.
    pub receipts: Vec<CommitReceipt>,
    /// The commit that made a staged load visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
}

impl Trace {
    /// Rows of all receipts.
    pub fn rows(&self) -> u64 {
        self.receipts.iter().map(|receipt| receipt.rows).fold(0, u64::saturating_add)
    }

    /// The order-free hash of all rows together; `None` where one of them has none.
    pub fn hash(&self) -> Option<String> {
        let sum = self.receipts.iter().try_fold(0u128, |sum, receipt| {
            let hash = u128::from_str_radix(receipt.hash.as_deref()?, 16).ok()?;
            Some(sum.wrapping_add(hash))
        });
        sum.filter(|_| !self.receipts.is_empty()).map(|sum| format!("{sum:032x}"))
    }

    /// Whether a commit is among them.
    pub fn has(&self, commit_id: &str) -> bool {
        self.published.as_deref() == Some(commit_id)
            || self.receipts.iter().any(|receipt| receipt.commit_id == commit_id)
    }

    fn take(&mut self, line: &Line, body: Body) {
        match body {
            Body::StateReconciled { rule, .. } => {
                self.rule = Some(rule);
                self.words = Some(line.message.clone());
            }
            Body::CheckpointCommitted { commit_id, rows, hash, state, staged, .. } => {
                let (floor, ceiling) = range(state.as_ref());
                let at = stamp(&line.ts);
                self.receipts.push(CommitReceipt { at, commit_id, rows, hash, floor, ceiling, staged });
            }
            Body::StreamPublished { commit_id, .. } => self.published = Some(commit_id),
            _ => {}
        }
    }
}

fn range(state: Option<&Value>) -> (Option<String>, Option<String>) {
    let state = state.and_then(|value| StreamState::from_value(value).ok()).unwrap_or_default();
    let text = |value: Option<CursorValue>| value.map(|value| value.to_string());
    (text(state.floor), text(state.ceiling))
}

/// Reads what a log says about each stream's load. Lines that are torn or unknown are passed over.
pub fn traces(log: &Path) -> io::Result<BTreeMap<String, Trace>> {
    let mut traces: BTreeMap<String, Trace> = BTreeMap::new();
    for entry in Reader::open(log)? {
        if let Entry::Line(mut line) = entry
            && let (Some(stream), Some(body)) = (line.stream.clone(), line.body.take())
        {
            traces.entry(stream).or_default().take(&line, body);
        }
    }
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_where_a_state_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x_events.jsonl");
        let event = |seq: u64, name: &str, data: &str| {
            format!(
                r#"{{"v":1,"seq":{seq},"ts":"2026-01-02T03:04:05.000001Z","t_ms":1,"level":"info","event":"{name}","run_id":"r","connection":"c","stream":"s","message":"continues from 3","data":{data}}}"#
            )
        };
        let commit = |id: &str, hash: &str| {
            format!(
                r#"{{"commit_id":"{id}","slice":"s","rows":2,"bytes":9,"hash":"{hash}","staged":false,"ms":1,"state":{{"floor":{{"type":"int","value":7}}}}}}"#
            )
        };
        let lines = [
            event(1, "state.reconciled", r#"{"rule":"5","decision":"continue"}"#),
            event(2, "checkpoint.committed", &commit("a", "0f")),
            event(3, "checkpoint.committed", &commit("b", "01")),
            "{torn".to_owned(),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let traces = traces(&path).unwrap();
        let trace = &traces["s"];
        assert_eq!((trace.rule.as_deref(), trace.words.as_deref()), (Some("5"), Some("continues from 3")));
        assert_eq!((trace.rows(), trace.hash().as_deref()), (4, Some("00000000000000000000000000000010")));
        assert!(trace.has("b") && !trace.has("z"));
        assert_eq!(trace.receipts[0].floor.as_deref(), Some("7"));
        assert_eq!(Trace::default().hash(), None);
    }
}
