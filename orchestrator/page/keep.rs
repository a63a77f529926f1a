//! Which events of a log a page has room for: all of a short one; of a long one the beginning, the
//! end, what matters, and a sample of the rest.

use std::collections::{BTreeMap, VecDeque};

use waybill_protocol::event::Level;

use crate::events::Head;

/// Bytes of log lines that each part keeps.
const BEGINNING: usize = 90 << 10;
const END: usize = 90 << 10;
const MATTERS: usize = 110 << 10;
const SAMPLE: usize = 50 << 10;
/// Names of events that are counted one by one.
const NAMES: usize = 200;

/// One line as it stands in the log, and how deep it is in spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Its place among all lines, from 0.
    pub(super) place: u64,
    pub(super) depth: usize,
    pub(super) bytes: Vec<u8>,
}

/// Chooses lines while a log goes by.
#[derive(Debug, Clone, Default)]
pub(super) struct Keep {
    beginning: Part,
    end: Ring,
    matters: Part,
    matters_end: Ring,
    sample: Sample,
    seen: u64,
    /// Event → how many there are.
    pub(super) counts: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    lines: Vec<Kept>,
    bytes: usize,
}

#[derive(Debug, Clone, Default)]
struct Ring {
    lines: VecDeque<Kept>,
    bytes: usize,
}

/// Every so-manieth line; when there are too many, every second of them goes.
#[derive(Debug, Clone, Default)]
struct Sample {
    lines: Vec<Kept>,
    bytes: usize,
    every: u64,
    came: u64,
}

impl Keep {
    /// Takes one more line.
    pub(super) fn take(&mut self, head: &Head<'_>, depth: usize, bytes: &[u8]) {
        if let Some(count) = self.counts.get_mut(head.event) {
            *count += 1;
        } else if self.counts.len() < NAMES {
            self.counts.insert(head.event.to_owned(), 1);
        }
        let kept = Kept { place: self.seen, depth, bytes: bytes.to_vec() };
        self.seen += 1;
        let Some(kept) = self.beginning.take(kept, BEGINNING) else { return };
        if matters(head) {
            if let Some(kept) = self.matters.take(kept, MATTERS / 2) {
                self.matters_end.push(kept, MATTERS / 2);
            }
        } else if let Some(left) = self.end.push(kept, END) {
            left.into_iter().for_each(|kept| self.sample.take(kept));
        }
    }

    /// Lines in all.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// What was kept, what matters most first.
    pub(super) fn by_weight(self) -> Vec<Kept> {
        let mut all = self.matters.lines;
        all.extend(self.matters_end.lines);
        all.extend(self.beginning.lines);
        all.extend(self.end.lines.into_iter().rev());
        all.extend(self.sample.lines);
        all
    }
}

/// What a reader looks for first: the frame of the run, and whatever went wrong.
fn matters(head: &Head<'_>) -> bool {
    let frame = ["run.started", "run.finished", "signal.received", "artifact.quarantined"];
    head.level >= Level::Warn || frame.contains(&head.event) || {
        let (family, what) = head.event.split_once('.').unwrap_or((head.event, ""));
        matches!(family, "phase" | "state" | "schema" | "retry" | "window" | "row" | "value" | "tunnel")
            || (family == "stream" && what != "progress")
    }
}

impl Part {
    /// Takes a line, or gives it back when there is no room.
    fn take(&mut self, kept: Kept, room: usize) -> Option<Kept> {
        if self.bytes + kept.bytes.len() > room {
            // No later line is kept either, so that there is one border.
            self.bytes = room;
            return Some(kept);
        }
        self.bytes += kept.bytes.len();
        self.lines.push(kept);
        None
    }
}

impl Ring {
    /// Takes a line; gives back those that leave for it.
    fn push(&mut self, kept: Kept, room: usize) -> Option<Vec<Kept>> {
        self.bytes += kept.bytes.len();
        self.lines.push_back(kept);
        let mut left = Vec::new();
        while self.bytes > room {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= first.bytes.len();
            left.push(first);
        }
        (!left.is_empty()).then_some(left)
    }
}

impl Sample {
    fn take(&mut self, kept: Kept) {
        self.came += 1;
        let every = self.every.max(1);
        if !self.came.is_multiple_of(every) {
            return;
        }
        self.bytes += kept.bytes.len();
        self.lines.push(kept);
        if self.bytes > SAMPLE {
            self.every = every * 2;
            let mut at = 0;
            self.lines.retain(|_| {
                at += 1;
                at % 2 == 0
            });
            self.bytes = self.lines.iter().map(|kept| kept.bytes.len()).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(lines: u64) -> Keep {
        let mut keep = Keep::default();
        for seq in 1..=lines {
            let event = if seq % 1000 == 7 { "retry.scheduled" } else { "stream.progress" };
            let head = Head {
                seq,
                t_ms: seq,
                level: if seq == lines / 2 { Level::Error } else { Level::Debug },
                event,
                stream: None,
                phase: None,
                span: None,
                parent: None,
                escaped: false,
            };
            keep.take(&head, 0, &[b'x'; 300]);
        }
        keep
    }

    #[test]
    fn a_short_log_is_kept_whole() {
        let kept = fill(250).by_weight();
        let mut places: Vec<u64> = kept.iter().map(|kept| kept.place).collect();
        places.sort_unstable();
        assert_eq!(places, (0..250).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_long_log_beginning_end_and_what_matters_is_kept_in_bounded_memory() {
        let lines = 200_000;
        let keep = fill(lines);
        assert_eq!((keep.seen(), keep.counts["retry.scheduled"]), (lines, 200));
        let kept = keep.by_weight();
        let bytes: usize = kept.iter().map(|kept| kept.bytes.len()).sum();
        assert!(bytes <= BEGINNING + END + MATTERS + SAMPLE, "{bytes}");
        let places: std::collections::BTreeSet<u64> = kept.iter().map(|kept| kept.place).collect();
        assert_eq!(places.len(), kept.len(), "a line is kept twice");
        for place in [0, lines / 2 - 1, lines - 1, 100_006] {
            assert!(places.contains(&place), "{place}");
        }
        // The sample reaches over all of the rest.
        assert!(places.range(40_000..50_000).count() > 2 && places.range(150_000..160_000).count() > 2);
    }
}
