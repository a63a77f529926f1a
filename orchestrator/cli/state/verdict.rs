//! A comparison as people read it.

use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::summary::units::{count, counted, duration};
use crate::verify::{Found, StreamReport, Sums, Verdict, WindowReport};

/// Columns of the screen that a table may take.
const WIDTH: usize = 80;
/// Windows that are listed at most.
const LISTED: usize = 40;

/// One stream.
pub(super) fn render(terminal: &Terminal, report: &StreamReport) -> String {
    let (colour, word) = match report.verdict {
        Verdict::Equal => ("32", "equal"),
        Verdict::Differs => ("1;31", "differs"),
        Verdict::NotCompared => ("33", "not compared"),
        Verdict::Failed => ("1;31", "failed"),
    };
    let mut lines =
        vec![format!("{}  {}", terminal.paint("1", &visible(&report.stream)), terminal.paint(colour, word))];
    lines.extend(report.why.iter().map(|why| format!("  {}", visible(why))));
    if let Some(error) = &report.error {
        lines.push(format!("  {}", visible(&error.message)));
        lines.extend(error.cause.iter().map(|cause| format!("  because: {}", visible(cause))));
        lines.extend(error.hint.iter().map(|hint| format!("  hint: {}", visible(hint))));
    }
    if matches!(report.verdict, Verdict::Equal | Verdict::Differs) && report.range.is_some() {
        lines.extend(sides(report));
    }
    if report.verdict == Verdict::Differs && !report.windows.is_empty() {
        lines.push(windows(terminal, &report.windows));
    } else if terminal.verbose() && !report.windows.is_empty() {
        lines.push(windows(terminal, &report.windows));
    }
    lines.extend(found(report));
    lines.extend(
        report
            .left_out
            .iter()
            .map(|left| format!("  column {} not compared: {}", visible(&left.column), left.why)),
    );
    lines.extend(report.notes.iter().map(|note| format!("  {note}")));
    lines.join("\n")
}

fn sides(report: &StreamReport) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(range) = &report.range {
        let table = report.table.as_deref().unwrap_or_default();
        let end = match (&range.ceiling, range.by.as_str()) {
            (Some(ceiling), by) => format!("{} up to {}", visible(by), visible(ceiling)),
            (None, "files") => "the files loaded so far".to_owned(),
            (None, "everything") => "everything".to_owned(),
            (None, by) => visible(by),
        };
        lines.push(format!("  compared     {end}, with table {} ({})", visible(table), duration(report.ms)));
    }
    let side =
        |sums: Sums| format!("{:>10}  hash {:.16}", counted(sums.rows, "row"), format!("{:032x}", sums.hash));
    if report.source == report.destination {
        lines.push(format!("  both sides   {}", side(report.source)));
    } else {
        lines.push(format!("  source       {}", side(report.source)));
        lines.push(format!("  destination  {}", side(report.destination)));
    }
    if report.newer > 0 {
        lines.push(format!("  not looked at yet by a run: {}", counted(report.newer, "row")));
    }
    lines
}

fn windows(terminal: &Terminal, windows: &[WindowReport]) -> String {
    let many = windows.len() > LISTED;
    let shown: Vec<&WindowReport> = windows.iter().filter(|w| !many || w.differs).take(LISTED).collect();
    let ends = shown.iter().any(|w| !w.to.is_empty());
    let table = |ends: bool| {
        let rows = shown.iter().map(|w| {
            let mut row = vec![String::new(), w.from.clone()];
            row.extend(ends.then(|| w.to.clone()));
            row.extend([count(w.source.rows), count(w.destination.rows), standing(w)]);
            row
        });
        let headers: &[&str] = if ends {
            &["", "from", "to", "source", "destination", ""]
        } else {
            &["", "from", "source", "destination", ""]
        };
        terminal.table(headers, rows.collect())
    };
    let mut text = table(ends);
    if ends && text.lines().any(|line| console::measure_text_width(line) > WIDTH) {
        text = table(false);
    }
    let hidden = windows.len() - shown.len();
    if hidden > 0 {
        text.push_str(&format!("\n  … and {} more", counted(hidden as u64, "window")));
    }
    text
}

fn standing(window: &WindowReport) -> String {
    let parts: Vec<String> =
        window.found.iter().map(|(word, rows)| format!("{} {word}", count(*rows))).collect();
    match (window.differs, parts.is_empty()) {
        (_, false) => parts.join(", "),
        (true, true) => "differs".to_owned(),
        (false, true) => "equal".to_owned(),
    }
}

/// What differs, by kind, with the first keys.
fn found(report: &StreamReport) -> Vec<String> {
    let d = &report.differences;
    let least = if d.complete { "" } else { "at least " };
    let mut lines = Vec::new();
    let mut line = |found: &Found, one: &str, many: &str| {
        if found.rows == 0 {
            return;
        }
        let words = if found.rows == 1 { one } else { many };
        lines.push(format!("  {least}{} {words}", counted(found.rows, "row")));
        if let Some(keys) = keys(found) {
            lines.push(keys);
        }
    };
    line(&d.missing, "is missing at the destination", "are missing at the destination");
    line(&d.different, "has other values at the destination", "have other values at the destination");
    line(
        &d.extra,
        "more at the destination: deleted at the source",
        "more at the destination: deleted at the source",
    );
    line(
        &d.waiting,
        "waits for the next run: it came or changed since",
        "wait for the next run: they came or changed since",
    );
    line(&d.older, "is an older version, which append keeps", "are older versions, which append keeps");
    for window in report.windows.iter().filter(|window| window.differs) {
        if let Some((from, to)) = &window.narrowed {
            let range = if from == to {
                format!("at {}", visible(from))
            } else {
                format!("from {} to {}", visible(from), visible(to))
            };
            lines.push(format!("  narrowed down: {range}"));
        }
    }
    lines
}

fn keys(found: &Found) -> Option<String> {
    if found.keys.is_empty() {
        return None;
    }
    let mut text = String::new();
    let mut width = 4;
    let more = found.rows.saturating_sub(found.keys.len() as u64);
    let tail = (more > 0).then(|| format!("… and {} more", count(more)));
    for key in found.keys.iter().map(|key| visible(key)).chain(tail) {
        if !text.is_empty() {
            let fits = width + 3 + key.chars().count() <= WIDTH;
            text.push_str(if fits { "; " } else { ";\n    " });
            width = if fits { width + 2 } else { 4 };
        }
        width += key.chars().count();
        text.push_str(&key);
    }
    Some(format!("    {text}"))
}

/// What can be done about it: words of a command, and why.
pub(super) fn next_steps(connection: &str, reports: &[StreamReport]) -> Vec<(String, String)> {
    let mut steps = Vec::new();
    for report in reports.iter().filter(|report| report.verdict == Verdict::Differs) {
        let stream = crate::cli::next::quoted(&report.stream);
        let d = &report.differences;
        let only_extra = d.extra.rows > 0 && d.missing.rows + d.different.rows == 0;
        let why = if only_extra {
            format!(
                "rows that were deleted at the source do not leave by cursor or merge; to load {} again",
                report.stream
            )
        } else {
            format!("to load {} again", report.stream)
        };
        steps.push((format!("state reset {connection} --stream {stream}"), why));
    }
    if reports.iter().any(|report| report.differences.waiting.rows > 0) {
        steps.push((format!("run {connection}"), "to load what waits".to_owned()));
    }
    steps
}
