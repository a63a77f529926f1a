//! What a row that differs is: lost, left over, changed, or only waiting for the next run (pure).

use std::collections::HashMap;

use waybill_protocol::Identity;

/// Where a row of the source stands to what the last run has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was loaded for good: the destination must have it as it is.
    Settled,
    /// The next run reads it again: it may have come since, or changed.
    Open,
    /// No run has looked at it.
    Newer,
}

/// What a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The source has the row, the destination does not.
    Missing,
    /// The destination has the row, the source does not.
    Extra,
    /// Both have the key, with other values.
    Different,
    /// It differs, and the next run settles that.
    Waiting,
    /// An older version of a row, which an append keeps.
    Older,
}

/// What identifies a row, and its rows on both sides.
#[derive(Debug, Default)]
pub struct Entry {
    /// Rows of the source: whole hash, standing, place.
    pub source: Vec<(Identity, Standing, Option<u128>)>,
    /// Rows of the destination: whole hash, place.
    pub destination: Vec<(Identity, Option<u128>)>,
    /// The key as people read it; empty where there is none.
    pub name: String,
}

/// How the rows of a stream are told apart and what its write mode does with them.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Whether there is a key.
    pub keyed: bool,
    /// Whether every version of a row is kept.
    pub keeps_versions: bool,
}

/// Rows by what identifies them.
pub type Entries = HashMap<Identity, Entry>;

impl Entry {
    /// A row that was taken for settled is read by the next run.
    pub fn waits(&mut self, row: Identity) {
        let found =
            self.source.iter_mut().find(|(hash, standing, _)| *hash == row && *standing == Standing::Settled);
        if let Some((_, standing, _)) = found {
            *standing = Standing::Newer;
        }
    }

    /// What is wrong with it, each with its place. Nothing where both sides agree.
    pub fn differences(&self, manner: Manner) -> Vec<(Kind, Option<u128>)> {
        let mut left = self.destination.clone();
        let mut matched = 0usize;
        let (mut settled, mut open, mut newer) = (Vec::new(), Vec::new(), 0usize);
        for (hash, standing, place) in &self.source {
            if let Some(at) = left.iter().position(|(other, _)| other == hash) {
                left.swap_remove(at);
                matched += 1;
                continue;
            }
            match standing {
                Standing::Settled => settled.push(*place),
                Standing::Open => open.push(*place),
                Standing::Newer => newer += 1,
            }
        }
        let mut found = Vec::new();
        if !manner.keyed {
            found.extend(settled.into_iter().map(|place| (Kind::Missing, place)));
            found.extend(open.into_iter().map(|place| (Kind::Waiting, place)));
            found.extend(left.into_iter().map(|(_, place)| (Kind::Extra, place)));
            return found;
        }
        let mut left = left.into_iter().map(|(_, place)| place);
        for place in settled {
            match (manner.keeps_versions, left.next()) {
                (false, Some(_)) => found.push((Kind::Different, place)),
                (true, Some(other)) => {
                    found.push((Kind::Missing, place));
                    found.push((Kind::Older, other));
                }
                // A key that comes twice at the source is one row after a merge.
                (false, None) if matched > 0 => {}
                (_, None) => found.push((Kind::Missing, place)),
            }
        }
        for place in open {
            // The row that is there will be written over by it.
            if !manner.keeps_versions {
                left.next();
            }
            found.push((Kind::Waiting, place));
        }
        for place in left {
            let kind = match (!self.source.is_empty(), manner.keeps_versions) {
                (true, true) => Kind::Older,
                (true, false) if newer > 0 => Kind::Waiting,
                _ => Kind::Extra,
            };
            found.push((kind, place));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Newer, Open, Settled};

    fn kinds(source: &[(u128, Standing)], destination: &[u128], keyed: bool, versions: bool) -> Vec<Kind> {
        let entry = Entry {
            source: source.iter().map(|(hash, standing)| (Identity(*hash), *standing, None)).collect(),
            destination: destination.iter().map(|hash| (Identity(*hash), None)).collect(),
            name: String::new(),
        };
        let manner = Manner { keyed, keeps_versions: versions };
        entry.differences(manner).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_merged_row_is_as_it_was_lost_changed_left_over_or_waits() {
        let merge = |source: &[_], destination: &[_]| kinds(source, destination, true, false);
        assert_eq!(merge(&[(1, Settled)], &[1]), []);
        assert_eq!(merge(&[(1, Settled)], &[]), [Kind::Missing]);
        assert_eq!(merge(&[(1, Settled)], &[2]), [Kind::Different]);
        assert_eq!(merge(&[], &[2]), [Kind::Extra]);
        assert_eq!(merge(&[(1, Open)], &[]), [Kind::Waiting]);
        assert_eq!(merge(&[(1, Open)], &[2]), [Kind::Waiting]);
        // Changed since: its cursor moved beyond the range.
        assert_eq!(merge(&[(1, Newer)], &[2]), [Kind::Waiting]);
        assert_eq!(merge(&[(1, Newer)], &[]), []);
        // A key that comes twice at the source.
        assert_eq!(merge(&[(1, Settled), (3, Settled)], &[3]), []);
    }

    #[test]
    fn an_append_keeps_older_versions() {
        let append = |source: &[_], destination: &[_]| kinds(source, destination, true, true);
        assert_eq!(append(&[(2, Settled)], &[1, 2]), [Kind::Older]);
        assert_eq!(append(&[(2, Newer)], &[1]), [Kind::Older]);
        assert_eq!(append(&[(2, Settled)], &[1]), [Kind::Missing, Kind::Older]);
        assert_eq!(append(&[], &[1]), [Kind::Extra]);
        assert_eq!(append(&[(2, Open)], &[1]), [Kind::Waiting, Kind::Older]);
    }

    #[test]
    fn rows_without_a_key_are_counted() {
        let plain = |source: &[_], destination: &[_]| kinds(source, destination, false, true);
        assert_eq!(plain(&[(1, Settled), (1, Settled)], &[1]), [Kind::Missing]);
        assert_eq!(plain(&[(1, Settled)], &[1, 1]), [Kind::Extra]);
        assert_eq!(plain(&[(1, Open)], &[]), [Kind::Waiting]);
        assert_eq!(plain(&[(1, Newer)], &[1]), []);
        let mut entry = Entry { source: vec![(Identity(1), Settled, None)], ..Entry::default() };
        entry.waits(Identity(1));
        let manner = Manner { keyed: false, keeps_versions: true };
        assert_eq!(entry.differences(manner), []);
    }
}
