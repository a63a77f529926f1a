//! One statement of a person's own, in a read-only transaction.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use sqlx::Column as _;
use sqlx::Row as _;
use waybill_protocol::{Answer, Error, Kind, Logical, Result};

use super::copy::{Goal, Intake, copy};
use super::lone::{self, Manner};
use super::query;
use super::relation::RelationColumn;
use crate::deadline::bounded;
use crate::postgres::decode::{ColumnPlan, Stop};
use crate::postgres::kinds::Wire;
use crate::postgres::session::{Server, Session, text};
use crate::postgres::sql;

const PURPOSE: &str = "run the query";

/// Texts are written in one way whatever database or role are set to, and the server takes the
/// text apart as `lone` has.
const SETTINGS: &str = "SET LOCAL standard_conforming_strings = on; SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 3; \
    SET LOCAL bytea_output = 'hex'";

/// Runs it and returns its first `limit` rows.
pub(super) async fn answer(server: &Arc<Server>, text: &str, limit: u64) -> Result<Answer> {
    let (statement, manner) = lone::statement(text)?;
    let mut session = server.session().await?;
    session.begin("READ ONLY").await?;
    session.query("set how values are written", SETTINGS).await?;
    let answer = match manner {
        Manner::Table => table(server, &mut session, statement, limit).await,
        Manner::Plain => plain(&mut session, statement, limit).await,
    };
    session.rollback().await;
    if session.usable() {
        session.release();
    }
    answer.map_err(explained)
}

/// By binary COPY: each value as it is.
async fn table(server: &Arc<Server>, session: &mut Session, statement: &str, limit: u64) -> Result<Answer> {
    let columns = query::describe(session, statement).await?;
    let (expressions, plans): (Vec<String>, Vec<ColumnPlan>) = columns.iter().map(column).unzip();
    let rows = limit.saturating_add(1).min(i64::MAX as u64);
    let select = format!("SELECT {} FROM {} LIMIT {rows}", expressions.join(", "), query::derived(statement));
    let mut goal = Goal::Gather(Vec::new(), 0);
    bounded(&server.ctx, PURPOSE, &select, async {
        copy(session, PURPOSE, &select, Intake::decode(&plans)?, &mut goal).await.map_err(|stop| match stop {
            Stop::Fault(error) => error,
            Stop::Misfit { .. } => Error::data("a value does not fit the type of its column"),
        })
    })
    .await?;
    let schema = Arc::new(Schema::new(plans.into_iter().map(|plan| plan.field).collect::<Vec<_>>()));
    let Goal::Gather(batches, _) = goal else { return Err(Error::internal("an answer that was not kept")) };
    Ok(cut(schema, batches, limit))
}

fn column(column: &RelationColumn) -> (String, ColumnPlan) {
    let name = format!("q.{}", sql::ident(&column.name));
    let (expression, wire, logical) = match column.pg_type().wire() {
        Some(wire) => (name, wire, column.pg_type().logical()),
        None => (format!("{name}::text"), Wire::Text, Logical::Text),
    };
    (expression, ColumnPlan { wire, field: logical.field(&column.name, true, &column.native) })
}

/// What `EXPLAIN` and `SHOW` answer.
async fn plain(session: &mut Session, statement: &str, limit: u64) -> Result<Answer> {
    let rows = session.query(PURPOSE, statement).await?;
    let names: Vec<String> = match rows.first() {
        Some(row) => row.columns().iter().map(|column| column.name().to_owned()).collect(),
        None => Vec::new(),
    };
    let fields: Vec<Field> = names.iter().map(|name| Logical::Text.field(name, true, "")).collect();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for at in 0..names.len() {
        let values = rows.iter().map(|row| text(row, at)).collect::<Result<Vec<_>>>()?;
        arrays.push(Arc::new(StringArray::from(values)));
    }
    let schema = Arc::new(Schema::new(fields));
    if names.is_empty() {
        return Ok(Answer { schema, batches: Vec::new(), more: false });
    }
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|e| Error::internal("a batch that is none").cause(e))?;
    Ok(cut(schema, vec![batch], limit))
}

/// The first rows; one more was asked for, to know whether there are more.
fn cut(schema: Arc<Schema>, batches: Vec<RecordBatch>, limit: u64) -> Answer {
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut kept, mut more) = (Vec::new(), false);
    for batch in batches {
        more |= batch.num_rows() > left;
        let rows = batch.num_rows().min(left);
        left -= rows;
        if rows > 0 {
            kept.push(batch.slice(0, rows));
        }
    }
    Answer { schema, batches: kept, more }
}

/// The server's refusals in the words of a query.
fn explained(error: Error) -> Error {
    let record = error.record();
    let writes = match record.code.as_deref() {
        Some("25006") => true,
        Some("0A000") => record.message.contains("data-modifying"),
        _ => false,
    };
    if writes {
        return Error::new(Kind::Permission, "the statement would write, and a query only reads")
            .code(record.code.unwrap_or_default())
            .hint("change data with the tools of its system, such as psql")
            .cause(error);
    }
    error
}
