//! Reading one stream in one snapshot.
//!
//! Where the cursor is text, batches have one column more than the schema that was announced: the
//! reserved `_in_window`, last, since only SQLite knows the column's collation.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::sync::mpsc;
use waybill_protocol::state::Scope;
use waybill_protocol::{
    Change, Error, Logical, Message, NullCursor, Origin, Patch, Reading, Result, StreamRead, StreamState,
};

use super::cursor::{Cursor, Rows};
use super::database::Stop;
use super::fault::Doing;
use super::identifier::{quote, same};
use super::reader::{Reader, Widening};
use super::sample::{bare, rowid};
use super::window::Window;

/// Reads a stream into `out`, continuing from `state`.
pub(crate) fn read(
    conn: &Connection,
    stop: &Stop,
    stream: &StreamRead,
    state: StreamState,
    out: &mpsc::Sender<Message>,
) -> Result<()> {
    // Before the snapshot: what is committed after it may be stamped later than this only.
    let now_us = now_us();
    // One snapshot for everything: it begins with the first query.
    let _snapshot = conn.unchecked_transaction().reading("begin a snapshot")?;
    let rows = rows_of(stream);
    let asked = asked_cursor(stream)?;
    let cursor = match asked {
        Some((column, logical)) => Some(Cursor::new(conn, &rows, &stream.stream, &column, logical)?),
        None => None,
    };
    let window = match (&cursor, &stream.reading) {
        (Some(cursor), Reading::Cursor { .. }) => {
            let lookback = stream.selection.lookback.as_ref();
            Some(Window::new(conn, &rows, cursor, state, lookback, now_us)?)
        }
        _ => None,
    };
    if let (Some(cursor), Some(window)) = (&cursor, &window) {
        window.check_bound(conn, &rows, cursor, stream)?;
    }
    send(out, Message::Schema { stream: stream.stream.clone(), schema: Arc::clone(&stream.schema) })?;
    if let Some(cursor) = cursor.as_ref().filter(|_| window.is_some()) {
        count_nulls(conn, &rows, cursor, stream, out)?;
    }
    if let Some(window) = window.as_ref().filter(|_| !bounded(stream)) {
        let floor = window.after().floor;
        send(out, Message::NextFloor { stream: stream.stream.clone(), floor })?;
    }
    let question = Question::new(conn, stream, &rows, cursor.as_ref(), window.as_ref())?;
    let mut statement = conn.prepare(&question.sql).reading(&question.doing)?;
    let mut found = statement.query(params_from_iter(&question.bound)).reading(&question.doing)?;
    let mut reader = Reader::new(stream, &question, cursor.as_ref(), window.as_ref(), out)?;
    let mut widening: Option<Widening> = None;
    while let Some(row) = found.next().reading(&question.doing)? {
        if let Some(widening) = &mut widening {
            widening.see(row, stop)?;
        } else if !reader.take(row)? {
            // Read on to the end to find out which types hold everything.
            let mut wider = Widening::new(&reader.columns);
            wider.see(row, stop)?;
            widening = Some(wider);
        } else if reader.rows % 1024 == 0 {
            stop.check()?;
        }
    }
    if let Some(widening) = widening {
        return send(out, Message::Schema { stream: stream.stream.clone(), schema: widening.schema(stream) });
    }
    reader.flush()?;
    let patch = match &window {
        Some(window) if !bounded(stream) => patch(stream, window.after()),
        _ => Patch::new(),
    };
    send(out, Message::Checkpoint { patch })?;
    send(out, Message::Complete { stream: stream.stream.clone() })
}

/// Hands a message over; fails once nobody takes it.
pub(crate) fn send(out: &mpsc::Sender<Message>, message: Message) -> Result<()> {
    out.blocking_send(message).map_err(|_| Error::cancelled())
}

/// The patch that puts a stream's state.
pub(crate) fn patch(stream: &StreamRead, state: StreamState) -> Patch {
    Patch::from([(Scope::Stream(stream.stream.clone()), Change::Put(state.to_value()))])
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Whether the run reads a part only, and so moves no state.
pub(crate) fn bounded(stream: &StreamRead) -> bool {
    stream.from.is_some() || stream.to.is_some() || stream.limit.is_some()
}

/// The rows that the stream has, before any cursor.
fn rows_of(stream: &StreamRead) -> Rows {
    let from = match &stream.selection.query {
        Some(query) => format!("(\n{}\n) AS t", bare(query)),
        None => format!("main.{} AS t", quote(&stream.source.1)),
    };
    let filter = stream.selection.filter.as_deref().map_or("true".into(), |f| format!("(\n{f}\n)"));
    Rows { from, filter }
}

/// The cursor that the read needs: for reading by it, or for `from` and `to`.
fn asked_cursor(stream: &StreamRead) -> Result<Option<(String, Logical)>> {
    if let Reading::Cursor { column, logical } = &stream.reading {
        return Ok(Some((column.clone(), *logical)));
    }
    if stream.from.is_none() && stream.to.is_none() {
        return Ok(None);
    }
    let lacks = || {
        Error::config(format!("stream {}: --from and --to need a cursor", stream.stream))
            .origin(Origin::Source)
            .hint("give the stream a `cursor` that is among its columns")
    };
    let column = stream.selection.cursor.as_deref().ok_or_else(lacks)?;
    let field = stream.schema.fields().iter().find(|f| same(f.name(), column)).ok_or_else(lacks)?;
    Ok(Some((field.name().clone(), Logical::of(field)?)))
}

fn count_nulls(
    conn: &Connection,
    rows: &Rows,
    cursor: &Cursor,
    stream: &StreamRead,
    out: &mpsc::Sender<Message>,
) -> Result<()> {
    if stream.selection.null_cursor == NullCursor::IncludeAlways {
        return Ok(());
    }
    let sql =
        format!("SELECT count(*) FROM {} WHERE {} AND {} IS NULL", rows.from, rows.filter, cursor.expression);
    let nulls: i64 = conn.query_row(&sql, [], |row| row.get(0)).reading("count NULL cursors")?;
    let nulls = u64::try_from(nulls).unwrap_or(0);
    if nulls > 0 && stream.selection.null_cursor == NullCursor::Fail {
        return Err(Error::data(format!("stream {}: {nulls} rows have a NULL cursor", stream.stream))
            .origin(Origin::Source)
            .stream(&stream.stream)
            .hint("fill the column in, or set `null_cursor` to \"skip\" or \"include_always\""));
    }
    if nulls == 0 {
        return Ok(());
    }
    send(out, Message::NullCursors { stream: stream.stream.clone(), rows: nulls })
}

/// The query of a read, and where in its answer things stand.
pub(crate) struct Question {
    sql: String,
    bound: Vec<Value>,
    /// What is being done, for messages.
    pub(crate) doing: String,
    /// Where the cursor's value is.
    pub(crate) cursor: Option<usize>,
    /// Where it says whether the row stays in the window.
    pub(crate) in_window: Option<usize>,
    /// Where the rowid is.
    pub(crate) rowid: Option<usize>,
}

impl Question {
    fn new(
        conn: &Connection,
        stream: &StreamRead,
        rows: &Rows,
        cursor: Option<&Cursor>,
        window: Option<&Window>,
    ) -> Result<Question> {
        let doing = format!("stream {}: read", stream.stream);
        let mut columns: Vec<String> =
            stream.schema.fields().iter().map(|f| format!("t.{}", quote(f.name()))).collect();
        let mut bound = Vec::new();
        let mut tests = vec![rows.filter.clone()];
        let mut place = |expression: String| {
            columns.push(expression);
            Some(columns.len() - 1)
        };
        let (mut at_cursor, mut in_window) = (None, None);
        let mut order = "";
        if let Some(cursor) = cursor {
            at_cursor = place(cursor.expression.clone());
            if window.is_some() && stream.ordered && cursor.logical != Logical::Text {
                order = cursor.expression.as_str();
            }
            let floor = match (&stream.from, window) {
                (Some(from), _) => Some(from),
                (None, Some(window)) if stream.to.is_none() => window.floor(),
                _ => None,
            };
            let mut test = Vec::new();
            for (value, operator) in [(floor, ">="), (stream.to.as_ref(), "<")] {
                if let Some(value) = value {
                    bound.push(cursor.bind(value)?);
                    test.push(format!("{} {operator} ?{}", cursor.expression, bound.len()));
                }
            }
            if window.is_some() {
                test.push(format!("{} IS NOT NULL", cursor.expression));
            }
            let mut test = test.join(" AND ");
            if window.is_some() && stream.selection.null_cursor == NullCursor::IncludeAlways {
                test = format!("({test} OR {} IS NULL)", cursor.expression);
            }
            tests.push(test);
            if let Some(window) = window.filter(|_| cursor.logical == Logical::Text) {
                bound.push(match window.after().floor {
                    Some(floor) => cursor.bind(&floor)?,
                    None => Value::Null,
                });
                in_window = place(format!("coalesce({} >= ?{}, 0)", cursor.expression, bound.len()));
            }
        }
        let mut at_rowid = None;
        if stream.selection.query.is_none()
            && let Some(rowid) = rowid(conn, &stream.source.1).reading(&doing)?
        {
            at_rowid = place(format!("t.{rowid}"));
        }
        let mut sql =
            format!("SELECT {} FROM {} WHERE {}", columns.join(", "), rows.from, tests.join(" AND "));
        if !order.is_empty() {
            sql.push_str(&format!(" ORDER BY {order}"));
        }
        if let Some(limit) = stream.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        Ok(Question { sql, bound, doing, cursor: at_cursor, in_window, rowid: at_rowid })
    }
}
