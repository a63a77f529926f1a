//! What a comparison found, for faces to show.

use std::collections::BTreeMap;

use serde::Serialize;
use waybill_protocol::ErrorRecord;

use super::columns::LeftOut;
use super::sums::Sums;

/// Keys that are named of each kind of difference.
pub const NAMED: usize = 10;

/// What became of a stream's comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Both sides have the same rows, as far as they can be compared.
    Equal,
    /// They have not.
    Differs,
    /// There is nothing that could be compared; `why` says so.
    NotCompared,
    /// The comparison itself failed; `error` says why.
    Failed,
}

/// The range that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The cursor's column, `files`, or `everything`.
    pub by: String,
    /// Below this cursor everything was loaded for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// Up to this cursor rows were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<String>,
}

/// One kind of difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Rows.
    pub rows: u64,
    /// The first keys, where there is a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What differs, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// Rows of the source that the destination lacks.
    pub missing: Found,
    /// Rows of the destination that the source lacks: deleted at the source since.
    pub extra: Found,
    /// Rows with the same key and other values.
    pub different: Found,
    /// Rows that the next run loads or writes over.
    pub waiting: Found,
    /// Older versions of rows, which an append keeps.
    pub older: Found,
    /// Whether every difference was looked at; otherwise the numbers are "at least".
    pub complete: bool,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// Its first value, or the file.
    pub from: String,
    /// Its last value.
    pub to: String,
    /// The source's rows.
    pub source: Sums,
    /// The destination's rows.
    pub destination: Sums,
    /// Whether something is wrong in it.
    pub differs: bool,
    /// Rows in it by kind of difference.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub found: BTreeMap<&'static str, u64>,
    /// The first and the last value at which something differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<(String, String)>,
}

/// The comparison of one stream.
#[derive(Debug, Clone, Serialize)]
pub struct StreamReport {
    /// The stream.
    pub stream: String,
    /// Its table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it was not compared, or why it differs where rows do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Why the comparison failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The source's rows in that range.
    pub source: Sums,
    /// The destination's.
    pub destination: Sums,
    /// Rows of the source that no run has looked at yet.
    pub newer: u64,
    /// The windows, in order.
    pub windows: Vec<WindowReport>,
    /// What differs.
    pub differences: Differences,
    /// Columns that were not compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How long it took, milliseconds.
    pub ms: u64,
}

impl StreamReport {
    /// A report before anything was found.
    pub fn new(stream: &str) -> StreamReport {
        StreamReport {
            stream: stream.to_owned(),
            table: None,
            verdict: Verdict::NotCompared,
            why: None,
            error: None,
            range: None,
            source: Sums::default(),
            destination: Sums::default(),
            newer: 0,
            windows: Vec::new(),
            differences: Differences::default(),
            left_out: Vec::new(),
            notes: Vec::new(),
            ms: 0,
        }
    }

    /// The same, not compared, and why.
    pub fn not_compared(mut self, why: impl Into<String>) -> StreamReport {
        self.why = Some(why.into());
        self
    }
}
