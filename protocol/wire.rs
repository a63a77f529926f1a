//! Wire passthrough: a binary form that a source and a destination agree on per stream, so that rows
//! travel undecoded.

use xxhash_rust::xxh3::xxh3_128;

/// The form of PostgreSQL's binary COPY. Its words are those of the types' binary forms: `int4`, `text`, …
pub const POSTGRES_COPY: &str = "postgres_copy";

/// A binary form of rows: which one, and what each column looks like in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireForm {
    /// The form, such as [`POSTGRES_COPY`].
    pub format: &'static str,
    /// One word per column of the stream, in order; what it means belongs to the form.
    pub columns: Vec<String>,
}

/// Whole rows as they travel, without a header or an end mark.
#[derive(Debug, Default)]
pub struct WireRows {
    /// The rows, one after the other.
    pub bytes: Vec<u8>,
    /// How many.
    pub rows: u64,
    /// Order-free hash of them: the sum of a hash of each row's bytes.
    pub hash: u128,
}

impl WireRows {
    /// Adds a whole row.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.rows += 1;
        self.hash = self.hash.wrapping_add(xxh3_128(row));
    }
}
