//! Reading one stream: whole, or by cursor as STATE, part 2, has it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::Schema;
use waybill_protocol::column::hand_on;
use waybill_protocol::{
    Error, Kind, Logical, Message, NullCursor, Outlet, Reading, Result, SchemaPolicy, StreamRead, StreamState,
};

use super::bound;
use super::copy::{Goal, Intake, copy, one_row};
use super::cursor::{Cursor, Planned, plan_window, refuse};
use super::fence;
use super::passage::Passage;
use super::select::{self, Selected};
use super::send::{Checkpoints, Sender, checkpoint};
use super::snapshot::{self, Snapshot};
use super::split::Range;
use super::window::Window;
use super::{moves_state, ordered};
use crate::postgres::decode::{ColumnPlan, Stop};
use crate::postgres::kinds::Wire;
use crate::postgres::session::{Server, Session};
use crate::postgres::sql;

/// What is to be read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The stream.
    pub(super) read: &'a StreamRead,
    /// Where it continues from.
    pub(super) state: &'a StreamState,
    /// The range of it, where it is read in ranges.
    pub(super) range: Option<&'a Range>,
}

/// Reads one stream. Says whether it is complete; it is not when a wider schema was sent instead.
///
/// `begun` is done once its snapshot is taken.
pub(super) async fn read(
    server: &Arc<Server>,
    asked: Asked<'_>,
    begun: impl Future<Output = ()>,
    outlet: &Outlet,
) -> Result<bool> {
    let Asked { read, state, range } = asked;
    let mut session = or_refused(outlet, server.session()).await?;
    let job = match &read.reading {
        Reading::Full => None,
        Reading::Cursor { column, logical } => Some(Cursor { column, logical: *logical }),
        Reading::Files => return Err(Error::internal("a database has no files to read")),
    };
    if job.is_none() && (read.from.is_some() || read.to.is_some()) && read.selection.cursor.is_none() {
        return Err(Error::config(format!("{}: from and to need a cursor", read.stream))
            .hint("set cursor on the stream: the column that from and to are values of"));
    }
    let (snapshot, window) = or_refused(outlet, open(server, &mut session, asked, job.as_ref())).await?;
    begun.await;
    let request = Request { read, state, range, cursor: job, window: window.as_ref() };
    let ran = request.run(&mut session, &snapshot, outlet).await;
    let whole = ran.map_err(|error| with_grant(error, server, read, &snapshot))?;
    if whole {
        session.commit().await?;
    }
    drop(snapshot);
    session.release();
    if whole {
        let finished = window.as_ref().map(Window::finished);
        checkpoint(outlet, &read.stream, finished.as_ref()).await?;
        outlet.send(Message::Complete { stream: read.stream.clone() }).await?;
    }
    Ok(whole)
}

/// The error with the right that is missing, where it is that to the table.
fn with_grant(error: Error, server: &Server, read: &StreamRead, snapshot: &Snapshot) -> Error {
    let denied = error.kind() == Kind::Permission && error.get_code() == Some("42501");
    if !denied || snapshot.shape.table.as_ref().is_none_or(|table| table.readable) {
        return error;
    }
    let (table, user) = (select::table(read), sql::ident(server.user()));
    error.hint_instead(format!("have the owner of the table run: GRANT SELECT ON {table} TO {user}"))
}

/// Looks at what is to be read, and begins the snapshot.
async fn open(
    server: &Arc<Server>,
    session: &mut Session,
    Asked { read, state, range }: Asked<'_>,
    job: Option<&Cursor<'_>>,
) -> Result<(Snapshot, Option<Window>)> {
    let shape = snapshot::shape(session, read).await?;
    let mut planned = None;
    if let Some(cursor) = job {
        refuse(server, read, cursor, &shape)?;
        if moves_state(read) {
            planned = Some(plan_window(session, read, state, cursor, &shape).await?);
        }
    }
    let snapshot = snapshot::begin(session, read, &shape, range).await?;
    if let (Some(Planned { window, place, holders }), Some(cursor)) = (&planned, job) {
        fence::same_server(place, &snapshot.server)?;
        bound::check(session, read, cursor, window, holders).await?;
    }
    Ok((snapshot, planned.map(|planned| planned.window)))
}

/// Does work that sends nothing, given up once nothing would be taken any more: it may wait for a
/// lock or scan for long.
async fn or_refused<T>(outlet: &Outlet, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = outlet.refused() => Err(Error::cancelled()),
        done = work => done,
    }
}

/// One read inside its snapshot.
struct Request<'a> {
    read: &'a StreamRead,
    state: &'a StreamState,
    range: Option<&'a Range>,
    cursor: Option<Cursor<'a>>,
    window: Option<&'a Window>,
}

impl Request<'_> {
    async fn run(&self, session: &mut Session, snapshot: &Snapshot, outlet: &Outlet) -> Result<bool> {
        let read = self.read;
        let mut selected = select::select(read, &snapshot.shape.columns)?;
        let stream = read.stream.clone();
        outlet.send(Message::Schema { stream: stream.clone(), schema: Arc::clone(&read.schema) }).await?;
        if let Some(window) = self.window {
            let floor = window.finished().floor;
            outlet.send(Message::NextFloor { stream: stream.clone(), floor }).await?;
        }
        self.nulls(session, snapshot, outlet).await?;
        let checkpoints = self.checkpoints(&mut selected);
        let sql = self.sql(&selected);
        let sender = Sender::new(outlet, read, checkpoints);
        let intake = match &read.wire {
            Some(_) => Intake::Pass(Box::new(Passage::new(&selected.plans, sender.cursor()))),
            None => Intake::decode(&selected.plans)?,
        };
        let mut goal = Goal::Send(sender);
        match copy(session, "read", &sql, intake, &mut goal).await {
            Ok(()) => Ok(true),
            Err(Stop::Fault(error)) if error.kind() == Kind::Data => Err(error.context(&read.stream)),
            Err(Stop::Fault(error)) => Err(error),
            Err(Stop::Misfit { column, wider }) => {
                let schema = self.widened(&selected, column, wider)?;
                outlet.send(Message::Schema { stream, schema: Arc::new(schema) }).await?;
                Ok(false)
            }
        }
    }

    /// Checkpoints on the way for an ordered read; for text the server says per row what stays in
    /// the window.
    fn checkpoints(&self, selected: &mut Selected) -> Option<Checkpoints<'_>> {
        let (cursor, window) = (self.cursor.as_ref()?, self.window?);
        if cursor.logical == Logical::Text {
            // Rows that travel undecoded go where nobody asks for it.
            if self.read.wire.is_none() {
                let floor = window.finished().floor.map(|v| sql::cursor(&v));
                selected.in_window(cursor.column, floor.as_deref());
            }
            return None;
        }
        let column = self.read.schema.index_of(cursor.column).ok()?;
        ordered(self.read).then_some(Checkpoints { window, column, logical: cursor.logical })
    }

    /// The SELECT.
    fn sql(&self, selected: &Selected) -> String {
        let read = self.read;
        let mut sql = format!("SELECT {} FROM {}", selected.expressions.join(", "), select::from(read));
        let range = self.range.map(Range::condition);
        let conditions: Vec<String> =
            range.into_iter().chain(select::filter(read)).chain(self.bounds()).collect();
        if !conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if let Some(cursor) = &self.cursor
            && (ordered(read) || read.limit.is_some())
        {
            sql.push_str(&format!(" ORDER BY q.{}", sql::ident(cursor.column)));
        }
        if let Some(limit) = read.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        sql
    }

    /// The cursor's bounds as one condition.
    fn bounds(&self) -> Option<String> {
        let read = self.read;
        let name = match (&self.cursor, &read.selection.cursor) {
            (Some(cursor), _) => cursor.column,
            (None, Some(column)) if read.from.is_some() || read.to.is_some() => column,
            _ => return None,
        };
        let column = format!("q.{}", sql::ident(name));
        let floor = match (&read.from, &self.cursor) {
            (Some(from), _) => Some(from),
            (None, Some(_)) => self.state.floor.as_ref(),
            (None, None) => None,
        };
        let mut parts: Vec<String> = Vec::new();
        parts.extend(floor.map(|v| format!("{column} >= {}", sql::cursor(v))));
        parts.extend(read.to.as_ref().map(|v| format!("{column} < {}", sql::cursor(v))));
        if let Some(window) = self.window {
            parts.push(match &window.top {
                Some(top) => format!("{column} <= {}", sql::cursor(top)),
                // There was no value at all: what came since lies above the end.
                None => "false".into(),
            });
        }
        if parts.is_empty() {
            parts.push(format!("{column} IS NOT NULL"));
        }
        let bounds = parts.join(" AND ");
        let nulls = self.cursor.is_some() && read.selection.null_cursor == NullCursor::IncludeAlways;
        Some(if nulls { format!("({bounds} OR {column} IS NULL)") } else { bounds })
    }

    /// Counts the rows whose cursor is NULL, in the same snapshot.
    async fn nulls(&self, session: &mut Session, snapshot: &Snapshot, outlet: &Outlet) -> Result<()> {
        let read = self.read;
        let Some(cursor) = &self.cursor else { return Ok(()) };
        let policy = read.selection.null_cursor;
        let column = snapshot.shape.columns.iter().find(|c| c.name == cursor.column);
        if policy == NullCursor::IncludeAlways || column.is_some_and(|c| c.not_null) || read.limit.is_some() {
            return Ok(());
        }
        let mut select = format!(
            "SELECT count(*) FROM {} WHERE q.{} IS NULL",
            select::from(read),
            sql::ident(cursor.column)
        );
        if let Some(filter) = select::filter(read) {
            select.push_str(&format!(" AND {filter}"));
        }
        let plans = [ColumnPlan { wire: Wire::Int8, field: Logical::Int64.field("count", true, "") }];
        let counting = one_row(session, "count rows without a cursor", &select, &plans);
        let row = or_refused(outlet, counting).await?;
        let rows = u64::try_from(row.column(0).as_primitive::<Int64Type>().value(0)).unwrap_or(0);
        if rows == 0 {
            return Ok(());
        }
        if policy == NullCursor::Fail {
            let message =
                format!("{}: {rows} rows have no value in the cursor {:?}", read.stream, cursor.column);
            return Err(
                Error::data(message).hint("fill the column, or set null_cursor to skip or include_always")
            );
        }
        outlet.send(Message::NullCursors { stream: read.stream.clone(), rows }).await
    }

    /// The schema with one column wider, where the policy allows it.
    fn widened(&self, selected: &Selected, column: usize, wider: Logical) -> Result<Schema> {
        let read = self.read;
        let mut fields: Vec<_> = read.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        let Some(field) = fields.get_mut(column) else {
            return Err(Error::internal(format!("{} columns and none at {column}", selected.plans.len())));
        };
        let cursor = self.cursor.as_ref().is_some_and(|cursor| cursor.column == field.name());
        let evolves = read.selection.schema_policy == SchemaPolicy::Evolve;
        // As text a cursor would have another order.
        if !evolves || cursor && wider == Logical::Text {
            let (logical, name) = (Logical::of(field)?, field.name());
            let why = match wider {
                Logical::Text => "a time after the year 294246, or one longer than 292 years",
                _ => "NaN, Infinity, or more digits",
            };
            let what = format!("{}: column {name:?} holds a value that is no {logical} ({why})", read.stream);
            let hint =
                if evolves { "correct the row" } else { "set schema_policy to evolve, or correct the row" };
            return Err(Error::data(what).hint(hint));
        }
        let native = field.metadata().get(waybill_protocol::NATIVE_KEY).cloned().unwrap_or_default();
        *field = hand_on(field, wider.field(field.name(), field.is_nullable(), &native));
        Ok(Schema::new(fields))
    }
}
