//! Rows counted and hashed without regard to their order (pure).

use serde::{Serialize, Serializer};
use waybill_protocol::Identity;

/// How many rows there are, and the wrapping sum of their identities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Rows.
    pub rows: u64,
    /// Order-free hash of them.
    pub hash: u128,
}

impl Sums {
    /// Adds a row.
    pub fn add(&mut self, row: Identity) {
        self.rows += 1;
        self.hash = self.hash.wrapping_add(row.0);
    }

    /// Takes a row out again that was added before.
    pub fn take(&mut self, row: Identity) {
        self.rows = self.rows.saturating_sub(1);
        self.hash = self.hash.wrapping_sub(row.0);
    }

    /// Both together.
    pub fn plus(self, other: Sums) -> Sums {
        Sums { rows: self.rows + other.rows, hash: self.hash.wrapping_add(other.hash) }
    }
}

impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::json!({"rows": self.rows, "hash": format!("{:032x}", self.hash)}).serialize(serializer)
    }
}

/// How many buckets rows are dealt into by the hash of their key.
pub const BUCKETS: usize = 1 << 16;

/// Rows by the hash of what identifies them: both sides deal the same row into the same bucket, so
/// that only buckets that differ have to be looked at row by row.
#[derive(Debug, Clone)]
pub struct Buckets {
    sums: Vec<Sums>,
    /// Rows of the source beyond the compared range.
    newer: Vec<u32>,
}

impl Default for Buckets {
    fn default() -> Buckets {
        Buckets { sums: vec![Sums::default(); BUCKETS], newer: vec![0; BUCKETS] }
    }
}

/// The bucket of what identifies a row.
pub fn bucket(identity: Identity) -> usize {
    (identity.0 >> 112) as usize
}

impl Buckets {
    /// The sums of the bucket that an identity falls into.
    pub fn of(&mut self, identity: Identity) -> Option<&mut Sums> {
        self.sums.get_mut(bucket(identity))
    }

    /// Notes a row beyond the compared range.
    pub fn newer(&mut self, identity: Identity) {
        if let Some(newer) = self.newer.get_mut(bucket(identity)) {
            *newer = newer.saturating_add(1);
        }
    }

    /// The buckets that differ and may be looked at together, while they hold at most `rows` rows;
    /// and whether these are all that differ.
    pub fn differing(&self, other: &Buckets, rows: u64) -> (Vec<bool>, bool) {
        let mut chosen = vec![false; BUCKETS];
        let (mut taken, mut all) = (0u64, true);
        let pairs = self.sums.iter().zip(&other.sums).zip(self.newer.iter().zip(&other.newer));
        for (chosen, ((a, b), (newer, more))) in chosen.iter_mut().zip(pairs) {
            if a == b {
                continue;
            }
            let size = a.rows + b.rows + u64::from(*newer) + u64::from(*more);
            if taken > 0 && taken + size > rows {
                all = false;
                continue;
            }
            taken += size;
            *chosen = true;
        }
        (chosen, all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bucket: u128, rest: u128) -> Identity {
        Identity(bucket << 112 | rest)
    }

    #[test]
    fn only_buckets_that_differ_are_looked_at_and_only_so_many() {
        let (mut source, mut destination) = (Buckets::default(), Buckets::default());
        for at in 0..4u128 {
            for n in 0..10 {
                source.of(row(at, n)).unwrap().add(row(at, n));
                if at > 0 || n > 0 {
                    destination.of(row(at, n)).unwrap().add(row(at, n));
                }
            }
        }
        let (chosen, all) = source.differing(&destination, 1_000);
        assert_eq!((chosen.iter().filter(|c| **c).count(), chosen[0], all), (1, true, true));
        destination.of(row(3, 1)).unwrap().take(row(3, 1));
        let (chosen, all) = source.differing(&destination, 20);
        assert_eq!((chosen[0], chosen[3], all), (true, false, false));
        // One bucket is always looked at, whatever its size.
        assert!(source.differing(&destination, 1).0[0]);
    }

    #[test]
    fn the_order_of_rows_does_not_matter() {
        let mut a = Sums::default();
        [1, u128::MAX, 7].into_iter().for_each(|n| a.add(Identity(n)));
        let mut b = Sums::default();
        [7, 1, u128::MAX, 9].into_iter().for_each(|n| b.add(Identity(n)));
        assert_ne!(a, b);
        b.take(Identity(9));
        assert_eq!(a, b);
    }
}
