//! Rows of a preview on a screen of any width, and as JSON Lines.

use waybill_protocol::{Logical, Result};

use super::cell;
use super::preview::Rows;
use crate::cli::terminal::Terminal;
use crate::summary::units::counted;

/// Characters of a value that are shown; JSON has all of them.
const LONGEST: usize = 200;
/// Characters of a value up to which rows stand side by side.
const CELL: usize = 60;

/// Rows for people: a table where it fits, otherwise one column a line.
pub(super) fn render(terminal: &Terminal, rows: &Rows) -> Result<String> {
    let names: Vec<String> = rows.schema.fields().iter().map(|field| cell::shown(field.name())).collect();
    let records = records(rows)?;
    if records.is_empty() {
        return Ok(format!("no rows; columns: {}", names.join(", ")));
    }
    let widths = |index: usize| {
        let cells = records.iter().filter_map(|record| record.get(index));
        cells.chain(names.get(index)).map(|text| console::measure_text_width(text)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(widths).collect();
    let needed: usize = widths.iter().map(|width| width + 2).sum();
    let text = if needed <= terminal.width() + 2 && widths.iter().all(|width| *width <= CELL) {
        side_by_side(terminal, &names, records)
    } else {
        one_by_one(terminal, &names, &records)
    };
    Ok(text)
}

fn side_by_side(terminal: &Terminal, names: &[String], records: Vec<Vec<String>>) -> String {
    let mut all = vec![names.to_vec()];
    all.extend(records);
    // Headers would be written in capitals, and a column's name is to be shown as it is.
    let table = terminal.table(&[], all);
    match table.split_once('\n') {
        Some((head, rest)) => format!("{}\n{rest}", terminal.paint("1", head)),
        None => table,
    }
}

fn one_by_one(terminal: &Terminal, names: &[String], records: &[Vec<String>]) -> String {
    let wide = names.iter().map(|name| console::measure_text_width(name)).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (number, record) in records.iter().enumerate() {
        if number > 0 {
            lines.push(String::new());
        }
        lines.push(terminal.paint("2", &format!("row {}", number + 1)));
        for (name, value) in names.iter().zip(record) {
            let pad = " ".repeat(wide.saturating_sub(console::measure_text_width(name)));
            lines.push(format!("  {}{pad}  {value}", terminal.paint("1", name)));
        }
    }
    lines.join("\n")
}

fn logicals(rows: &Rows) -> Result<Vec<Logical>> {
    rows.schema.fields().iter().map(|field| Logical::of(field)).collect()
}

fn records(rows: &Rows) -> Result<Vec<Vec<String>>> {
    let logicals = logicals(rows)?;
    let mut records = Vec::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let cells = logicals.iter().zip(batch.columns());
            records.push(cells.map(|(logical, array)| text(cell::plain(array, *logical, row))).collect());
        }
    }
    Ok(records)
}

fn text(value: Option<String>) -> String {
    let Some(value) = value else { return "NULL".to_owned() };
    match value.char_indices().nth(LONGEST) {
        Some((at, _)) => {
            let letters = u64::try_from(value.chars().count()).unwrap_or(u64::MAX);
            let head = value.get(..at).unwrap_or_default();
            format!("{}… ({})", cell::shown(head), counted(letters, "character"))
        }
        None => cell::shown(&value),
    }
}

/// One JSON object a row, every value exact.
pub(super) fn json_lines(rows: &Rows) -> Result<Vec<String>> {
    let logicals = logicals(rows)?;
    let names: Vec<String> = rows.schema.fields().iter().map(|field| cell::quoted(field.name())).collect();
    let mut lines = Vec::new();
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let members: Vec<String> = names
                .iter()
                .zip(logicals.iter().zip(batch.columns()))
                .map(|(name, (logical, array))| format!("{name}:{}", cell::json(array, *logical, row)))
                .collect();
            lines.push(format!("{{{}}}", members.join(",")));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{ColorChoice, LookFlags};
    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn rows(texts: Vec<Option<&str>>) -> Rows {
        let fields = vec![Logical::Int64.field("Id", false, ""), Logical::Text.field("näme", true, "")];
        let schema = Arc::new(Schema::new(fields));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=texts.len() as i64));
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![ids, texts]).unwrap();
        Rows { schema, batches: vec![batch], rejects: Vec::new() }
    }

    fn plain() -> Terminal {
        Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
    }

    #[test]
    fn short_rows_stand_side_by_side_and_long_ones_one_by_one() {
        let short = rows(vec![Some("Zürich"), None, Some(""), Some("a\nb")]);
        assert_eq!(render(&plain(), &short).unwrap(), "Id  näme\n1   Zürich\n2   NULL\n3   \"\"\n4   a\\nb");
        let long = "x".repeat(300);
        let shown = render(&plain(), &rows(vec![Some(&long)])).unwrap();
        assert_eq!(shown, format!("row 1\n  Id    1\n  näme  {}… (300 characters)", "x".repeat(200)));
        assert_eq!(render(&plain(), &rows(vec![])).unwrap(), "no rows; columns: Id, näme");
    }

    #[test]
    fn json_lines_have_everything() {
        let lines = json_lines(&rows(vec![Some("a\n\"b"), None])).unwrap();
        assert_eq!(lines, [r#"{"Id":1,"näme":"a\n\"b"}"#, r#"{"Id":2,"näme":null}"#]);
    }
}
