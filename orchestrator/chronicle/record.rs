//! A run's summary as rows.

use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use waybill_protocol::event::Counts;
use waybill_protocol::{Error, EventRow, Result, RunRecord, RunRow, StreamRow};

use crate::summary::{StreamStats, Summary, to_bytes};

/// The rows of a run.
pub(super) fn record(summary: &Summary, events: Vec<EventRow>, left_out: u64) -> Result<RunRecord> {
    let events = events.into_iter().map(|event| EventRow { run_id: summary.run_id.clone(), ..event });
    let streams = summary.stats.streams.iter().map(|(name, stats)| stream(summary, name, stats)).collect();
    Ok(RunRecord { run: run(summary, left_out)?, streams, events: events.collect() })
}

/// What tells one summary from another.
pub(super) fn digest(summary: &Summary) -> Result<String> {
    let bytes = to_bytes(summary).map_err(|e| Error::internal("a summary is no JSON").cause(e))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

fn run(summary: &Summary, left_out: u64) -> Result<RunRow> {
    let error = summary.error.as_ref();
    let record = error.map(|failure| &failure.error);
    Ok(RunRow {
        run_id: summary.run_id.clone(),
        connection: summary.connection.clone(),
        connection_id: summary.connection_id.clone(),
        status: summary.status.word().to_owned(),
        presumed: summary.presumed,
        exit_code: summary.exit_code,
        started_at: moment(&summary.started_at),
        finished_at: moment(&summary.finished_at),
        seconds: summary.stats.total.seconds,
        rows_loaded: number(summary.stats.total.rows),
        bytes_loaded: number(summary.stats.total.bytes),
        source: summary.source.clone(),
        destination: summary.destination.clone(),
        host: summary.host.clone(),
        pid: i64::from(summary.pid),
        version: summary.versions.get("waybill").cloned(),
        error_kind: record.and_then(|error| word(&error.kind)),
        error_phase: error.and_then(|failure| failure.phase).map(|phase| phase.word().to_owned()),
        error_stream: record.and_then(|error| error.stream.clone()),
        error_message: record.map(|error| error.message.clone()),
        error_hint: record.and_then(|error| error.hint.clone()),
        warnings: number(summary.warnings_total),
        events_left_out: number(left_out),
        peak_memory_bytes: number(summary.stats.peak_memory_bytes),
        options: summary.options.clone(),
        config_hash: summary.config_hash.clone(),
        log_lines: number(summary.events),
        digest: digest(summary)?,
        summary: serde_json::to_value(summary)
            .map_err(|e| Error::internal("a summary is no JSON").cause(e))?,
    })
}

fn stream(summary: &Summary, name: &str, stats: &StreamStats) -> StreamRow {
    let counts: Counts = summary.progress_counts.get(name).copied().unwrap_or_default();
    let error = summary.errors.get(name);
    let state = summary.state.get(name);
    StreamRow {
        run_id: summary.run_id.clone(),
        stream: name.to_owned(),
        table_name: stats.table.clone(),
        sync_mode: stats.mode.as_ref().and_then(word),
        write_mode: stats.write.as_ref().and_then(word),
        outcome: stats.outcome.as_ref().and_then(word),
        rows_read: number(counts.rows_read),
        rows_loaded: number(stats.figures.rows),
        rows_skipped: number(counts.rows_known),
        rows_rejected: number(counts.rows_rejected),
        rows_unpublished: number(stats.rows_unpublished),
        values_coerced: number(counts.values_coerced),
        bytes_loaded: number(stats.figures.bytes),
        seconds: stats.figures.seconds,
        attempts: i64::from(stats.attempts),
        commits: number(counts.commits),
        error_kind: error.and_then(|error| word(&error.kind)),
        error_message: error.map(|error| error.message.clone()),
        error_hint: error.and_then(|error| error.hint.clone()),
        state_before: state.and_then(|state| state.before.clone()),
        state_after: state.and_then(|state| state.after.clone()),
    }
}

/// A word of an enum, as it stands in the record.
fn word<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Some(word),
        _ => None,
    }
}

/// A moment that a database reads; a summary that somebody edited may have anything there.
fn moment(text: &str) -> Option<String> {
    DateTime::parse_from_rfc3339(text).ok().map(|_| text.to_owned())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
