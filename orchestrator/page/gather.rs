//! What a page shows of a log, gathered while the log goes by.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use waybill_protocol::event::{Body, Counts};

use super::keep::Keep;
use super::lanes::Lanes;
use super::series::{Gauge, Series};
use crate::events::{Head, Line, Nest, Piece, Reader};

/// Damage that is named one by one.
const DAMAGE: usize = 20;

/// A fold of a log.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) settings: Value,
    pub(super) lanes: Lanes,
    pub(super) rows_read: Series,
    pub(super) rows_committed: Series,
    pub(super) bytes_read: Series,
    pub(super) memory: Gauge,
    pub(super) queue: Gauge,
    pub(super) keep: Keep,
    pub(super) damage: Vec<String>,
    pub(super) damage_left_out: u64,
    /// The moment of the last line.
    pub(super) end_ms: u64,
    pub(super) ended: bool,
    nest: Nest,
    last_seq: u64,
    counted: HashMap<String, Counted>,
}

/// Where a stream's counters stood, and when.
#[derive(Debug, Default)]
struct Counted {
    at: u64,
    rows_read: u64,
    rows_loaded: u64,
    bytes_read: u64,
}

impl Gathered {
    /// Reads a log, in memory that does not grow with it.
    pub(super) fn of(log: &Path) -> std::io::Result<Gathered> {
        let mut gathered = Gathered::default();
        let mut reader = Reader::open(log)?;
        while let Some(piece) = reader.piece() {
            gathered.take(&piece);
        }
        gathered.lanes.streams.values_mut().for_each(super::lanes::Lane::close);
        Ok(gathered)
    }

    fn take(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Torn { text_len, .. } => {
                self.damage(format!("the last line is torn ({text_len} bytes of it)"))
            }
            Piece::Bad { line_no, why } => self.damage(format!("line {line_no} cannot be read: {why}")),
            Piece::Line { line_no, bytes } => match Line::parse(bytes) {
                Ok(line) => self.line(&line, bytes),
                Err(why) => self.damage(format!("line {line_no} cannot be read: {why}")),
            },
        }
    }

    fn damage(&mut self, what: String) {
        if self.damage.len() < DAMAGE {
            self.damage.push(what);
        } else {
            self.damage_left_out += 1;
        }
    }

    fn line(&mut self, line: &Line, bytes: &[u8]) {
        if line.seq != self.last_seq.saturating_add(1) {
            self.damage(format!("after line {} comes line {}", self.last_seq, line.seq));
        }
        self.last_seq = line.seq;
        self.end_ms = self.end_ms.max(line.t_ms);
        let head = Head::from(line);
        let depth = self.nest.depth(&head);
        self.keep.take(&head, depth, bytes);
        self.lanes.apply(line);
        match &line.body {
            Some(Body::RunStarted { settings, .. }) => self.settings = settings.clone(),
            Some(Body::RunHeartbeat { memory_bytes, queue_bytes, .. }) => {
                self.memory.set(line.t_ms, *memory_bytes);
                self.queue.set(line.t_ms, *queue_bytes);
            }
            Some(Body::RunFinished { .. }) => self.ended = true,
            Some(Body::StreamStarted { .. }) => self.begin(line),
            Some(
                Body::StreamProgress { counts }
                | Body::StreamAttemptFailed { counts, .. }
                | Body::StreamFinished { counts, .. },
            ) => self.count(line, counts),
            _ => {}
        }
    }

    fn begin(&mut self, line: &Line) {
        if let Some(stream) = &line.stream {
            self.counted.entry(stream.clone()).or_default().at = line.t_ms;
        }
    }

    /// Spreads what was counted since the last time over the time since then.
    fn count(&mut self, line: &Line, counts: &Counts) {
        let Some(stream) = &line.stream else { return };
        let known = self.counted.entry(stream.clone()).or_default();
        let (from, to) = (known.at.min(line.t_ms), line.t_ms);
        for (series, known, now) in [
            (&mut self.rows_read, &mut known.rows_read, counts.rows_read),
            (&mut self.rows_committed, &mut known.rows_loaded, counts.rows_loaded),
            (&mut self.bytes_read, &mut known.bytes_read, counts.bytes_read),
        ] {
            series.add(from, to, now.saturating_sub(*known));
            *known = now.max(*known);
        }
        known.at = to;
    }
}
