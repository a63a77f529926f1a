//! What happened, as typed events. One set of types serves the writer, every reader and the summary.
//!
//! The engine and the connectors emit [`Event`]s and never print; the log, the terminal and a
//! backend's stream are views of them. Names are closed for the writer and open for the reader.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::StreamDescription;
use crate::stream::{SyncMode, WriteMode};

pub use crate::emit::{Emit, Event, Events, Span};

/// How much an event matters to a reader in a hurry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Detail for a post-mortem.
    Debug,
    /// The normal course.
    Info,
    /// Something a person should know although the run goes on.
    Warn,
    /// Something failed.
    Error,
}

/// The steps of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Read the connection, take the lock, open the log.
    Load,
    /// Resolve secrets.
    Resolve,
    /// Check source and destination.
    Check,
    /// Discover the selected streams.
    Discover,
    /// Reconcile state and plan slices.
    Plan,
    /// Read from the source and load into the destination.
    Read,
    /// Make staged loads visible.
    Publish,
    /// Merge state into the config.
    Merge,
    /// Write the summary.
    Summary,
}

impl Phase {
    /// The word used in events and on screens.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Load => "load",
            Phase::Resolve => "resolve",
            Phase::Check => "check",
            Phase::Discover => "discover",
            Phase::Plan => "plan",
            Phase::Read => "read",
            Phase::Publish => "publish",
            Phase::Merge => "merge",
            Phase::Summary => "summary",
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it set out to do.
    Succeeded,
    /// It failed; the error is in the event or in one just before it.
    Failed,
    /// It was asked to stop.
    Cancelled,
    /// It never said how it ended: a panic, a dropped task, or a log cut off.
    Interrupted,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every stream was loaded.
    Succeeded,
    /// Some streams were loaded, some failed.
    Partial,
    /// Nothing useful was loaded.
    Failed,
    /// A signal or a time budget ended it.
    Cancelled,
    /// It was killed: no `run.finished` in its log.
    Crashed,
}

/// Counters of one stream, cumulative over the run. Rates are for the reader to compute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counts {
    /// Rows that came from the source, all attempts together.
    pub rows_read: u64,
    /// Rows under a receipt.
    pub rows_loaded: u64,
    /// Rows left out because their identity was already loaded.
    pub rows_known: u64,
    /// Rows that could not be loaded and were rejected.
    pub rows_rejected: u64,
    /// Values changed to fit the destination.
    pub values_coerced: u64,
    /// Rows left out because their cursor is NULL.
    pub rows_null_cursor: u64,
    /// Batches read.
    pub batches: u64,
    /// Commits acknowledged.
    pub commits: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Bytes read, as Arrow holds them.
    pub bytes_read: u64,
    /// Bytes under a receipt, as Arrow holds them.
    pub bytes_loaded: u64,
}

/// What a step of schema evolution did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// Its type before; absent for a new column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its type now; absent for one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The `data` of an event; its name on the wire is the `event` of the line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "data")]
#[non_exhaustive]
pub enum Body {
    /// The first line of every log.
    #[serde(rename = "run.started")]
    RunStarted {
        /// Version of the program.
        version: String,
        /// Host it runs on.
        host: String,
        /// Process id.
        pid: u32,
        /// System of the source.
        source: String,
        /// Name and system of the destination.
        destination: String,
        /// The connection's id.
        connection_id: String,
        /// Digest of the connection's settings as loaded.
        config_hash: String,
        /// Settings in force, redacted, each with its origin.
        settings: Value,
        /// What the caller asked for: flags and limits.
        options: Value,
        /// Where this run's artifacts lie: kind → path.
        artifacts: BTreeMap<String, String>,
    },
    /// At least every ten seconds, also when nothing else happens.
    #[serde(rename = "run.heartbeat")]
    RunHeartbeat {
        /// Resident memory, bytes.
        memory_bytes: u64,
        /// Its peak so far, bytes.
        peak_memory_bytes: u64,
        /// Bytes of batches between sources and destinations.
        queue_bytes: u64,
    },
    /// The last line of every log that was not cut off.
    #[serde(rename = "run.finished")]
    RunFinished {
        /// How it ended.
        status: Status,
        /// What the process exits with.
        exit_code: u8,
        /// Rows under a receipt, all streams.
        rows_loaded: u64,
        /// Its peak of resident memory, bytes.
        peak_memory_bytes: u64,
        /// Milliseconds since the start.
        ms: u64,
    },
    /// A step of the run begins.
    #[serde(rename = "phase.started")]
    PhaseStarted {},
    /// A step of the run ended.
    #[serde(rename = "phase.finished")]
    PhaseFinished {
        /// How.
        outcome: Outcome,
        /// How long, milliseconds.
        ms: u64,
    },
    /// Time spent waiting for somebody else's lock at the destination.
    #[serde(rename = "lock.waited")]
    LockWaited {
        /// What was locked.
        lock: String,
        /// How long, milliseconds.
        ms: u64,
    },
    /// A secret was read; never its value.
    #[serde(rename = "secret.resolved")]
    SecretResolved {
        /// Its place, such as `sources.crm.password`.
        name: String,
        /// Where the value came from: `literal`, `env:NAME`, `file:PATH`.
        origin: String,
    },
    /// A session with a system was opened.
    #[serde(rename = "connection.opened")]
    ConnectionOpened {
        /// `source` or `destination`.
        role: String,
        /// The system.
        system: String,
        /// What it says it is.
        server: String,
        /// Address without secrets.
        target: String,
        /// How long, milliseconds.
        ms: u64,
    },
    /// A session ended: closed in good order, or given up with the work that it was for.
    #[serde(rename = "connection.closed")]
    ConnectionClosed {
        /// `source` or `destination`.
        role: String,
    },
    /// A session could not be opened.
    #[serde(rename = "connection.failed")]
    ConnectionFailed {
        /// `source` or `destination`.
        role: String,
        /// Address without secrets.
        target: String,
    },
    /// A tunnel to a system was started.
    #[serde(rename = "tunnel.started")]
    TunnelStarted {
        /// `source` or `destination`.
        role: String,
        /// `ssh` or `command`.
        kind: String,
        /// The program and its arguments.
        command: Vec<String>,
        /// Its process, which leads a process group of its own.
        pid: u32,
        /// The port on 127.0.0.1 that it is to open.
        local_port: u16,
        /// The server behind it.
        target: String,
    },
    /// A tunnel ended.
    #[serde(rename = "tunnel.exited")]
    TunnelExited {
        /// `source` or `destination`.
        role: String,
        /// Why: it was closed (`succeeded`), it ended by itself (`failed`), nobody waited for its end (`interrupted`).
        outcome: Outcome,
        /// Its exit code, where it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The signal that ended it, where one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// How long it ran, milliseconds.
        ms: u64,
    },
    /// What a child process wrote, line by line; capped.
    #[serde(rename = "process.output")]
    ProcessOutput {
        /// What the process is for: `tunnel`.
        process: String,
        /// Its process id.
        pid: u32,
        /// `stdout` or `stderr`.
        stream: String,
    },
    /// One finding of a check.
    #[serde(rename = "check.result")]
    CheckResult {
        /// `source` or `destination`.
        role: String,
        /// What was checked.
        check: String,
        /// Whether it passed.
        passed: bool,
    },
    /// What discovery found.
    #[serde(rename = "catalog.discovered")]
    CatalogDiscovered {
        /// The selected streams.
        streams: Vec<StreamDescription>,
        /// Where the whole catalog lies when it is too large for a line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
    },
    /// The columns of a stream are not what was stored.
    #[serde(rename = "schema.changed")]
    SchemaChanged {
        /// What the stream's policy made of it: `evolve`, `freeze`, `ignore`.
        policy: String,
        /// Column by column.
        changes: Vec<ColumnChange>,
    },
    /// Where a stream starts from, and why.
    #[serde(rename = "state.reconciled")]
    StateReconciled {
        /// The rule of reconciliation that decided: `1` to `6`, `none` for full refresh.
        rule: String,
        /// What will be done.
        decision: String,
        /// State before this run, as the destination holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Value>,
    },
    /// The stream's state stands in the config (or the state file).
    #[serde(rename = "state.merged")]
    StateMerged {
        /// Stream → the entry written.
        states: BTreeMap<String, Value>,
    },
    /// The state could not be written into the config; the next run adopts it from the destination.
    #[serde(rename = "state.merge_failed")]
    StateMergeFailed {
        /// Stream → the entry that was not written.
        states: BTreeMap<String, Value>,
    },
    /// A unit of reading was planned.
    #[serde(rename = "slice.planned")]
    SlicePlanned {
        /// Its id.
        slice: String,
        /// Its streams.
        streams: Vec<String>,
        /// Whether it is read in the cursor's order.
        ordered: bool,
    },
    /// A stream's load begins.
    #[serde(rename = "stream.started")]
    StreamStarted {
        /// How it is read.
        mode: SyncMode,
        /// How it is written.
        write: WriteMode,
        /// The table at the destination.
        table: String,
        /// Whether it goes through a staging table.
        staged: bool,
        /// The binary form in which rows travel undecoded; absent: they are decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wire: Option<String>,
        /// Rows expected, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows_expected: Option<u64>,
        /// Bytes expected, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes_expected: Option<u64>,
    },
    /// How far a stream is: windowed in time, never per row.
    #[serde(rename = "stream.progress")]
    StreamProgress {
        /// The counters.
        counts: Counts,
    },
    /// An attempt failed; whether another follows is said by `retry.scheduled`.
    #[serde(rename = "stream.attempt_failed")]
    StreamAttemptFailed {
        /// The slice.
        slice: String,
        /// The counters.
        counts: Counts,
    },
    /// A stream's load ended.
    #[serde(rename = "stream.finished")]
    StreamFinished {
        /// How.
        outcome: Outcome,
        /// The counters.
        counts: Counts,
        /// How long, milliseconds.
        ms: u64,
        /// State after this run, as the destination holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Value>,
    },
    /// Another attempt will be made.
    #[serde(rename = "retry.scheduled")]
    RetryScheduled {
        /// Number of the attempt to come; the first is 1.
        next_attempt: u32,
        /// Attempts allowed in all.
        attempts: u32,
        /// The wait, milliseconds.
        delay_ms: u64,
    },
    /// A query was sent.
    #[serde(rename = "query.started")]
    QueryStarted {
        /// `source` or `destination`.
        role: String,
        /// What it is for.
        purpose: String,
        /// Its text, with placeholders for values.
        sql: String,
    },
    /// A query ended.
    #[serde(rename = "query.finished")]
    QueryFinished {
        /// `source` or `destination`.
        role: String,
        /// What it was for.
        purpose: String,
        /// How it ended.
        outcome: Outcome,
        /// Rows returned or touched, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<u64>,
        /// How long, milliseconds.
        ms: u64,
    },
    /// Data and state are durable at the destination: a receipt.
    #[serde(rename = "checkpoint.committed")]
    CheckpointCommitted {
        /// Id of the commit, as stored at the destination.
        commit_id: String,
        /// The slice.
        slice: String,
        /// Rows it covers.
        rows: u64,
        /// Bytes it covers, as Arrow holds them.
        bytes: u64,
        /// Order-free hash of its rows (hex), where they were decoded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
        /// The state written with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Value>,
        /// Whether the rows are in a staging table still.
        staged: bool,
        /// How long, milliseconds.
        ms: u64,
    },
    /// A staged load became visible.
    #[serde(rename = "stream.published")]
    StreamPublished {
        /// The table.
        table: String,
        /// Rows in it by this load.
        rows: u64,
        /// Id of the commit.
        commit_id: String,
        /// The state written with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Value>,
        /// How long, milliseconds.
        ms: u64,
    },
    /// Rows that could not be loaded.
    #[serde(rename = "row.rejected")]
    RowRejected {
        /// Where the first of them is: file and line, or key.
        place: String,
        /// The column, where one is at fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        column: Option<String>,
        /// How many this event stands for.
        rows: u64,
    },
    /// Values that were changed to fit.
    #[serde(rename = "value.coerced")]
    ValueCoerced {
        /// The column.
        column: String,
        /// How many.
        values: u64,
        /// What was done to them.
        change: String,
    },
    /// Something at the source forces a wider window, so more rows are read again.
    #[serde(rename = "window.widened")]
    WindowWidened {
        /// Who: process, user, application, transaction.
        holder: Value,
        /// The floor that it forces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        floor: Option<Value>,
    },
    /// A secret stands in an artifact of the run: it was put aside, for its owner's eyes only.
    #[serde(rename = "artifact.quarantined")]
    ArtifactQuarantined {
        /// Which one: `log`, `summary`, `rejects`, …
        artifact: String,
        /// Where it lies now.
        path: String,
        /// The place of the secret, such as `sources.crm.password`; never its value.
        secret: String,
        /// The line in the artifact, from 1.
        line: u64,
    },
    /// A signal arrived.
    #[serde(rename = "signal.received")]
    SignalReceived {
        /// Its name.
        signal: String,
        /// The how-manieth.
        count: u32,
    },
    /// What a connector says in words.
    #[serde(rename = "runtime.event")]
    Runtime {
        /// Details, without user data.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        detail: Value,
    },
}
