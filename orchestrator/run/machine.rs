//! The order of messages within one attempt of a slice: pure transitions, tested step by step.
//!
//! A source that breaks the contract is stopped here, before anything wrong becomes durable.

use std::collections::BTreeMap;

use waybill_protocol::{Error, Message, Origin, Result};

/// How far a stream of the slice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing came yet.
    Expected,
    /// Its columns are known.
    Open,
    /// It is whole.
    Complete,
}

/// What the loop does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the table fit the columns.
    Prepare,
    /// Load rows.
    Load,
    /// Commit what was loaded, with the patch.
    Commit,
    /// The stream is whole.
    Complete,
    /// Count and go on.
    Note,
}

/// Follows one attempt of one slice.
#[derive(Debug)]
pub struct Machine {
    streams: BTreeMap<String, Stage>,
    uncommitted: BTreeMap<String, u64>,
    checkpoints: u64,
    single_checkpoint: bool,
}

impl Machine {
    /// For the streams of a slice. `single_checkpoint`: rows become visible only as a whole, so
    /// nothing may come after the first checkpoint but the ends.
    pub fn new<'a>(streams: impl IntoIterator<Item = &'a str>, single_checkpoint: bool) -> Machine {
        let streams = streams.into_iter().map(|s| (s.to_owned(), Stage::Expected)).collect();
        Machine { streams, uncommitted: BTreeMap::new(), checkpoints: 0, single_checkpoint }
    }

    /// Takes the next message, or says how it breaks the contract.
    pub fn accept(&mut self, message: &Message) -> Result<Step> {
        match message {
            Message::Schema { stream, .. } => {
                match self.stage(stream)? {
                    Stage::Complete => return Err(broken(format!("columns of {stream} after its end"))),
                    Stage::Expected | Stage::Open => {}
                }
                self.streams.insert(stream.clone(), Stage::Open);
                Ok(Step::Prepare)
            }
            Message::Batch { stream, payload } => {
                self.must_be_open(stream, "rows")?;
                if self.single_checkpoint && self.checkpoints > 0 {
                    return Err(broken(format!("rows of {stream} after the only checkpoint of a full read")));
                }
                *self.uncommitted.entry(stream.clone()).or_default() += payload.rows();
                Ok(Step::Load)
            }
            Message::Checkpoint { .. } => {
                self.checkpoints += 1;
                self.uncommitted.clear();
                Ok(Step::Commit)
            }
            Message::Complete { stream } => {
                self.must_be_open(stream, "the end")?;
                if let Some(rows) = self.uncommitted.get(stream).filter(|rows| **rows > 0) {
                    return Err(broken(format!(
                        "the end of {stream} with {rows} rows after the last checkpoint"
                    )));
                }
                self.streams.insert(stream.clone(), Stage::Complete);
                Ok(Step::Complete)
            }
            Message::NextFloor { stream, .. } | Message::NullCursors { stream, .. } => {
                self.stage(stream)?;
                Ok(Step::Note)
            }
            Message::Reject(reject) => {
                self.stage(&reject.stream)?;
                Ok(Step::Note)
            }
            other => Err(broken(format!("a message that this version does not know: {other:?}"))),
        }
    }

    /// Whether there was a checkpoint.
    pub fn committed(&self) -> bool {
        self.checkpoints > 0
    }

    /// Whether every stream is whole.
    pub fn whole(&self) -> bool {
        self.streams.values().all(|stage| *stage == Stage::Complete)
    }

    /// The source ended without an error: every stream must be whole.
    pub fn end(&self) -> Result<()> {
        match self.streams.iter().find(|(_, stage)| **stage != Stage::Complete) {
            Some((stream, _)) => {
                Err(broken(format!("no end of {stream}: the source stopped before it was whole")))
            }
            None => Ok(()),
        }
    }

    fn stage(&self, stream: &str) -> Result<Stage> {
        self.streams
            .get(stream)
            .copied()
            .ok_or_else(|| broken(format!("a stream {stream} that was not planned")))
    }

    fn must_be_open(&self, stream: &str, what: &str) -> Result<()> {
        match self.stage(stream)? {
            Stage::Open => Ok(()),
            Stage::Expected => Err(broken(format!("{what} of {stream} before its columns"))),
            Stage::Complete => Err(broken(format!("{what} of {stream} after its end"))),
        }
    }
}

fn broken(what: String) -> Error {
    Error::internal(format!("the source broke its contract: it sent {what}"))
        .origin(Origin::Source)
        .hint("this is a bug in the connector: report it with this run's event log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::RecordBatch;
    use arrow_schema::Schema;
    use std::sync::Arc;
    use waybill_protocol::{Patch, Payload};

    fn schema() -> Message {
        Message::Schema { stream: "s".into(), schema: Arc::new(Schema::empty()) }
    }

    fn rows() -> Message {
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        Message::Batch { stream: "s".into(), payload: Payload::Arrow(batch) }
    }

    fn checkpoint() -> Message {
        Message::Checkpoint { patch: Patch::new() }
    }

    fn complete(stream: &str) -> Message {
        Message::Complete { stream: stream.into() }
    }

    fn all(machine: &mut Machine, messages: &[Message]) -> Result<()> {
        messages.iter().try_for_each(|m| machine.accept(m).map(drop))?;
        machine.end()
    }

    #[test]
    fn the_legal_order_passes() {
        let mut machine = Machine::new(["s"], false);
        let legal = [schema(), rows(), checkpoint(), rows(), checkpoint(), complete("s")];
        all(&mut machine, &legal).unwrap();
        assert!(machine.whole());
        all(&mut Machine::new(["s"], true), &[schema(), checkpoint(), complete("s")]).unwrap();
        all(&mut Machine::new(["s"], false), &[schema(), complete("s")]).unwrap();
    }

    #[test]
    fn every_illegal_order_is_named() {
        let cases: [(Vec<Message>, bool, &str); 7] = [
            (vec![rows()], false, "before its columns"),
            (vec![schema(), rows(), complete("s")], false, "after the last checkpoint"),
            (vec![schema(), rows(), checkpoint()], false, "no end of s"),
            (vec![schema(), checkpoint(), complete("s"), rows()], false, "after its end"),
            (vec![schema(), checkpoint(), complete("s"), schema()], false, "after its end"),
            (vec![complete("t")], false, "not planned"),
            (vec![schema(), rows(), checkpoint(), rows()], true, "only checkpoint"),
        ];
        for (messages, single, expected) in cases {
            let error = all(&mut Machine::new(["s"], single), &messages).unwrap_err();
            assert!(error.message().contains(expected), "{error} should contain {expected:?}");
        }
    }
}
