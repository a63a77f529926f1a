//! The event log: one JSON object a line, one writer on a thread of its own, redaction at that
//! one place, and readers that accept whatever a killed process left behind.
//!
//! The types of events are the contract's ([`waybill_protocol::event`]); here is what happens to
//! them between an emitter and the disk, and back: [`line`] (the form on disk), [`redact`] (no
//! secret passes), [`log`] (the writer), [`read`] (the readers), [`render`] (for people).

mod cut;
pub mod follow;
pub mod gate;
pub mod head;
mod journal;
pub mod line;
pub mod log;
pub mod memory;
pub mod nest;
pub mod read;
pub mod redact;
pub mod render;
mod rules;
pub mod schema;
pub mod sieve;
pub mod spans;
mod views;
mod writer;

pub use follow::{follow, follow_pieces};
pub use head::Head;
pub use line::{LINE_VERSION, Line};
pub use log::{EventLog, HEARTBEAT, LogHeader, Reporter};
pub use nest::Nest;
pub use read::{Entry, Piece, Reader, keep};
pub use redact::{MASK, Redactor, Strength};
pub use render::{render_line, render_nested};
pub use sieve::{Sieve, Wanted};
pub use spans::{OpenSpan, OpenSpans, open_spans};
