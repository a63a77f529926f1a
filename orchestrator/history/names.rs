//! What the names of artifacts tell, without opening them: connection and start of a summary, and
//! which log is its.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::scan::LOG_SUFFIX;

/// `20260102T030405123Z`.
const STAMP: usize = 19;
/// As much of a run's id stands in the name of its summary.
const TAIL: usize = 8;

/// What the name of a summary tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The connection.
    pub(super) connection: String,
    /// When the run was begun.
    pub(super) at: DateTime<Utc>,
    /// The end of the run's id.
    pub(super) tail: String,
}

/// Reads the name of a summary; `None` for one that somebody else gave.
pub(super) fn named(file: &str) -> Option<Named> {
    let stem = file.strip_suffix(".json")?;
    (1..=TAIL).find_map(|tail| {
        let (head, tail) = stem.split_at_checked(stem.len().checked_sub(tail)?)?;
        let head = head.strip_suffix('_')?;
        let (head, stamp) = head.split_at_checked(head.len().checked_sub(STAMP)?)?;
        let connection = head.strip_suffix('_').filter(|connection| !connection.is_empty())?;
        let at = moment(stamp)?;
        Some(Named { connection: connection.to_owned(), at, tail: tail.to_owned() })
    })
}

fn moment(stamp: &str) -> Option<DateTime<Utc>> {
    let (seconds, rest) = stamp.split_at_checked(15)?;
    let millis: u32 = rest.strip_suffix('Z').filter(|digits| digits.len() == 3)?.parse().ok()?;
    let at = NaiveDateTime::parse_from_str(seconds, "%Y%m%dT%H%M%S").ok()?.and_utc();
    Some(at + chrono::TimeDelta::milliseconds(i64::from(millis)))
}

/// The logs of one date, by how their names end.
pub(super) struct Logs<'a> {
    by_stem: HashMap<&'a str, Vec<&'a str>>,
    by_tail: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Logs<'a> {
    pub(super) fn of(logs: &'a BTreeMap<String, PathBuf>) -> Logs<'a> {
        let mut found = Logs { by_stem: HashMap::new(), by_tail: HashMap::new() };
        for name in logs.keys() {
            let Some(stem) = name.strip_suffix(LOG_SUFFIX) else { continue };
            found.add(stem, name);
            // The number of a second try under the same id; or a part of an id with a point in it.
            if let Some((before, number)) = stem.rsplit_once('.')
                && number.bytes().all(|byte| byte.is_ascii_digit())
            {
                found.add(before, name);
            }
        }
        found
    }

    fn add(&mut self, stem: &'a str, name: &'a str) {
        self.by_stem.entry(stem).or_default().push(name);
        if let Some(at) = stem.len().checked_sub(TAIL)
            && let Some(tail) = stem.get(at..)
        {
            self.by_tail.entry(tail).or_default().push(name);
        }
    }

    /// The logs that may be those of a summary, by name.
    pub(super) fn of_summary(&self, summary: &Named) -> Vec<&'a str> {
        let Named { connection, tail, .. } = summary;
        if tail.len() < TAIL {
            let stem = format!("{connection}_{tail}");
            return self.by_stem.get(stem.as_str()).cloned().unwrap_or_default();
        }
        let fits = |name: &&&str| {
            let rest = name.strip_prefix(connection.as_str());
            rest.is_some_and(|rest| rest.starts_with('_') && rest.len() > TAIL)
        };
        self.by_tail.get(tail.as_str()).into_iter().flatten().filter(fits).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_summaries_are_read_whatever_the_connection_and_the_id_look_like() {
        let of = |file: &str| {
            named(file).map(|name| (name.connection, name.at.timestamp_subsec_millis(), name.tail))
        };
        let found = |connection: &str, tail: &str| Some((connection.to_owned(), 123, tail.to_owned()));
        assert_eq!(of("crm_20260102T030405123Z_aabbccdd.json"), found("crm", "aabbccdd"));
        assert_eq!(of("my_crm-2_20260102T030405123Z_r-1.json"), found("my_crm-2", "r-1"));
        assert_eq!(of("c_20260102T030405123Z_htly_a_b.json"), found("c", "htly_a_b"));
        assert_eq!(
            of("c_20260102T030405999Z_x_20260102T030405123Z_1.json"),
            found("c_20260102T030405999Z_x", "1")
        );
        for other in [
            "crm_meant.json",
            "_20260102T030405123Z_a.json",
            "c_20261302T030405123Z_a.json",
            "é.json",
            ".json",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_summary_finds_its_log_by_name() {
        let names = [
            "c_r-1_events.jsonl",
            "c_0190-aaaabbbb_events.jsonl",
            "c_0190-aaaabbbb.2_events.jsonl",
            "c_x_0190-aaaabbbb_events.jsonl",
            "d_v1.2_events.jsonl",
        ];
        let logs = names.iter().map(|name| ((*name).to_owned(), PathBuf::from(name))).collect();
        let logs = Logs::of(&logs);
        let of = |connection: &str, tail: &str| {
            let at = Utc::now();
            let mut found = logs.of_summary(&Named { connection: connection.into(), at, tail: tail.into() });
            found.sort_unstable();
            found
        };
        assert_eq!(of("c", "r-1"), [names[0]]);
        assert_eq!(of("c", "aaaabbbb"), [names[2], names[1], names[3]]);
        assert_eq!(of("c_x", "aaaabbbb"), [names[3]]);
        assert_eq!(of("d", "v1.2"), [names[4]]);
        assert!(of("e", "aaaabbbb").is_empty());
    }
}
