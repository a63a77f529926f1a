//! The rows of one file, put into the batch under way.

use std::borrow::Cow;
use std::collections::HashSet;

use waybill_protocol::{Error, Result};

use super::cell::Cell;
use super::faults::Flaw;
use super::options::Layout;
use super::records::{Record, Records};
use super::table::{Table, Target};
use super::{fields, jsonl};

/// How the columns of a file lie in the batch.
pub(super) enum Shape {
    /// By position; then the columns of the batch that the file does not have.
    Csv(Vec<Target>, Vec<Target>),
    /// By name.
    Jsonl(Members),
}

/// What is known of a JSONL file's members while its rows are read.
pub(super) struct Members {
    /// Per column of the batch: the row that had it last.
    seen: Vec<u64>,
    row: u64,
    /// Members of the row under way that are no columns of the batch.
    others: HashSet<String>,
}

impl Shape {
    /// The shape of a CSV file; columns that are new to the batch start a change of it.
    pub(super) fn csv(names: &[String], table: &mut Table, place: &str) -> Result<Shape> {
        let mut targets = Vec::new();
        for name in names {
            let target = table.target(name, place)?;
            if let Target::New(name) = &target {
                table.add(name);
            }
            targets.push(target);
        }
        let absent = (0..table.width())
            .filter(|column| !table.made(*column))
            .map(Target::Column)
            .filter(|column| !targets.contains(column))
            .collect();
        Ok(Shape::Csv(targets, absent))
    }

    /// The shape of a JSONL file.
    pub(super) fn jsonl(table: &Table) -> Shape {
        Shape::Jsonl(Members { seen: vec![0; table.width()], row: 0, others: HashSet::new() })
    }

    /// Whether a record is no row: a blank line, which only in a file of one column means NULL.
    pub(super) fn blank(&self, bytes: &[u8]) -> bool {
        match self {
            Shape::Csv(targets, _) => bytes.is_empty() && targets.len() != 1,
            Shape::Jsonl(_) => bytes.iter().all(u8::is_ascii_whitespace),
        }
    }

    /// Puts the values of a record into the row under way.
    pub(super) fn put(
        &mut self,
        records: &Records,
        record: &Record,
        layout: &Layout,
        table: &mut Table,
        scratch: &mut Vec<u8>,
    ) -> Result<Result<(), Flaw>> {
        let bytes = records.bytes(record);
        match self {
            Shape::Csv(targets, absent) => Ok((|| {
                let spans = records.fields();
                fields::count(spans.len(), targets.len())?;
                fields::each(bytes, spans, layout, scratch, |index, cell| {
                    table.put(targets.get(index).unwrap_or(&Target::Skip), cell)
                })?;
                absent.iter().try_for_each(|target| table.put(target, &Cell::Null))
            })()),
            Shape::Jsonl(members) => {
                let Ok(line) = std::str::from_utf8(bytes) else {
                    return Ok(Err(Flaw::row("not valid UTF-8")));
                };
                let place = || format!("{}:{}", records.input.shown, record.line);
                let mut stop = None;
                let put = members.put(line, table, &place, &mut stop);
                match stop {
                    Some(error) => Err(error),
                    None => Ok(put.map_err(|flaw| torn(flaw, record))),
                }
            }
        }
    }
}

/// A last line without line end that is no JSON was most likely cut off while it was written.
fn torn(flaw: Flaw, record: &Record) -> Flaw {
    if record.ended || flaw.column.is_some() {
        return flaw;
    }
    Flaw::row(format!("the last line is torn: no line end, and {}", flaw.reason))
}

impl Members {
    fn put(
        &mut self,
        line: &str,
        table: &mut Table,
        place: &dyn Fn() -> String,
        stop: &mut Option<Error>,
    ) -> Result<(), Flaw> {
        self.row += 1;
        self.others.clear();
        let mut scratch = String::new();
        // Members mostly come in the order of the columns: look there first.
        let mut expected = 0;
        jsonl::members(line, &mut |name: Cow<'_, str>, raw| {
            let target = if table.name(expected) == name && !table.made(expected) {
                Target::Column(expected)
            } else {
                match table.target(&name, "") {
                    Ok(target) => target,
                    Err(_) => {
                        *stop = table.target(&name, &place()).err();
                        return Err(Flaw::row("a column that the stream cannot have"));
                    }
                }
            };
            if name.is_empty() {
                return Err(Flaw::row("a member without a name"));
            }
            let first = match &target {
                Target::Column(column) => {
                    expected = column + 1;
                    let seen = self.seen.get_mut(*column);
                    seen.is_none_or(|seen| std::mem::replace(seen, self.row) != self.row)
                }
                _ => self.others.insert(name.to_string()),
            };
            if !first {
                return Err(Flaw::column(&name, "the member comes twice in the object"));
            }
            let cell = jsonl::cell(raw, &mut scratch).map_err(|reason| Flaw::column(&name, reason))?;
            table.put(&target, &cell)
        })?;
        for column in 0..table.width() {
            if self.seen.get(column) != Some(&self.row) && !table.made(column) {
                table.put(&Target::Column(column), &Cell::Null)?;
            }
        }
        Ok(())
    }
}
