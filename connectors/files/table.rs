//! The batch in the making: rows go in whole or not at all, and what does not fit is remembered.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Fields, Schema, SchemaRef};
use waybill_protocol::outlet::BATCH_ROWS;
use waybill_protocol::{Error, Kind, Logical, Result, SchemaPolicy, StreamRead};

use super::cell::Cell;
use super::column::{Column, Misfit};
use super::faults::Flaw;
use super::guess::Guess;
use super::options::Layout;

/// Columns that name where a row came from.
pub(super) const FILE_COLUMN: &str = "_file";
pub(super) const LINE_COLUMN: &str = "_line";

/// A batch is sent when it has about so many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Where the values of a file's column go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Into a column of the batch.
    Column(usize),
    /// Into a column that has to be added first.
    New(String),
    /// Nowhere: it was not asked for.
    Skip,
}

/// The batch in the making.
pub(super) struct Table {
    schema: SchemaRef,
    columns: Vec<Column>,
    index: HashMap<String, usize>,
    file: Option<usize>,
    line: Option<usize>,
    policy: SchemaPolicy,
    selected: bool,
    rows: usize,
    bytes: usize,
    /// What the row under way would change in the schema.
    pending: Vec<(Target, Guess)>,
    wider: HashMap<usize, Guess>,
    new: Vec<(String, Guess)>,
    /// The schema has to change: rows are only looked at, none is kept.
    pub changing: bool,
}

impl Table {
    /// An empty batch of the columns that were asked for.
    pub(super) fn new(read: &StreamRead, layout: &Layout) -> Result<Table> {
        let schema = Arc::clone(&read.schema);
        let mut columns = Vec::new();
        for field in schema.fields() {
            columns.push(Column::new(field, layout.types.contains_key(field.name()))?);
        }
        let index: HashMap<String, usize> =
            columns.iter().enumerate().map(|(i, column)| (column.name.clone(), i)).collect();
        let made = |wanted: bool, name: &str| index.get(name).copied().filter(|_| wanted);
        Ok(Table {
            file: made(layout.file_column, FILE_COLUMN),
            line: made(layout.line_column, LINE_COLUMN),
            policy: read.selection.schema_policy,
            selected: read.selection.columns.is_some(),
            schema,
            columns,
            index,
            rows: 0,
            bytes: 0,
            pending: Vec::new(),
            wider: HashMap::new(),
            new: Vec::new(),
            changing: false,
        })
    }

    /// Whether the batch has the column `_file`.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// How many columns of the batch there are.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Whether a column is filled by the reader, not by the file.
    pub(super) fn made(&self, column: usize) -> bool {
        Some(column) == self.file || Some(column) == self.line
    }

    /// The name of a column of the batch.
    pub(super) fn name(&self, column: usize) -> &str {
        self.columns.get(column).map_or("", |c| c.name.as_str())
    }

    /// Where a file's column goes; `place` is where it was met.
    pub(super) fn target(&self, name: &str, place: &str) -> Result<Target> {
        match self.index.get(name) {
            Some(column) if self.made(*column) => Err(clash(name, place)),
            Some(column) => Ok(Target::Column(*column)),
            None if self.selected => Ok(Target::Skip),
            None => match self.policy {
                SchemaPolicy::Evolve => Ok(Target::New(name.to_owned())),
                SchemaPolicy::Ignore => Ok(Target::Skip),
                SchemaPolicy::Freeze => Err(Error::new(
                    Kind::Schema,
                    format!("{place}: new column {name:?}, and the schema is frozen"),
                )
                .hint("set schema_policy to evolve (adds it) or ignore (leaves it out)")),
            },
        }
    }

    /// Says that a column has to be added whatever its values.
    pub(super) fn add(&mut self, name: &str) {
        self.start_change();
        self.note(&Target::New(name.to_owned()), Guess::default());
    }

    /// Adds a value to the row under way.
    pub(super) fn put(&mut self, target: &Target, cell: &Cell<'_>) -> Result<(), Flaw> {
        let index = match target {
            Target::Column(index) => *index,
            Target::Skip => return Ok(()),
            Target::New(_) => {
                self.remember(target, cell);
                return Ok(());
            }
        };
        let Some(column) = self.columns.get_mut(index) else { return Ok(()) };
        match column.push(cell) {
            Ok(()) => Ok(()),
            Err(Misfit::Null) => {
                Err(Flaw::column(&column.name, "no value, in a column that must not be NULL"))
            }
            Err(Misfit::Type) if self.policy == SchemaPolicy::Evolve && !column.declared => {
                self.remember(target, cell);
                Ok(())
            }
            Err(Misfit::Type) => {
                let reason = format!("not exactly a value of type {}", column.logical);
                Err(Flaw::column(&column.name, reason))
            }
        }
    }

    fn remember(&mut self, target: &Target, cell: &Cell<'_>) {
        let mut guess = Guess::default();
        guess.add(cell);
        self.pending.push((target.clone(), guess));
    }

    /// Ends the row under way: true when it was kept, false when it asks for other columns.
    pub(super) fn finish_row(&mut self, file: &str, line: u64, bytes: usize) -> Result<bool> {
        if !self.changing && self.pending.is_empty() {
            self.rows += 1;
            self.bytes += bytes + 8 * self.columns.len();
            if let Some(column) = self.file.and_then(|i| self.columns.get_mut(i)) {
                column.push(&Cell::Field(file.as_bytes())).map_err(|_| made_misfit(FILE_COLUMN))?;
                self.bytes += file.len();
            }
            if let Some(column) = self.line.and_then(|i| self.columns.get_mut(i)) {
                column.push_line(line).map_err(|_| made_misfit(LINE_COLUMN))?;
            }
            return Ok(true);
        }
        self.start_change();
        for (target, guess) in std::mem::take(&mut self.pending) {
            self.note(&target, guess);
        }
        self.cut(0);
        Ok(false)
    }

    /// Takes the row under way back.
    pub(super) fn drop_row(&mut self) {
        self.pending.clear();
        self.cut(self.rows);
    }

    fn cut(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// From here on rows are only looked at: the attempt starts again, so none is lost.
    fn start_change(&mut self) {
        self.changing = true;
        self.rows = 0;
        self.bytes = 0;
        self.cut(0);
    }

    fn note(&mut self, target: &Target, guess: Guess) {
        match target {
            Target::Column(column) => self.wider.entry(*column).or_default().merge(&guess),
            Target::New(name) => match self.new.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.merge(&guess),
                None => self.new.push((name.clone(), guess)),
            },
            Target::Skip => {}
        }
    }

    /// Whether it is time to send.
    pub(super) fn full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows so far; `None` where there are none.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        let arrays = self.columns.iter_mut().map(Column::take).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(|e| Error::internal("a batch does not match its schema").cause(e))
    }

    /// The columns that would hold everything that was seen.
    pub(super) fn widened(&self) -> SchemaRef {
        let known =
            self.schema.fields().iter().zip(&self.columns).enumerate().map(|(i, (field, column))| match self
                .wider
                .get(&i)
            {
                Some(guess) => {
                    Arc::new(guess.widen(column.logical).field(field.name(), field.is_nullable(), ""))
                }
                None => Arc::clone(field),
            });
        let new = self.new.iter().map(|(name, guess)| Arc::new(guess.logical().field(name, true, "")));
        Arc::new(Schema::new(known.chain(new).collect::<Fields>()))
    }
}

/// A column of the file that has the name of one that the reader fills.
pub(super) fn clash(name: &str, place: &str) -> Error {
    Error::new(Kind::Schema, format!("{place}: the file has a column {name:?} of its own"))
        .hint("rename it in the file; file_columns and on_change: reload need that name")
}

fn made_misfit(name: &str) -> Error {
    Error::new(Kind::Schema, format!("the table's column {name:?} cannot hold where a row came from"))
        .hint("rename the column in the table, or reset the stream")
}

/// The fields that the reader fills, as the options ask for them.
pub(super) fn made_fields(layout: &Layout) -> impl Iterator<Item = Field> {
    let file = layout.file_column.then(|| Logical::Text.field(FILE_COLUMN, false, ""));
    let line = layout.line_column.then(|| Logical::Int64.field(LINE_COLUMN, false, ""));
    file.into_iter().chain(line)
}
