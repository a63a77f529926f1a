//! How a destination would hold the columns of a stream.

use std::collections::BTreeMap;

use arrow_schema::Schema;
use serde_json::{Value, json};
use waybill_protocol::catalog::StreamDescription;
use waybill_protocol::{CatalogStream, Destination, Fidelity, Verdict};

use crate::cli::terminal::Terminal;
use crate::summary::units::{bytes, counted};

/// A stream with what becomes of its columns; none where the destination could not be asked.
pub(super) struct Seen {
    stream: StreamDescription,
    held: Vec<Verdict>,
}

impl Seen {
    /// Asks the destination about each column.
    pub(super) fn of(stream: &CatalogStream, destination: Option<&dyn Destination>) -> Seen {
        let ask = |destination: &dyn Destination| verdicts(&stream.schema, destination);
        Seen { stream: stream.describe(), held: destination.map(ask).unwrap_or_default() }
    }

    /// The stream's name.
    pub(super) fn name(&self) -> &str {
        &self.stream.name
    }

    /// The JSON form: the description, with `held` in each column.
    pub(super) fn to_value(&self) -> Value {
        let mut value = json!(self.stream);
        let columns = value.get_mut("columns").and_then(Value::as_array_mut);
        for (column, verdict) in columns.into_iter().flatten().zip(&self.held) {
            if let Some(members) = column.as_object_mut() {
                members.insert("held".to_owned(), json!(verdict));
            }
        }
        value
    }

    /// One line, for a list of many.
    pub(super) fn row(&self) -> Vec<String> {
        let stream = &self.stream;
        let mut held = BTreeMap::new();
        for verdict in self.held.iter().filter(|verdict| verdict.fidelity != Fidelity::Exact) {
            *held.entry(word(verdict.fidelity)).or_insert(0) += 1;
        }
        let held: Vec<String> = held.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
        vec![
            stream.name.clone(),
            stream.kind.clone(),
            stream.columns.len().to_string(),
            stream.rows.map(crate::summary::units::count).unwrap_or_default(),
            stream.bytes.map(bytes).unwrap_or_default(),
            stream.primary_key.join(", "),
            held.join(", "),
        ]
    }

    /// The whole of it: what it is, its columns, and what a person should know.
    pub(super) fn render(&self, terminal: &Terminal) -> String {
        let stream = &self.stream;
        let mut about = vec![stream.kind.clone()];
        about.extend(stream.rows.map(|rows| format!("about {}", counted(rows, "row"))));
        about.extend(stream.bytes.map(bytes));
        let mut out = format!("{}  {}", terminal.paint("1", &stream.name), about.join(" · "));
        if !stream.primary_key.is_empty() {
            out.push_str(&format!("\n  key: {}", stream.primary_key.join(", ")));
        }
        if !stream.cursors.is_empty() {
            let cursors: Vec<String> = stream
                .cursors
                .iter()
                .take(4)
                .map(|cursor| {
                    if cursor.indexed {
                        format!("{} (indexed)", cursor.column)
                    } else {
                        cursor.column.clone()
                    }
                })
                .collect();
            let more = stream.cursors.len().saturating_sub(4);
            let more = if more > 0 { format!(", … ({more} more)") } else { String::new() };
            out.push_str(&format!("\n  cursor candidates: {}{more}", cursors.join(", ")));
        }
        let table = terminal.table(&headers(&self.held, stream), self.rows());
        out.extend(table.lines().map(|line| format!("\n  {line}")));
        for remark in self.remarks() {
            out.push_str(&format!("\n  {remark}"));
        }
        out.extend(stream.notes.iter().map(|note| format!("\n  note: {note}")));
        out
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let natives = has_natives(&self.stream);
        let row = |(index, column): (usize, &waybill_protocol::catalog::ColumnDescription)| {
            let mut cells = vec![column.name.clone(), column.logical.clone()];
            if natives {
                cells.push(column.native.clone().unwrap_or_default());
            }
            cells.push(if column.nullable { "" } else { "not null" }.to_owned());
            if let Some(verdict) = self.held.get(index) {
                cells.push(verdict.native.clone());
                cells.push(word(verdict.fidelity).to_owned());
            }
            cells
        };
        self.stream.columns.iter().enumerate().map(row).collect()
    }

    /// Why columns are not held as they are, said once for all columns that it is true of.
    fn remarks(&self) -> Vec<String> {
        let mut reasons: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (column, verdict) in self.stream.columns.iter().zip(&self.held) {
            if verdict.fidelity != Fidelity::Exact && !verdict.note.is_empty() {
                let reason = (word(verdict.fidelity), verdict.note.as_str());
                reasons.entry(reason).or_default().push(&column.name);
            }
        }
        let remark = |((word, note), columns): ((&str, &str), Vec<&str>)| {
            let allow = if word == "lossy" { " (refused unless allow_lossy names it)" } else { "" };
            format!("{word}: {}: {note}{allow}", columns.join(", "))
        };
        reasons.into_iter().map(remark).collect()
    }
}

fn verdicts(schema: &Schema, destination: &dyn Destination) -> Vec<Verdict> {
    schema.fields().iter().map(|field| destination.verdict(field)).collect()
}

fn has_natives(stream: &StreamDescription) -> bool {
    stream.columns.iter().any(|column| column.native.is_some())
}

fn headers(held: &[Verdict], stream: &StreamDescription) -> Vec<&'static str> {
    let mut headers = vec!["column", "type"];
    if has_natives(stream) {
        headers.push("source type");
    }
    headers.push("");
    if !held.is_empty() {
        headers.extend(["held as", ""]);
    }
    headers
}

fn word(fidelity: Fidelity) -> &'static str {
    match fidelity {
        Fidelity::Exact => "exact",
        Fidelity::Widened => "widened",
        Fidelity::Lossy => "lossy",
    }
}
