//! What a list needs of a summary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::scan::LOG_SUFFIX;
use super::{RunEntry, log_name};
use crate::summary::RunStatus;

/// The status stands among the first members.
const HEAD: usize = 2_048;

/// What a list needs of a summary; the rest is passed over.
#[derive(Deserialize)]
struct Brief {
    run_id: String,
    connection: String,
    #[serde(default)]
    connection_id: String,
    status: RunStatus,
    #[serde(default)]
    exit_code: Option<u8>,
    started_at: String,
    #[serde(default)]
    host: String,
    stats: BriefStats,
    #[serde(default)]
    artifacts: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct BriefStats {
    total: BriefTotal,
}

#[derive(Deserialize)]
struct BriefTotal {
    rows: u64,
    seconds: f64,
}

/// The entry of a summary and the name of its log; `None` for a file that is no summary. Runs that
/// share an id, since the first of them was killed, have logs of their own.
pub(super) fn summarised(path: &Path) -> Option<(String, RunEntry)> {
    let brief: Brief = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let named = brief.artifacts.get("log").and_then(|log| Path::new(log).file_name());
    let log = named
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(LOG_SUFFIX))
        .unwrap_or_else(|| log_name(&brief.connection, &brief.run_id));
    let entry = RunEntry {
        run_id: brief.run_id,
        connection: brief.connection,
        connection_id: brief.connection_id,
        status: brief.status,
        presumed: false,
        started_at: brief.started_at,
        seconds: brief.stats.total.seconds,
        rows: brief.stats.total.rows,
        exit_code: brief.exit_code,
        host: brief.host,
        summary_path: Some(path.to_owned()),
        log_path: None,
    };
    Some((log, entry))
}

/// The status that a summary says at its beginning, where that can be told without reading it whole:
/// it stands there as this program writes it.
pub(super) fn glance(path: &Path) -> Option<RunStatus> {
    let mut head = Vec::with_capacity(HEAD);
    File::open(path).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
    // Cut in the middle of a character, perhaps; what is before it is whole.
    let text = String::from_utf8_lossy(&head);
    // A member of the document itself: no text has a line feed in it, and only those are indented by two.
    let (_, rest) = text.split_once("\n  \"status\": ")?;
    let (word, _) = rest.split_once(',')?;
    serde_json::from_str(word).ok()
}
