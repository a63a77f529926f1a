//! The SELECT that a stream is read by.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use waybill_protocol::column::{POSTGRES_KEY, said};
use waybill_protocol::wire::POSTGRES_COPY;
use waybill_protocol::{
    Error, IN_WINDOW_COLUMN, Kind, Logical, NATIVE_KEY, Result, SchemaPolicy, StreamRead, WireForm,
};

use super::query::derived;
use super::relation::RelationColumn;
use crate::postgres::decode::ColumnPlan;
use crate::postgres::destination::own::travels;
use crate::postgres::kinds::{PgType, Wire, oid};
use crate::postgres::sql;

/// What is read and in which form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selected {
    /// Expressions, in order.
    pub(super) expressions: Vec<String>,
    /// What each sends and becomes.
    pub(super) plans: Vec<ColumnPlan>,
}

/// The rows' source: the table or the query, as in `FROM`, under the name `q`.
pub(super) fn from(read: &StreamRead) -> String {
    match &read.selection.query {
        Some(query) => derived(query),
        None => format!("{} AS q", table(read)),
    }
}

/// The namespace of a table; the catalog always names one.
pub(super) fn namespace(read: &StreamRead) -> &str {
    read.source.0.as_deref().unwrap_or("public")
}

/// The table's name, quoted.
pub(super) fn table(read: &StreamRead) -> String {
    sql::qualified(Some(namespace(read)), &read.source.1)
}

/// The person's condition with brackets around it; the line break ends a comment in it.
pub(super) fn filter(read: &StreamRead) -> Option<String> {
    read.selection.filter.as_ref().map(|text| format!("({}\n)", sql::statement(text)))
}

/// How the columns that are asked for are had from those there are.
pub(super) fn select(read: &StreamRead, columns: &[RelationColumn]) -> Result<Selected> {
    let mut selected = Selected { expressions: Vec::new(), plans: Vec::new() };
    let mut words = Vec::new();
    for field in read.schema.fields() {
        let (mut expression, mut wire) = column(read, columns, field)?;
        if read.wire.is_some() {
            let found = columns.iter().find(|c| c.name == *field.name());
            let wanted = Logical::of(field)?;
            let way = found.and_then(|found| undecoded(found, wanted));
            let Undecoded { word, own } = way.unwrap_or_default();
            words.push(word);
            if let Some(own) = own {
                (expression, wire) = (format!("q.{}", sql::ident(field.name())), own);
            }
        }
        selected.expressions.push(expression);
        selected.plans.push(ColumnPlan { wire, field: field.as_ref().clone() });
    }
    match &read.wire {
        Some(form) if form.columns != words => {
            Err(Error::new(Kind::Schema, format!("the columns of {} changed just now", read.stream))
                .retry(true)
                .stream(&read.stream)
                .hint("the next attempt reads with the new ones"))
        }
        _ => Ok(selected),
    }
}

/// The form in which the columns that are asked for can be sent undecoded.
pub(super) fn form(read: &StreamRead) -> Option<WireForm> {
    let word = |field: &Arc<Field>| {
        let own = said(field, POSTGRES_KEY);
        if travels(own) {
            return Some(own.to_owned());
        }
        Some(Wire::of(Logical::of(field).ok()?, said(field, NATIVE_KEY))?.word().to_owned())
    };
    let columns = read.schema.fields().iter().map(word).collect::<Option<Vec<_>>>()?;
    Some(WireForm { format: POSTGRES_COPY, columns })
}

/// How a column is sent undecoded.
#[derive(Default)]
struct Undecoded {
    /// What that is called.
    word: String,
    /// Where it is sent in a form of its type's own, and not by way of its text: what there is of it
    /// that can be read.
    own: Option<Wire>,
}

/// How a column is sent undecoded as `wanted`. Nobody looks at its values: it must not hold more than
/// what is asked for.
fn undecoded(found: &RelationColumn, wanted: Logical) -> Option<Undecoded> {
    let natural = found.pg_type().logical();
    if let Some(own) = found.base.as_deref().filter(|name| natural == wanted && travels(name)) {
        let wire = found.pg_type().wire().unwrap_or(Wire::Text);
        return Some(Undecoded { word: own.to_owned(), own: Some(wire) });
    }
    let (_, wire) = expression("", found.pg_type(), wanted).filter(|_| natural.widen(wanted) == wanted)?;
    Some(Undecoded { word: wire.word().to_owned(), own: None })
}

impl Selected {
    /// Adds the column that says whether a row stays in the window, as the server compares.
    pub(super) fn in_window(&mut self, column: &str, floor: Option<&str>) {
        let column = sql::ident(column);
        self.expressions.push(match floor {
            Some(floor) => format!("coalesce(q.{column} >= {floor}, false)"),
            None => format!("q.{column} IS NOT NULL"),
        });
        let field = Field::new(IN_WINDOW_COLUMN, DataType::Boolean, true);
        self.plans.push(ColumnPlan { wire: Wire::Bool, field });
    }
}

/// One column: its expression and what that sends.
pub(super) fn column(read: &StreamRead, columns: &[RelationColumn], field: &Field) -> Result<(String, Wire)> {
    let name = field.name();
    let changed = |what: String| {
        Error::new(Kind::Schema, format!("column {name:?} of {}: {what}", read.stream))
            .retry(true)
            .stream(&read.stream)
            .hint("the columns changed while the run was under way; the next attempt looks at them again")
    };
    let found = columns.iter().find(|c| c.name == *name).ok_or_else(|| changed("is gone".into()))?;
    let wanted = Logical::of(field)?;
    expression(&format!("q.{}", sql::ident(name)), found.pg_type(), wanted).ok_or_else(|| {
        let error = changed(format!("is {} now and cannot be read as {wanted}", found.native));
        match read.selection.schema_policy {
            SchemaPolicy::Ignore => error.retry(false).hint(format!(
                "set schema_policy: evolve to widen the column at the destination, or read it through a `query` that casts it to {wanted}"
            )),
            _ => error,
        }
    })
}

/// A column of a type as another: itself, or through a cast at the server that loses nothing.
fn expression(column: &str, from: PgType, wanted: Logical) -> Option<(String, Wire)> {
    use Logical::*;
    let cast = |to: &str, wire| Some((format!("{column}::{to}"), wire));
    let natural = from.logical();
    if natural == wanted {
        return match from.wire() {
            Some(wire) => Some((column.to_owned(), wire)),
            None if natural == Numeric => cast("numeric", Wire::Numeric),
            None => cast("text", Wire::Text),
        };
    }
    match (natural, wanted) {
        (Int16, Int32) => cast("int4", Wire::Int4),
        (Int16 | Int32, Int64) => cast("int8", Wire::Int8),
        (Int16, Float32) => cast("float4", Wire::Float4),
        (Int16 | Int32 | Float32, Float64) => cast("float8", Wire::Float8),
        (Int16 | Int32 | Int64, Decimal { .. } | Numeric) => cast("numeric", Wire::Numeric),
        (Decimal { .. } | Numeric, Decimal { .. } | Numeric) => Some((column.to_owned(), Wire::Numeric)),
        // By way of the shortest text, which is the value; a direct cast rounds to 15 digits.
        (Float32 | Float64, Numeric) => cast("text::numeric", Wire::Numeric),
        (_, Text) if from.oid == oid::BPCHAR => Some((column.to_owned(), Wire::Text)),
        (_, Text) => cast("text", Wire::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(oid: u32) -> PgType {
        PgType { oid, typmod: -1, is_enum: false }
    }

    #[test]
    fn casts_lose_nothing_or_are_refused() {
        let ok = |from, wanted| expression("q.\"c\"", of(from), wanted);
        assert_eq!(ok(oid::INT4, Logical::Int32), Some(("q.\"c\"".into(), Wire::Int4)));
        assert_eq!(ok(oid::INT4, Logical::Int64), Some(("q.\"c\"::int8".into(), Wire::Int8)));
        assert_eq!(ok(869, Logical::Text), Some(("q.\"c\"::text".into(), Wire::Text)));
        assert_eq!(ok(oid::BPCHAR, Logical::Text), Some(("q.\"c\"".into(), Wire::Text)));
        for (from, wanted) in [
            (oid::INT8, Logical::Int32),
            (oid::INT8, Logical::Float64),
            (oid::TEXT, Logical::Int32),
            (oid::TIMESTAMP, Logical::TimestampTz),
            (oid::JSONB, Logical::Uuid),
        ] {
            assert_eq!(ok(from, wanted), None, "{from} {wanted}");
        }
    }
}
