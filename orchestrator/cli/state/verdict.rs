//! A comparison as people read it.

use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::summary::units::{count, counted, duration};
use crate::verify::{Found, StreamReport, Sums, Verdict, WindowReport};

/// Columns of the screen that a table may take.
const WIDTH: usize = 80;
/// What is said of rows that only the destination has.
const ONLY_THERE: &str = "more at the destination: deleted at the source since, or added by others";
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
    if (report.verdict == Verdict::Differs || terminal.verbose()) && !report.windows.is_empty() {
        lines.push(windows(terminal, &report.windows, report.differences.complete));
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

fn windows(terminal: &Terminal, windows: &[WindowReport], complete: bool) -> String {
    let many = windows.len() > LISTED;
    let shown: Vec<&WindowReport> = windows.iter().filter(|w| !many || w.differs).take(LISTED).collect();
    let ends = shown.iter().any(|w| !w.to.is_empty());
    let numbers = |head: &str, of: fn(&WindowReport) -> u64| {
        let texts: Vec<String> = shown.iter().map(|w| count(of(w))).collect();
        let wide = texts.iter().map(String::len).max().unwrap_or(0).max(head.len());
        texts.into_iter().map(|text| format!("{text:>wide$}")).collect::<Vec<_>>()
    };
    let (source, destination) =
        (numbers("source", |w| w.source.rows), numbers("destination", |w| w.destination.rows));
    let table = |ends: bool| {
        let rows = shown.iter().zip(&source).zip(&destination).map(|((w, source), destination)| {
            let mut row = vec![w.from.clone()];
            row.extend(ends.then(|| w.to.clone()));
            row.extend([source.clone(), destination.clone(), standing(w, complete)]);
            row
        });
        let headers: &[&str] = if ends {
            &["from", "to", "source", "destination", ""]
        } else {
            &["from", "source", "destination", ""]
        };
        let table = terminal.table(headers, rows.collect());
        table.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
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

fn standing(window: &WindowReport, complete: bool) -> String {
    let least = if complete { "" } else { "≥ " };
    let parts: Vec<String> =
        window.found.iter().map(|(word, rows)| format!("{least}{} {word}", count(*rows))).collect();
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
    line(&d.extra, ONLY_THERE, ONLY_THERE);
    line(
        &d.waiting,
        "waits for the next run: it came or changed since",
        "wait for the next run: they came or changed since",
    );
    line(&d.older, "is an older version, which append keeps", "are older versions, which append keeps");
    let narrow: Vec<String> =
        report.windows.iter().filter_map(|w| narrowed(w, d.complete)).take(LISTED).collect();
    if !narrow.is_empty() {
        lines.push("  narrowed down to".to_owned());
        lines.extend(narrow);
    }
    lines
}

/// The range within a window in which something differs.
fn narrowed(window: &WindowReport, complete: bool) -> Option<String> {
    let (from, to) = window.narrowed.as_ref().filter(|_| window.differs)?;
    let range = if from == to { visible(from) } else { format!("{} … {}", visible(from), visible(to)) };
    let whole = format!("    {range}  ({})", standing(window, complete));
    let fits = console::measure_text_width(&whole) <= WIDTH;
    Some(if fits { whole } else { format!("    {range}") })
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
        if report.source.rows == 0 && report.why.is_some() {
            let why = format!("to see the ways on for {}", report.stream);
            steps.push((format!("state diff {connection} --stream {stream}"), why));
            continue;
        }
        if report.range.as_ref().is_some_and(|range| range.by == "everything") {
            let words = format!("run {connection} --stream {stream}");
            steps.push((words, format!("to load {} as it is now", report.stream)));
            continue;
        }
        let only_extra = d.extra.rows > 0 && d.missing.rows + d.different.rows == 0;
        let why = if only_extra {
            "what was deleted at the source stays at the destination until it is loaded again".to_owned()
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
