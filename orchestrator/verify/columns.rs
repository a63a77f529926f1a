//! Which columns of a stream can be compared, and as which type (pure).

use arrow_schema::{Field, Schema};
use serde::Serialize;
use waybill_protocol::{ColumnRecord, Fidelity, Logical, NATIVE_KEY, Result, Verdict};

/// A column that both sides are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name at the source.
    pub source: String,
    /// Its name in the table.
    pub table: String,
    /// As what the source reads it.
    pub read: Logical,
    /// As what it is compared, and read from the table.
    pub compared: Logical,
    /// The type that the table declares, in its own words.
    pub native: String,
}

/// A column that is not compared, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name at the source.
    pub column: String,
    /// Why.
    pub why: String,
}

/// The two sides of a stream as they are now.
pub struct Sides<'a> {
    /// The columns of the source.
    pub source: &'a Schema,
    /// The columns of the table, as its system reads them.
    pub table: &'a Schema,
    /// Whether the table's system gives a value as any type that holds it.
    pub table_infers: bool,
    /// How the destination holds a column.
    pub verdict: &'a dyn Fn(&Field) -> Verdict,
}

/// Decides about every column on record.
pub fn decide(
    record: &[ColumnRecord],
    selected: Option<&[String]>,
    sides: &Sides<'_>,
) -> Result<(Vec<Column>, Vec<LeftOut>)> {
    let (mut columns, mut left) = (Vec::new(), Vec::new());
    for column in record {
        match one(column, selected, sides)? {
            Ok(column) => columns.push(column),
            Err(why) => left.push(LeftOut { column: column.source.clone(), why }),
        }
    }
    Ok((columns, left))
}

fn one(
    record: &ColumnRecord,
    selected: Option<&[String]>,
    sides: &Sides<'_>,
) -> Result<std::result::Result<Column, String>> {
    if selected.is_some_and(|names| !names.contains(&record.source)) {
        return Ok(Err("it is no longer selected".to_owned()));
    }
    let Ok(from) = sides.source.field_with_name(&record.source) else {
        return Ok(Err("the source no longer has it".to_owned()));
    };
    let Ok(to) = sides.table.field_with_name(&record.name) else {
        return Ok(Err("the table no longer has it".to_owned()));
    };
    let read = record.logical.parse::<Logical>()?.widen(Logical::of(from)?);
    let (theirs, ours) = (native(from), native(to));
    let verdict = (sides.verdict)(&read.field(&record.name, true, &theirs));
    if verdict.fidelity == Fidelity::Lossy {
        return Ok(Err(format!("the destination cannot hold every value ({})", verdict.note)));
    }
    if let Some(why) = rewrites(&ours).filter(|_| theirs != ours) {
        return Ok(Err(format!("its type in the table, {ours}, {why}")));
    }
    let held = Logical::of(to)?;
    let compared = if sides.table_infers || held.widen(read) == read {
        read
    } else if read.widen(held) == held {
        held
    } else {
        return Ok(Err(format!("the table holds it as {held}, which cannot be read as {read}")));
    };
    Ok(Ok(Column { source: record.source.clone(), table: record.name.clone(), read, compared, native: ours }))
}

/// What a declared type does to values, where it changes them.
fn rewrites(native: &str) -> Option<&'static str> {
    let rounds = ["timestamp(", "time(", "interval("];
    match native {
        "jsonb" => Some("writes documents in its own way"),
        native if native.starts_with("character(") => Some("fills values up with blanks"),
        native if rounds.iter().any(|word| native.starts_with(word)) => Some("rounds values"),
        _ => None,
    }
}

fn native(field: &Field) -> String {
    field.metadata().get(NATIVE_KEY).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, logical: &str) -> ColumnRecord {
        ColumnRecord::new(name, &format!("{name}_t"), logical)
    }

    fn schema(suffix: &str, columns: &[(&str, Logical, &str)]) -> Schema {
        let field = |(name, logical, native): &(&str, Logical, &str)| {
            logical.field(&format!("{name}{suffix}"), true, native)
        };
        Schema::new(columns.iter().map(field).collect::<Vec<_>>())
    }

    fn exact(field: &Field) -> Verdict {
        let lossy = field.name() == "lossy_t";
        let fidelity = if lossy { Fidelity::Lossy } else { Fidelity::Exact };
        Verdict { fidelity, native: String::new(), note: "too long".into() }
    }

    #[test]
    fn columns_are_compared_as_what_both_sides_can_give() {
        use Logical::*;
        let names = ["same", "wider", "kept", "lossy", "doc", "gone", "lost", "odd"];
        let types = ["uuid", "int32", "text", "int64", "json", "int64", "int64", "date"];
        let record: Vec<ColumnRecord> = names.iter().zip(types).map(|(n, t)| record(n, t)).collect();
        let source = schema(
            "",
            &[
                ("same", Uuid, "uuid"),
                ("wider", Int64, ""),
                ("kept", Int32, ""),
                ("lossy", Int64, ""),
                ("doc", Json, "json"),
                ("lost", Int64, ""),
                ("odd", Date, ""),
            ],
        );
        let table = schema(
            "_t",
            &[
                ("same", Uuid, "uuid"),
                ("wider", Int32, ""),
                ("kept", Text, ""),
                ("lossy", Int64, ""),
                ("doc", Json, "jsonb"),
                ("gone", Int64, ""),
                ("odd", Int64, ""),
            ],
        );
        let sides = Sides { source: &source, table: &table, table_infers: false, verdict: &exact };
        let (columns, left) = decide(&record, None, &sides).unwrap();
        let compared: Vec<_> = columns.iter().map(|c| (c.source.as_str(), c.read, c.compared)).collect();
        assert_eq!(compared, [("same", Uuid, Uuid), ("wider", Int64, Int64), ("kept", Text, Text)]);
        let left: Vec<_> = left.iter().map(|l| format!("{}: {}", l.column, l.why)).collect();
        assert!(left[0].starts_with("lossy: the destination cannot hold every value (too long)"), "{left:?}");
        assert!(left[1].contains("jsonb, writes documents"), "{left:?}");
        assert_eq!(left[2..4], ["gone: the source no longer has it", "lost: the table no longer has it"]);
        assert!(left[4].contains("holds it as int64, which cannot be read as date"), "{left:?}");
        // What infers gives a value as whatever holds it.
        let sides = Sides { table_infers: true, ..sides };
        assert_eq!(decide(&record, None, &sides).unwrap().0.last().unwrap().compared, Date);
        let only = ["same".to_owned()];
        assert_eq!(decide(&record, Some(&only), &sides).unwrap().0.len(), 1);
    }
}
