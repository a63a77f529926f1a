//! The forms of scripts.

use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_protocol::{Error, Kind};

/// What a scripted source does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceScript {
    /// What the source is: part of every fingerprint.
    #[serde(default = "scripted")]
    pub identity: String,
    /// Whether it sends wider types when it is asked to.
    #[serde(default)]
    pub infers: bool,
    /// Its check fails with this.
    #[serde(default)]
    pub check: Option<Failure>,
    /// Its discovery fails with this.
    #[serde(default)]
    pub discover: Option<Failure>,
    /// What gets in the way of everything but its reads: open, check, discover, plan, acknowledge.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Its streams.
    pub streams: Vec<ScriptedStream>,
}

fn scripted() -> String {
    "scripted".to_owned()
}

/// One stream of a scripted source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedStream {
    /// Its name.
    pub name: String,
    /// Its columns: name → logical type.
    pub columns: Map<String, Value>,
    /// Its primary key.
    #[serde(default)]
    pub primary_key: Vec<String>,
    /// Its cursor: an integer column whose order the reads follow.
    #[serde(default)]
    pub cursor: Option<String>,
    /// What each read does, the first read first, over all attempts and runs; the last goes on.
    #[serde(default)]
    pub reads: Vec<Vec<Step>>,
    /// In place of `reads`: several slices of one stream.
    #[serde(default)]
    pub slices: Vec<ScriptedSlice>,
}

/// One of several slices of a stream.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedSlice {
    /// Its id, unique within the source.
    pub id: String,
    /// Slices of one group are planned and read again together.
    #[serde(default)]
    pub retry_group: Option<String>,
    /// As for a stream.
    pub reads: Vec<Vec<Step>>,
}

/// One step of a read. `stream` names another stream than the slice's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Sends the columns that were asked for, or these.
    Schema {
        /// Name → logical type.
        columns: Option<Map<String, Value>>,
        /// The stream.
        stream: Option<String>,
    },
    /// Sends generated rows in one batch: integers count from `from`, texts are `row N`.
    Rows {
        /// The first number.
        from: i64,
        /// How many.
        count: i64,
        /// The stream.
        stream: Option<String>,
    },
    /// Sends a batch of these rows; dates and times as Arrow's integers, decimals unscaled.
    Values {
        /// Row by row, in the order of the columns.
        rows: Vec<Vec<Value>>,
        /// The stream.
        stream: Option<String>,
    },
    /// Reads the generated rows `from` to `to` as a table would be: from the state's floor on and,
    /// where the stream is read by cursor, with a checkpoint after each batch.
    Table {
        /// The first number.
        from: i64,
        /// The last number.
        to: i64,
        /// Rows of a batch.
        batch: i64,
        /// How rows resemble each other; absent: not at all.
        #[serde(default)]
        ties: Ties,
    },
    /// Sends a checkpoint: with a state where `floor` or `data` is given, else an empty patch.
    Checkpoint {
        /// Floor and ceiling of the state.
        floor: Option<i64>,
        /// The state's own data.
        data: Option<Value>,
    },
    /// Announces the next floor.
    NextFloor {
        /// The floor.
        floor: i64,
    },
    /// Says that a stream is whole.
    Complete {
        /// The stream.
        stream: Option<String>,
    },
    /// Reports a row that cannot be read.
    Reject {
        /// Where it is.
        place: String,
    },
    /// Reports rows left out because their cursor is NULL.
    NullCursors {
        /// How many.
        rows: u64,
    },
    /// Says something in the connector's own words.
    Say {
        /// The message.
        message: String,
        /// Details beside it.
        #[serde(default)]
        detail: Value,
    },
    /// Says what a child process would have written: each text an event of its own.
    Output {
        /// The pieces, in order.
        chunks: Vec<String>,
    },
    /// Returns an error.
    Fail(Failure),
    /// Returns in good order, whatever was sent.
    Return,
    /// Breaks off with a panic.
    Panic,
    /// Waits, or goes on when the run stops.
    WaitMs {
        /// How long.
        ms: u64,
    },
    /// Waits until a file is there.
    WaitForFile {
        /// The file, from the project folder.
        path: String,
    },
    /// Makes a file, to tell the test how far the read is.
    Touch {
        /// The file, from the project folder.
        path: String,
    },
    /// Waits until sends are refused, then goes on.
    WaitUntilStopped,
    /// Waits until the run is stopped at once; an orderly stop is not noticed.
    Hang,
}

/// How the rows of a table resemble each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ties {
    /// So many rows share a value of the cursor, which counts from 0.
    pub cursor: i64,
    /// So many rows are the same in all other columns.
    pub row: i64,
}

impl Default for Ties {
    fn default() -> Ties {
        Ties { cursor: 0, row: 1 }
    }
}

impl Ties {
    /// Whether rows share values of the cursor at all.
    pub fn any(&self) -> bool {
        self.cursor > 0
    }

    /// The cursor of the `n`-th row.
    pub fn cursor(&self, n: i64) -> i64 {
        if self.any() { (n - 1) / self.cursor } else { n }
    }

    /// The first row whose cursor is at least that.
    pub fn first(&self, floor: i64) -> i64 {
        if self.any() { floor * self.cursor + 1 } else { floor }
    }

    /// The number that stands in the other columns of the `n`-th row.
    pub fn number(&self, n: i64) -> i64 {
        (n - 1) / self.row.max(1) + 1
    }
}

/// An error to be returned.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// Its message.
    #[serde(default = "as_scripted")]
    pub message: String,
    /// Its own answer to whether to try again.
    #[serde(default)]
    pub retryable: Option<bool>,
    /// How long it asks to wait before that.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// The stream that it belongs to.
    #[serde(default)]
    pub stream: Option<String>,
}

fn as_scripted() -> String {
    "failed as scripted".to_owned()
}

impl Failure {
    /// The error.
    pub fn error(&self) -> Error {
        let mut error = Error::new(self.kind, &self.message);
        if let Some(retryable) = self.retryable {
            error = error.retry(retryable);
        }
        if let Some(ms) = self.wait_ms {
            error = error.wait(std::time::Duration::from_millis(ms));
        }
        match &self.stream {
            Some(stream) => error.stream(stream),
            None => error,
        }
    }
}

/// What gets in the way of a scripted destination.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationScript {
    /// The faults; several may meet at one operation.
    pub faults: Vec<Fault>,
}

/// One fault. Its members act in the order in which they stand here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation.
    pub at: Operation,
    /// Only its how-manieth, counted from 1 over all runs; every one when absent.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Once the operation took place in the database rather than in its stead.
    #[serde(default)]
    pub after: bool,
    /// Makes a file, from the project folder.
    #[serde(default)]
    pub touch: Option<String>,
    /// Waits until a file is there.
    #[serde(default)]
    pub wait_for_file: Option<String>,
    /// Waits.
    #[serde(default)]
    pub wait_ms: u64,
    /// Adds so many rows to the receipt, or takes them off: a lie.
    #[serde(default)]
    pub extra_rows: i64,
    /// Says that a commit or a publication took place, and does nothing of it.
    #[serde(default)]
    pub lie: bool,
    /// Breaks off with a panic.
    #[serde(default)]
    pub panic: bool,
    /// Returns an error.
    #[serde(default)]
    pub fail: Option<Failure>,
}

/// What a source or a destination is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Opening a session.
    Open,
    /// `check`.
    Check,
    /// `Source::discover`.
    Discover,
    /// `Source::plan`.
    Plan,
    /// `Source::acknowledge`.
    Acknowledge,
    /// `Destination::begin`.
    Begin,
    /// `Destination::states`.
    States,
    /// `Destination::publish`.
    Publish,
    /// `Destination::committed`.
    Committed,
    /// `Writer::prepare`.
    Prepare,
    /// `Writer::write`.
    Write,
    /// `Writer::commit`.
    Commit,
    /// `Writer::abort`.
    Abort,
}
