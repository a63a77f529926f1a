//! How runs look in lists: their age, the end of their id, how they stand.

use chrono::{DateTime, Utc};

use crate::history::RunEntry;

/// How long ago a moment of the record was; empty where it has none.
pub(crate) fn age(moment: &str, now: DateTime<Utc>) -> String {
    let Ok(moment) = DateTime::parse_from_rfc3339(moment) else { return String::new() };
    let seconds = (now - moment.with_timezone(&Utc)).num_seconds();
    let many = |number: i64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match seconds {
        // Clocks of two hosts differ a little.
        i64::MIN..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        172_800..5_184_000 => many(seconds / 86_400, "day"),
        5_184_000..63_072_000 => many(seconds / 2_592_000, "month"),
        _ => many(seconds / 31_536_000, "year"),
    }
}

/// A moment of the record to the second: `2026-01-02 03:04:05`.
pub(crate) fn to_second(moment: &str) -> String {
    moment.get(..19).map_or_else(|| moment.to_owned(), |text| text.replace('T', " "))
}

/// The end of a run's id, enough to name it.
pub(crate) fn short_id(run_id: &str) -> &str {
    match run_id.char_indices().rev().nth(7) {
        Some((at, _)) => run_id.get(at..).unwrap_or(run_id),
        None => run_id,
    }
}

/// How a run stands or ended, and whether that is only presumed.
pub(crate) fn status_word(run: &RunEntry) -> String {
    let presumed = if run.presumed { " (presumed)" } else { "" };
    format!("{}{presumed}", run.status.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        let now: DateTime<Utc> = "2026-03-10T12:00:00Z".parse().unwrap();
        for (moment, expected) in [
            ("2026-03-10T12:00:30Z", "just now"),
            ("2026-03-10T11:59:48.123456Z", "11 s ago"),
            ("2026-03-10T11:58:59Z", "1 min ago"),
            ("2026-03-09T12:00:01Z", "23 h ago"),
            ("2026-03-08T12:00:01Z", "47 h ago"),
            ("2026-03-08T12:00:00Z", "2 days ago"),
            ("2025-12-10T12:00:00Z", "3 months ago"),
            ("2024-01-01T00:00:00Z", "2 years ago"),
            ("", ""),
        ] {
            assert_eq!(age(moment, now), expected, "{moment}");
        }
        assert_eq!(to_second("2026-01-02T03:04:05.123456Z"), "2026-01-02 03:04:05");
        assert_eq!(short_id("019f-aaaa-bbbbcccc"), "bbbbcccc");
        assert_eq!(short_id("é1"), "é1");
    }
}
