//! The rows of one file into batches, rejects and, where they do not fit, a change of columns.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::event::Body;
use waybill_protocol::{Events, Result};

use super::header;
use super::input::Input;
use super::listing::Found;
use super::options::{Format, Layout, OnChange};
use super::records::Records;
use super::rows::Shape;
use super::sample::SAMPLE_BYTES;
use super::sink::Sink;
use super::table::Table;

/// How a file ended.
pub(super) enum End {
    /// It was read to its end: so many rows were kept.
    File(u64),
    /// As many rows as were wanted have been read.
    Limit,
    /// The columns have to be others.
    Change,
}

/// Reads files into batches.
pub(super) struct Reader {
    pub layout: Layout,
    pub table: Table,
    pub sink: Sink,
    /// Rows still wanted.
    pub left: Option<u64>,
    pub scratch: Vec<u8>,
    pub cancel: CancellationToken,
    pub events: Events,
}

impl Reader {
    pub(super) fn tailing(&self) -> bool {
        self.layout.on_change == OnChange::Tail
    }

    pub(super) fn records(&self, input: Input, line: u64) -> Result<Records> {
        Records::new(input, &self.layout, line, self.tailing())
    }

    /// The rows of one file; `names` where its header lies before what is read.
    pub(super) fn file(
        &mut self,
        file: &Found,
        records: &mut Records,
        names: Option<Vec<String>>,
    ) -> Result<End> {
        let mut first = None;
        let mut shape = match (self.layout.format, names) {
            (Format::Jsonl, _) => Shape::jsonl(&self.table),
            (Format::Csv, Some(names)) => Shape::csv(&names, &mut self.table, &file.shown)?,
            (Format::Csv, None) => match header::read(records, &self.layout)? {
                Some(found) => {
                    first = found.first;
                    Shape::csv(&found.names, &mut self.table, &file.shown)?
                }
                None => return Ok(End::File(0)),
            },
        };
        let (mut rows, mut ahead) = (0u64, None);
        loop {
            let record = match first.take() {
                Some(record) => record,
                None => match records.next()? {
                    Some(record) => record,
                    None => break,
                },
            };
            let bytes = records.bytes(&record);
            if shape.blank(bytes) {
                continue;
            }
            let put = match records.flaw(&record) {
                Some(flaw) => Err(flaw),
                None => shape.put(records, &record, &self.layout, &mut self.table, &mut self.scratch)?,
            };
            match put {
                Ok(()) if self.table.finish_row(&file.rel, record.line, bytes.len())? => {
                    rows += 1;
                    if self.table.full() {
                        self.flush()?;
                    }
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(1);
                        if *left == 0 {
                            return Ok(End::Limit);
                        }
                    }
                }
                Ok(()) => {}
                Err(flaw) => {
                    self.table.drop_row();
                    if !self.table.changing {
                        self.sink.reject(format!("{}:{}", file.shown, record.line), flaw, bytes)?;
                    }
                }
            }
            // The attempt starts again with other columns: look ahead, so that this is seldom.
            if self.table.changing && records.offset > *ahead.get_or_insert(records.offset + SAMPLE_BYTES) {
                break;
            }
        }
        Ok(if self.table.changing { End::Change } else { End::File(rows) })
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        match self.table.take()? {
            Some(batch) => self.sink.batch(batch),
            None => Ok(()),
        }
    }

    pub(super) fn torn(&self, file: &Found, records: &Records) {
        if records.torn > 0 {
            self.events.warn(
                Body::Runtime {
                    detail: json!({"file": file.rel, "line": records.line, "bytes": records.torn}),
                },
                format!(
                    "{}:{}: the last line has no line end yet; it waits for it",
                    file.shown, records.line
                ),
            );
        }
    }
}
