//! The columns of the run history. Pages read them: a column keeps its name, type and meaning, and a
//! new one comes with a new layout.

/// A column.
pub(super) struct Column {
    /// Its name: that of the member in the contract's row.
    pub(super) name: &'static str,
    /// Its type.
    pub(super) kind: &'static str,
    /// What else its declaration says.
    pub(super) more: &'static str,
    /// The layout in which it came.
    pub(super) since: i32,
    /// What it holds; its comment in the database.
    pub(super) says: &'static str,
}

/// A table.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// Its columns.
    pub(super) columns: &'static [Column],
    /// Its key and what it refers to.
    pub(super) constraints: &'static str,
    /// What it holds; its comment in the database.
    pub(super) says: &'static str,
}

const fn of(name: &'static str, kind: &'static str, says: &'static str) -> Column {
    Column { name, kind, more: "", since: 1, says }
}

const fn must(name: &'static str, kind: &'static str, says: &'static str) -> Column {
    Column { name, kind, more: " NOT NULL", since: 1, says }
}

const fn later(since: i32, name: &'static str, kind: &'static str, says: &'static str) -> Column {
    Column { name, kind, more: "", since, says }
}

const RUN: Column = must("run_id", "text", "The run");

/// One row a run.
pub(super) const RUNS: Table = Table {
    name: "waybill_runs",
    constraints: "PRIMARY KEY (run_id)",
    says: "One row a run of Waybill",
    columns: &[
        RUN,
        must("connection", "text", "The connection's name at that time"),
        must("connection_id", "text", "The connection's id, which a new name does not change"),
        must("status", "text", "succeeded, partial, failed, cancelled or crashed"),
        must("presumed", "boolean", "Whether crashed is only presumed, of a silent run on another host"),
        of("exit_code", "smallint", "What the process exited with; NULL for a run that never said"),
        of("started_at", "timestamptz", "When it began"),
        of("finished_at", "timestamptz", "When it ended, or its last event"),
        of("seconds", "double precision", "Seconds from start to end"),
        must("rows_loaded", "bigint", "Rows loaded, all streams"),
        must("bytes_loaded", "bigint", "Their bytes"),
        must("source", "text", "System of the source"),
        must("destination", "text", "Name and system of the destination"),
        must("host", "text", "Host it ran on"),
        must("pid", "bigint", "Process id"),
        of("version", "text", "Version of the program"),
        of("error_kind", "text", "Kind of the first cause; NULL for a run that succeeded"),
        of("error_phase", "text", "Step of the run in which it came"),
        of("error_stream", "text", "Stream that it stopped"),
        of("error_message", "text", "The first cause in words"),
        of("error_hint", "text", "What to do next"),
        must("warnings", "bigint", "Warnings in all, repeated ones included"),
        later(2, "events_left_out", "bigint", "Events at warn and above beyond those in waybill_run_events"),
        later(2, "peak_memory_bytes", "bigint", "Peak of resident memory"),
        of("options", "jsonb", "What the caller asked for: flags and limits"),
        must("config_hash", "text", "Digest of the connection's settings"),
        must("log_lines", "bigint", "Lines of the event log that the summary is made of"),
        must("digest", "text", "Digest of the summary: the same one is not written again"),
        must("summary", "jsonb", "The whole summary, as runs/ has it"),
    ],
};

/// One row a stream of a run.
pub(super) const STREAMS: Table = Table {
    name: "waybill_run_streams",
    constraints: "PRIMARY KEY (run_id, stream)",
    says: "One row a stream of a run",
    columns: &[
        RUN,
        must("stream", "text", "The stream"),
        of("table_name", "text", "The table at the destination"),
        of("sync_mode", "text", "full_refresh or incremental"),
        of("write_mode", "text", "overwrite, append or merge"),
        of("outcome", "text", "succeeded, failed, cancelled or interrupted; NULL where its load never ended"),
        must("rows_read", "bigint", "Rows that the source gave"),
        must("rows_loaded", "bigint", "Rows in the table, under a receipt"),
        must("rows_skipped", "bigint", "Rows that were known already"),
        must("rows_rejected", "bigint", "Rows that could not be loaded"),
        must("rows_unpublished", "bigint", "Rows in a staging table that was never published"),
        must("values_coerced", "bigint", "Values that were changed to fit"),
        must("bytes_loaded", "bigint", "Bytes loaded"),
        of("seconds", "double precision", "Seconds that it took"),
        must("attempts", "bigint", "Attempts made"),
        must("commits", "bigint", "Commits made"),
        of("error_kind", "text", "Kind of what failed"),
        of("error_message", "text", "What failed, in words"),
        of("error_hint", "text", "What to do next"),
        of("state_before", "jsonb", "Its state before the run; NULL for a first load"),
        of("state_after", "jsonb", "Its state after the run; NULL where nothing was committed"),
    ],
};

/// One row an event at warn and above.
pub(super) const EVENTS: Table = Table {
    name: "waybill_run_events",
    constraints: "PRIMARY KEY (run_id, seq)",
    says: "One row an event of a run at level warn and above, but run.finished",
    columns: &[
        RUN,
        must("seq", "bigint", "Number of its line in the event log"),
        must("ts", "timestamptz", "When it happened"),
        must("level", "text", "warn or error"),
        must("event", "text", "Its name"),
        of("stream", "text", "The stream it belongs to"),
        of("phase", "text", "The step of the run"),
        of("attempt", "bigint", "Number of the attempt, from 1"),
        must("message", "text", "In words"),
        of("error", "jsonb", "What failed: kind, origin, code, retryable, message, hint, cause"),
    ],
};

/// The three tables, the one that the others belong to first.
pub(super) const TABLES: [&Table; 3] = [&RUNS, &STREAMS, &EVENTS];

impl Table {
    /// Schema and name, quoted.
    pub(super) fn sql(&self) -> String {
        crate::postgres::sql::qualified(Some(super::SCHEMA), self.name)
    }

    /// Every column's name, quoted, with commas.
    pub(super) fn names(&self) -> String {
        self.each(|column| crate::postgres::sql::ident(column.name))
    }

    /// The columns with their types, as the definition of a record.
    pub(super) fn record(&self) -> String {
        self.each(|column| format!("{} {}", crate::postgres::sql::ident(column.name), column.kind))
    }

    /// A part of each column, with commas.
    pub(super) fn each(&self, part: impl Fn(&Column) -> String) -> String {
        self.columns.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}
