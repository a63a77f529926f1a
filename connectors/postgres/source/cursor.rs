//! The cursor of a stream: what it must be, where the stream ends, and what its texts' order is.

use std::collections::{BTreeSet, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use waybill_protocol::clock::clock_bound;
use waybill_protocol::event::Body;
use waybill_protocol::{CursorValue, Error, Logical, NullCursor, Result, StreamRead, StreamState, WriteMode};

use super::copy::one_row;
use super::fence::{self, Holder};
use super::moves_state;
use super::select;
use super::snapshot::Shape;
use super::value::cursor_at;
use super::window::{Findings, Order, Window};
use crate::postgres::decode::ColumnPlan;
use crate::postgres::kinds::Wire;
use crate::postgres::session::{Server, Session, text};
use crate::postgres::sql;

/// The cursor of a stream.
pub(super) struct Cursor<'a> {
    pub(super) column: &'a str,
    pub(super) logical: Logical,
}

/// Refuses what would lose rows without saying so; what a lookback only makes likely is said.
pub(super) fn refuse(server: &Server, read: &StreamRead, cursor: &Cursor<'_>, shape: &Shape) -> Result<()> {
    let stream = &read.stream;
    if !cursor.logical.ordered() {
        let (column, logical) = (cursor.column, cursor.logical);
        return Err(Error::config(format!(
            "{stream}: a column of type {logical} cannot be a cursor: {column:?}"
        ))
        .hint("choose a column of a whole number, decimal, text, uuid, date or timestamp type"));
    }
    if read.selection.null_cursor == NullCursor::IncludeAlways
        && read.selection.write == Some(WriteMode::Append)
    {
        return Err(Error::config(format!(
            "{stream}: null_cursor include_always would add its rows again in every run"
        ))
        .hint("set write to merge"));
    }
    if !moves_state(read) {
        return Ok(());
    }
    let table = shape.table.as_ref();
    let why = if server.facts().standby {
        "the server is a standby, which does not show the primary's open transactions"
    } else if table.is_some_and(|t| t.subscribed) {
        "the table is filled by a subscription, which commits in the publisher's order"
    } else if table.is_some_and(|t| t.kind == "f") {
        "the table is a foreign one, and the other server's open transactions are not seen"
    } else {
        return Ok(());
    };
    if let Some(lookback) = read.selection.lookback {
        if super::appends(read) {
            let message = format!(
                "{stream} is read at_least_once, with a lookback of {lookback}: {why}. A row that is committed later than that after its cursor's value is not found"
            );
            let detail = serde_json::json!({"delivery": "at_least_once", "lookback": lookback.to_string()});
            server.ctx.events.for_stream(stream).warn(Body::Runtime { detail }, message);
        }
        return Ok(());
    }
    Err(Error::config(format!("{stream}: reading by cursor needs a lookback here: {why}"))
        .hint("set lookback on the stream: a duration for times (\"2h\"), a number for numbers"))
}

/// What is known of a stream before its snapshot.
pub(super) struct Planned {
    /// What to read, and what the state becomes.
    pub(super) window: Window,
    /// Which server was asked.
    pub(super) place: String,
    /// Who is open.
    pub(super) holders: Vec<Holder>,
}

/// Steps 1 and 2: the end of the stream, then who is open.
pub(super) async fn plan_window(
    session: &mut Session,
    read: &StreamRead,
    state: &StreamState,
    cursor: &Cursor<'_>,
    shape: &Shape,
) -> Result<Planned> {
    let events = session.server().ctx.events.for_stream(&read.stream);
    let (highest, clock_us, place) = highest(session, read, cursor, shape).await?;
    let clock = match &highest {
        Some(top) => clock_bound(cursor.logical, clock_us, top)?,
        None => None,
    };
    let standby = session.server().facts().standby;
    // Without a ceiling the floor stays at the beginning while somebody is open: worth a wait, but
    // not where there is nothing to read.
    let patient = state.ceiling.is_none() && highest.is_some();
    let holders: Vec<Holder> =
        if standby { Vec::new() } else { fence::holders(session, shape, patient, &events).await? };
    let order = order(session, read, cursor, state, highest.as_ref()).await?;
    let open: Vec<String> = holders.iter().map(|h| h.key.clone()).collect();
    let lookback = read.selection.lookback;
    let found = Findings { state, highest, clock, open: &open, lookback };
    let window = Window::plan(found, order)?;
    let floor = window.finished().floor;
    fence::report(&events, &holders, |key| state.open.contains_key(key), floor.as_ref());
    Ok(Planned { window, place, holders })
}

/// The highest cursor, the server's clock in microseconds, and which server said so. The person's
/// condition is left out as a rule: a higher end does no harm, and an index gives it at once.
async fn highest(
    session: &mut Session,
    read: &StreamRead,
    cursor: &Cursor<'_>,
    shape: &Shape,
) -> Result<(Option<CursorValue>, i64, String)> {
    let field = cursor.logical.field(cursor.column, true, "");
    let (expression, wire) = select::column(read, &shape.columns, &field)?;
    let from = select::from(read);
    let column = sql::ident(cursor.column);
    // A numeric may hold NaN, which only the condition can leave out.
    let numeric = matches!(cursor.logical, Logical::Decimal { .. } | Logical::Numeric);
    let filter = select::filter(read).filter(|_| numeric).map_or(String::new(), |f| format!(" AND {f}"));
    let select = format!(
        "SELECT (SELECT {expression} FROM {from} WHERE q.{column} IS NOT NULL{filter} ORDER BY q.{column} DESC LIMIT 1), clock_timestamp(), {}",
        fence::SERVER_SQL
    );
    let plans = [
        ColumnPlan { wire, field },
        ColumnPlan { wire: Wire::Timestamp, field: Logical::TimestampTz.field("clock", true, "") },
        ColumnPlan { wire: Wire::Text, field: Logical::Text.field("server", true, "") },
    ];
    // Without an index this is a scan, which takes as long as reading does: no limit of a query.
    session.begin_bulk("READ ONLY", "").await?;
    let row = one_row(session, "find the highest cursor", &select, &plans).await?;
    session.commit().await?;
    let highest = cursor_at(row.column(0), cursor.logical, 0)?;
    let clock = row.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    Ok((highest, clock, row.column(2).as_string::<i32>().value(0).to_owned()))
}

/// Has the server sort the texts that have to be compared, under the column's own collation.
async fn order(
    session: &mut Session,
    read: &StreamRead,
    cursor: &Cursor<'_>,
    state: &StreamState,
    highest: Option<&CursorValue>,
) -> Result<Order> {
    let values = [state.floor.as_ref(), state.ceiling.as_ref(), highest].into_iter();
    let texts: BTreeSet<String> = values
        .chain(state.open.values().map(Option::as_ref))
        .flatten()
        .filter(|v| matches!(v, CursorValue::Text(_)))
        .map(ToString::to_string)
        .collect();
    if texts.len() < 2 {
        return Ok(Order { places: texts.into_iter().map(|t| (t, 1)).collect() });
    }
    let texts: Vec<String> = texts.into_iter().collect();
    // A literal in a UNION takes the column's type and collation.
    let column = sql::ident(cursor.column);
    let mut union = format!("SELECT q.{column} AS v, -1 AS n FROM {} WHERE false", select::from(read));
    for (n, value) in texts.iter().enumerate() {
        union.push_str(&format!(" UNION ALL SELECT {}, {n}", sql::literal(value)));
    }
    let sql = format!("SELECT n::text, (dense_rank() OVER (ORDER BY v))::text FROM ({union}) AS u");
    let rows = session.query("compare cursors", &sql).await?;
    let mut places = HashMap::new();
    for row in &rows {
        let number = |i| text(row, i).map(|t| t.and_then(|t| t.parse::<u64>().ok()).unwrap_or(0));
        let index = usize::try_from(number(0)?).unwrap_or(usize::MAX);
        if let Some(value) = texts.get(index) {
            places.insert(value.clone(), number(1)?);
        }
    }
    Ok(Order { places })
}
