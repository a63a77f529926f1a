//! `waybill runs show`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use waybill_protocol::Result;

use super::archive::resolve;
use super::look::to_second;
use super::streams;
use super::timeline::timeline;
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::history::{Archive, RunEntry, with_archive};
use crate::store::atomic::{sweep, write_atomic};
use crate::store::project::Project;
use crate::summary::units::{bytes, count};
use crate::summary::{RunStatus, Summary};

/// Shows the record of a run.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
}

/// Shows a run.
pub(super) fn show(terminal: &Terminal, project: &Project, args: &ShowArgs) -> Result<u8> {
    let (entry, summary) = with_archive(project, |archive| {
        let mut entry = resolve(archive, &args.run)?;
        if over_without_summary(&entry) {
            entry.summary_path = write_missing(terminal, archive, &entry);
        }
        let summary = archive.show(&entry)?;
        Ok((entry, summary))
    })?;
    if terminal.json_wanted() {
        terminal.json(&summary)?;
    } else {
        terminal.out(&render(terminal, &entry, &summary))?;
        if summary.status == RunStatus::Running {
            terminal.note(&format!("\nit goes on: waybill runs events {} --follow", entry.run_id));
        }
    }
    Ok(0)
}

/// A run that was killed before it could write its summary.
fn over_without_summary(entry: &RunEntry) -> bool {
    entry.summary_path.is_none() && !entry.presumed && entry.status != RunStatus::Running
}

/// Writes the summary that a killed run did not; that it cannot be written hides nothing.
fn write_missing(terminal: &Terminal, archive: &Archive<'_>, entry: &RunEntry) -> Option<PathBuf> {
    match archive.rebuild_missing(write) {
        Ok(written) => {
            let ours = written.into_iter().find(|(run, _)| run.log_path == entry.log_path);
            let (_, path) = ours?;
            terminal.note(&format!("rebuilt from its log: {}\n", path.display()));
            Some(path)
        }
        Err(error) => {
            terminal.warn(&format!("the summary is shown, and could not be written: {error}"));
            None
        }
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    sweep(path);
    write_atomic(path, content, None).map_err(io::Error::other)
}

pub(super) fn render(terminal: &Terminal, entry: &RunEntry, summary: &Summary) -> String {
    laid_out(terminal, entry, summary, terminal.width())
}

fn laid_out(terminal: &Terminal, entry: &RunEntry, summary: &Summary, width: usize) -> String {
    let mut parts = vec![verdict(summary), about(summary)];
    let drawn = timeline(summary, width);
    if let Some((head, bars)) = drawn.split_first() {
        parts.push(
            std::iter::once(&terminal.paint("2", head)).chain(bars).cloned().collect::<Vec<_>>().join("\n"),
        );
    }
    parts.extend(streams::streams(terminal, summary, width));
    parts.extend(artifacts(entry, summary));
    parts.join("\n\n")
}

/// The report, without the lines about streams and the log: more of them follows.
fn verdict(summary: &Summary) -> String {
    let mut lines: Vec<&str> = summary.report.iter().map(String::as_str).collect();
    let blank = |line: &&str| line.is_empty();
    if let Some(begin) = lines.iter().position(blank)
        && let Some(length) = lines.iter().skip(begin + 1).position(blank)
    {
        lines.drain(begin..=begin + 1 + length);
    }
    lines.retain(|line| !line.starts_with("log: "));
    lines.join("\n")
}

/// When, where, with what, and how it ended.
fn about(summary: &Summary) -> String {
    let mut what =
        vec![format!("run {}", summary.run_id), format!("started {} UTC", to_second(&summary.started_at))];
    what.extend(summary.exit_code.map(|code| format!("exit {code}")));
    let mut place = vec![format!("on {}, process {}", summary.host, summary.pid)];
    if summary.stats.peak_memory_bytes > 0 {
        place.push(format!("{} of memory", bytes(summary.stats.peak_memory_bytes)));
    }
    place.push(format!("{} events", count(summary.events)));
    let mut lines = vec![what.join(" · "), place.join(" · ")];
    let versions = summary.versions.iter().map(|(what, version)| format!("{what} {}", visible(version)));
    let versions: Vec<String> = versions.collect();
    if !versions.is_empty() {
        lines.push(versions.join(" · "));
    }
    lines.extend(asked(summary));
    lines.join("\n")
}

/// What the caller asked for beyond the connection itself.
fn asked(summary: &Summary) -> Option<String> {
    let flag = |(name, value): (&String, &Value)| match value {
        Value::Null | Value::Bool(false) => None,
        Value::Array(values) if values.is_empty() => None,
        Value::Bool(true) => Some(name.clone()),
        Value::String(text) => Some(format!("{name} {}", visible(text))),
        other => Some(format!("{name} {}", visible(&other.to_string()))),
    };
    let asked: Vec<String> = summary.options.as_object().into_iter().flatten().filter_map(flag).collect();
    (!asked.is_empty()).then(|| format!("asked for: {}", asked.join(" · ")))
}

/// What the run left on disk and is still there; what is gone is said to be.
fn artifacts(entry: &RunEntry, summary: &Summary) -> Option<String> {
    let named = summary.artifacts.iter().map(|(kind, path)| (kind.as_str(), PathBuf::from(path)));
    let mut all: Vec<(&str, PathBuf)> = named.collect();
    // What was moved or restored lies elsewhere than the run says.
    for (kind, path) in [("log", &entry.log_path), ("summary", &entry.summary_path)] {
        if let Some(path) = path.as_ref().filter(|path| !all.iter().any(|(_, known)| known == *path)) {
            all.retain(|(known, path)| *known != kind || path.exists());
            all.push((kind, path.clone()));
        }
    }
    let line = |(kind, path): (&str, PathBuf)| {
        let gone = if path.exists() { "" } else { " (not there)" };
        format!("{kind:<8} {}{gone}", path.display())
    };
    let lines: Vec<String> = all.into_iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
pub(super) fn of(run: &str) -> ShowArgs {
    ShowArgs { run: run.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::args::{ColorChoice, LookFlags};

    fn stream(outcome: &str, rows: u64, table: &str, write: &str, attempts: u32) -> Value {
        json!({"outcome": outcome, "mode": "incremental", "write": write, "table": table, "rows": rows, "bytes": rows * 48,
               "seconds": 3.25, "rows_per_second": rows as f64 / 3.25, "bytes_per_second": 1.0, "attempts": attempts})
    }

    /// A run of two streams, one of which failed.
    fn partial() -> Summary {
        let date = |day: u32| json!({"floor": {"type": "date", "value": format!("2024-05-{day:02}")}});
        let counts = |read: u64, loaded: u64, commits: u64| {
            json!({"rows_read": read, "rows_loaded": loaded, "rows_known": read - loaded,
            "rows_rejected": 0, "values_coerced": 0, "rows_null_cursor": 0, "batches": 3, "commits": commits, "retries": 0,
            "bytes_read": 1, "bytes_loaded": 1})
        };
        let error = json!({"kind": "permission", "origin": "source", "code": "42501", "retryable": false,
            "message": "permission denied for table customers", "hint": "GRANT SELECT ON public.customers TO \"reader\"",
            "stream": "public.customers", "cause": []});
        let mut first = error.clone();
        first["phase"] = json!("read");
        serde_json::from_value(json!({
            "version": 1, "run_id": "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001", "connection": "crm", "connection_id": "1",
            "source": "postgres", "destination": "warehouse (postgres)", "status": "partial", "exit_code": 5,
            "report": ["crm is partial: 1 of 2 streams loaded, 41 200 rows in 4.2 s (postgres → warehouse (postgres))", "",
                "  public.customers  FAILED      0 rows", "  public.orders     loaded 41 200 rows", "",
                "error: public.customers: permission denied for table customers (permission, source, 42501)",
                "  next: GRANT SELECT ON public.customers TO \"reader\"",
                "warning: public.orders: a transaction that is open since 2 h widens the window",
                "log: /srv/p/run_logs/2026-01-02/crm_events.jsonl"],
            "started_at": "2026-01-02T03:04:05.123456Z", "finished_at": "2026-01-02T03:04:09.373456Z",
            "state": {"public.orders": {"before": date(1), "after": date(9)}},
            "stats": {"total": {"rows": 41_200, "bytes": 1_977_600, "seconds": 4.25, "rows_per_second": 9694.1, "bytes_per_second": 1.0},
                "peak_memory_bytes": 48_000_000,
                "streams": {"public.customers": stream("failed", 0, "public.customers", "merge", 1),
                            "public.orders": stream("succeeded", 41_200, "public.orders", "append", 3)}},
            "progress_counts": {"public.customers": counts(0, 0, 0), "public.orders": counts(41_230, 41_200, 4)},
            "error": first, "errors": {"public.customers": error},
            "warnings": [{"stream": "public.orders", "message": "a transaction that is open since 2 h widens the window", "times": 1}],
            "warnings_total": 1,
            "versions": {"waybill": "0.1.0", "source": "PostgreSQL 15.18", "destination": "PostgreSQL 16.2"},
            "timings": {"resolve": 3, "check": 140, "discover": 210, "plan": 60, "read": 3250, "publish": 520, "merge": 12},
            "artifacts": {"log": "/srv/p/run_logs/2026-01-02/crm_events.jsonl", "summary": "/srv/p/runs/2026-01-02/crm.json"},
            "config_hash": "c0ffee", "options": {"streams": [], "full_refresh": false, "limit": null, "timeout_ms": 60_000},
            "host": "etl-1", "pid": 4711, "events": 184
        }))
        .unwrap()
    }

    fn shown(summary: &Summary, width: usize) -> String {
        let terminal = Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() });
        let entry = RunEntry {
            run_id: summary.run_id.clone(),
            connection: summary.connection.clone(),
            connection_id: String::new(),
            status: summary.status,
            presumed: false,
            started_at: summary.started_at.clone(),
            seconds: 0.0,
            rows: 0,
            exit_code: None,
            host: String::new(),
            summary_path: None,
            log_path: None,
        };
        laid_out(&terminal, &entry, summary, width)
    }

    #[test]
    fn a_run_is_shown_so() {
        insta::assert_snapshot!("partial_100", shown(&partial(), 100));
        insta::assert_snapshot!("partial_80", shown(&partial(), 80));
        insta::assert_snapshot!("partial_50", shown(&partial(), 50));
        let fits = |width: usize| {
            let text = shown(&partial(), width);
            // What people wrote or have to copy is not broken; tables and drawings fit.
            let drawn =
                text.split("\n\n").skip(2).take(2).flat_map(str::lines).map(|line| line.chars().count());
            drawn.max().unwrap() <= width
        };
        assert!([60, 72, 80, 100, 200].into_iter().all(fits));
    }

    #[test]
    fn a_run_that_was_cut_off_shows_what_was_under_way() {
        let mut summary = partial();
        (summary.status, summary.exit_code) = (RunStatus::Crashed, None);
        summary.report = vec![
            "crm crashed: its log ends after 4.2 s without an end; at least 41 200 rows committed".into(),
        ];
        summary.timings.retain(|phase, _| !matches!(phase.as_str(), "read" | "publish" | "merge"));
        summary.interrupted = serde_json::from_value(json!([
            {"span": "a", "event": "phase.started", "phase": "read", "t_ms": 420, "message": "read …"},
            {"span": "b", "event": "stream.started", "stream": "public.orders", "phase": "read", "t_ms": 430, "message": "x"}
        ]))
        .unwrap();
        insta::assert_snapshot!("crashed_80", shown(&summary, 80));
        let mut bare = partial();
        bare.timings.clear();
        bare.stats.streams.clear();
        bare.report = vec!["crm failed in check after 12 ms: nothing was loaded".into()];
        insta::assert_snapshot!("bare", shown(&bare, 80));
    }
}
