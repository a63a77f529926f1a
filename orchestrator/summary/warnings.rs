//! Warnings of a run: each kind once, with how often; a bounded list.

use waybill_protocol::event::{Body, Level};

use super::Warning;
use crate::events::Line;

/// Kinds of warnings that are kept.
const KEPT: usize = 100;

#[derive(Debug, Clone, Default)]
pub(super) struct Warnings {
    pub(super) list: Vec<Warning>,
    pub(super) total: u64,
}

impl Warnings {
    pub(super) fn apply(&mut self, line: &Line) {
        if line.level != Level::Warn || matches!(line.body, Some(Body::RunFinished { .. })) {
            return;
        }
        self.total += 1;
        let message = if line.message.is_empty() { &line.event } else { &line.message };
        let known =
            self.list.iter_mut().find(|known| known.message == *message && known.stream == line.stream);
        if let Some(known) = known {
            known.times += 1;
        } else if self.list.len() < KEPT {
            self.list.push(Warning {
                stream: line.stream.clone(),
                message: message.clone(),
                hint: line.error.as_ref().and_then(|error| error.hint.clone()),
                times: 1,
            });
        }
    }
}
