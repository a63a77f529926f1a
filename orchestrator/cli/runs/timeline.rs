//! The phases of a run as bars under one time line.

use waybill_protocol::event::Phase;

use crate::summary::units::duration;
use crate::summary::{RunStatus, Summary};

/// Phases in their order; a summary keeps them by name.
const PHASES: [Phase; 9] = [
    Phase::Load,
    Phase::Resolve,
    Phase::Check,
    Phase::Discover,
    Phase::Plan,
    Phase::Read,
    Phase::Publish,
    Phase::Merge,
    Phase::Summary,
];
/// The bars are no wider: a long line is hard to compare.
const WIDEST: usize = 60;
/// Without room for that many cells there are no bars.
const NARROWEST: usize = 10;

/// One phase.
struct Bar {
    name: &'static str,
    from_ms: u64,
    ms: u64,
    /// Whether it had no end when the log ended.
    open: bool,
}

/// The drawing, line by line, with a name and a duration before each bar; nothing where no phase is known.
pub(super) fn timeline(summary: &Summary, width: usize) -> Vec<String> {
    let bars = bars(summary);
    let total = (summary.stats.total.seconds * 1000.0).round() as u64;
    let total = bars.iter().map(|bar| bar.from_ms.saturating_add(bar.ms)).max().unwrap_or(0).max(total);
    if bars.is_empty() {
        return Vec::new();
    }
    let took: Vec<String> = bars.iter().map(|bar| duration(bar.ms)).collect();
    let names = bars.iter().map(|bar| bar.name.len()).max().unwrap_or(0).max("phases".len());
    let times = took.iter().map(String::len).max().unwrap_or(0);
    let room = width.saturating_sub(names + times + 6).min(WIDEST);
    let mut lines = Vec::with_capacity(bars.len() + 1);
    if room >= NARROWEST {
        let end = duration(total);
        let gap = " ".repeat((room + 1).saturating_sub(1 + end.len()));
        lines.push(format!("{:names$}  {:times$}  0{gap}{end}", "PHASES", ""));
    } else {
        lines.push("PHASES".to_owned());
    }
    for (bar, took) in bars.iter().zip(&took) {
        let drawn = if room >= NARROWEST { drawn(bar, total, room) } else { String::new() };
        let open = if bar.open { " …" } else { "" };
        lines.push(format!("{:names$}  {took:>times$}  {drawn}{open}", bar.name).trim_end().to_owned());
    }
    lines
}

/// The phases that are known. They follow each other, so that what they took says when they began.
fn bars(summary: &Summary) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    let mut at = 0;
    for phase in PHASES {
        let name = phase.word();
        if let Some(ms) = summary.timings.get(name) {
            bars.push(Bar { name, from_ms: at, ms: *ms, open: false });
            at = at.saturating_add(*ms);
        }
        let open = summary
            .interrupted
            .iter()
            .find(|span| span.event == "phase.started" && span.phase == Some(phase));
        if let Some(span) = open {
            let end = (summary.stats.total.seconds * 1000.0).round() as u64;
            bars.push(Bar { name, from_ms: span.t_ms, ms: end.saturating_sub(span.t_ms), open: true });
        }
    }
    debug_assert!(summary.status != RunStatus::Succeeded || bars.iter().all(|bar| !bar.open));
    bars
}

/// A bar in its place: at least a thin one, since every phase that is listed took place.
fn drawn(bar: &Bar, total: u64, room: usize) -> String {
    let total = total.max(1) as f64;
    let cell = |ms: u64| ms as f64 / total * room as f64;
    let begin = (cell(bar.from_ms).floor() as usize).min(room - 1);
    let eighths = (cell(bar.ms) * 8.0).round() as usize;
    let (whole, rest) = (eighths / 8, eighths % 8);
    let fill = if bar.open { "▒" } else { "█" };
    let mut text = " ".repeat(begin);
    let whole = whole.min(room - begin);
    text.push_str(&fill.repeat(whole));
    if whole + begin < room && (rest > 0 || whole == 0) {
        const PARTS: [&str; 8] = ["▏", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        text.push_str(if bar.open { fill } else { PARTS.get(rest).copied().unwrap_or("▏") });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(from_ms: u64, ms: u64) -> Bar {
        Bar { name: "read", from_ms, ms, open: false }
    }

    #[test]
    fn bars_are_in_proportion_and_never_leave_their_room() {
        assert_eq!(drawn(&bar(0, 1_000), 1_000, 10), "██████████");
        assert_eq!(drawn(&bar(500, 500), 1_000, 10), "     █████");
        assert_eq!(drawn(&bar(0, 50), 1_000, 10), "▌");
        assert_eq!(drawn(&bar(1_000, 0), 1_000, 10), "         ▏");
        assert_eq!(drawn(&bar(0, 0), 0, 10), "▏");
        assert_eq!(drawn(&bar(900, 5_000), 1_000, 10), "         █");
        for from in 0..50 {
            for ms in 0..50 {
                assert!(drawn(&bar(from, ms), 50, 17).chars().count() <= 17, "{from} {ms}");
            }
        }
    }
}
