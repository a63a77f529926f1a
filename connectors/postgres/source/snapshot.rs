//! The shape of what is read, and the snapshot that it is read in.

use waybill_protocol::{Error, Kind, Origin, Result, StreamRead};

use super::fence::SERVER_SQL;
use super::query;
use super::relation::{RelationColumn, relations};
use super::select;
use super::split::Range;
use crate::postgres::own::{self, Held, Purpose};
use crate::postgres::session::{Session, text};
use crate::postgres::sql;

/// What is read, as the server's catalogs have it now.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) columns: Vec<RelationColumn>,
    /// The relation; a query has none.
    pub(super) table: Option<Table>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Table {
    pub(super) oid: u32,
    /// `r`, `p`, `v`, `m` or `f`.
    pub(super) kind: String,
    /// Whether all of its columns may be read.
    pub(super) readable: bool,
    /// Whether a subscription fills it.
    pub(super) subscribed: bool,
}

/// Looks at the columns.
pub(super) async fn shape(session: &mut Session, read: &StreamRead) -> Result<Shape> {
    if let Some(query) = &read.selection.query {
        return Ok(Shape { columns: query::describe(session, query).await?, table: None });
    }
    let (namespace, name) = (select::namespace(read), &read.source.1);
    let condition = format!("n.nspname = {} AND c.relname = {}", sql::literal(namespace), sql::literal(name));
    let found = relations(session, "look at the columns", &condition).await?;
    let relation = found.into_iter().next().ok_or_else(|| {
        Error::new(Kind::NotFound, format!("{} is not there any more", read.stream))
            .hint("run `waybill connection discover` to see what there is")
    })?;
    let table = Table {
        oid: relation.oid,
        kind: relation.kind,
        readable: relation.readable,
        subscribed: relation.subscribed,
    };
    Ok(Shape { columns: relation.columns, table: Some(table) })
}

/// A snapshot being read.
pub(super) struct Snapshot {
    /// Its columns, verified under the lock.
    pub(super) shape: Shape,
    /// Which server it is on.
    pub(super) server: String,
    _held: Option<Held>,
}

/// Begins the transaction that reads: one snapshot, nothing written, no limits at the server, the
/// table locked against changes of its columns, which are then looked at again.
pub(super) async fn begin(
    session: &mut Session,
    read: &StreamRead,
    before: &Shape,
    range: Option<&Range>,
) -> Result<Snapshot> {
    let take_over = range.map(|r| format!("SET TRANSACTION SNAPSHOT {}; ", sql::literal(&r.snapshot)));
    // Texts are written in one way whatever database or role are set to.
    let mut then = take_over.unwrap_or_default()
        + "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; \
        SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; ";
    let facts = session.server().facts();
    if facts.encoding == "SQL_ASCII" {
        // The server would refuse bytes that are not UTF-8 without naming the column.
        then.push_str("SET LOCAL client_encoding = 'SQL_ASCII'; ");
    }
    // A lock taken by LOCK comes before the snapshot, so that no TRUNCATE or rewrite falls in
    // between. It wants the right to all columns; the SELECT itself takes the same lock anyway.
    if let Some(table) = &before.table
        && table.readable
        && (matches!(table.kind.as_str(), "r" | "p") || (table.kind == "v" && facts.version >= 110_000))
    {
        then.push_str(&format!("LOCK TABLE {} IN ACCESS SHARE MODE; ", select::table(read)));
    }
    then.push_str(&format!("SELECT {}, {SERVER_SQL}", own::SELF));
    let begun = session.begin_bulk("ISOLATION LEVEL REPEATABLE READ READ ONLY", &then).await;
    let rows = match begun {
        Err(error) if error.kind() == Kind::Timeout => return Err(locked(session, before, read, error).await),
        Err(error) if range.is_some() => return Err(gone(error)),
        begun => begun?,
    };
    let row = rows.last().ok_or_else(|| Error::internal("no answer to a query without FROM"))?;
    let held = text(row, 0)?.map(|key| Held::new(key, Purpose::Reading));
    let server = text(row, 1)?.unwrap_or_default();
    let shape = shape(session, read).await?;
    if shape != *before {
        return Err(Error::new(Kind::Schema, format!("the columns of {} changed just now", read.stream))
            .retry(true)
            .hint("the next attempt reads with the new ones"));
    }
    Ok(Snapshot { shape, server, _held: held })
}

/// A snapshot can be taken over only while the transaction that it is of is there.
fn gone(error: Error) -> Error {
    match error.record().code.as_deref() {
        Some("22023" | "42704" | "55000") => {
            Error::new(Kind::Network, "the snapshot that the ranges of the table share is gone")
                .hint("the connection that held it was lost; the next attempt takes a new one")
                .cause(error)
        }
        _ => error,
    }
}

/// The error with who holds the table, where somebody does.
async fn locked(session: &mut Session, shape: &Shape, read: &StreamRead, error: Error) -> Error {
    session.rollback().await;
    match &shape.table {
        Some(table) => blamed(session, Some((table.oid, &read.stream)), error).await,
        None => error,
    }
}

/// The error of a statement that ran out of time, with who has locked the table, or any table of the
/// database, so that nobody can even look at it.
pub(super) async fn blamed(session: &mut Session, table: Option<(u32, &str)>, error: Error) -> Error {
    let relation = table.map(|(oid, _)| format!(" AND l.relation = {oid}")).unwrap_or_default();
    let sql = format!(
        "SELECT a.pid::text, 'pid ' || a.pid || ' of user ' || coalesce(a.usename, '?') || ' (' || coalesce(a.application_name, '') || ')', \
         l.relation::regclass::text \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND l.database = {}{relation} \
         ORDER BY a.xact_start LIMIT 1",
        session.server().facts().database_oid,
    );
    let Ok(rows) = session.query("look who holds the table", &sql).await else { return error };
    let field = |index| rows.first().and_then(|row| text(row, index).ok().flatten());
    let (Some(pid), Some(who), Some(name)) = (field(0), field(1), field(2)) else { return error };
    let name = table.map_or(name, |(_, stream)| stream.to_owned());
    let raise = session.server().ctx.raise_query();
    let held = format!("{who} has locked {name}");
    let hint = format!(
        "{held}: let it end, or end it (SELECT pg_terminate_backend({pid})); to wait longer: {raise}"
    );
    // The wording of the message is fixed: who is to blame stands in the chain of causes.
    let mut blamed = Error::new(error.kind(), error.message()).hint(hint).origin(Origin::Source);
    if let Some(code) = error.get_code() {
        blamed = blamed.code(code);
    }
    if let Some(stream) = error.get_stream() {
        blamed = blamed.stream(stream);
    }
    blamed.cause(Error::new(Kind::Timeout, held).cause(error))
}
