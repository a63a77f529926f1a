//! How deep a line stands: under its span, under its stream, under the step of the run.

use std::collections::HashMap;

use super::head::Head;

/// Follows the spans of a log and says how deep each line is in them.
///
/// A line names the span around it, or it belongs to a stream whose load is under way, or it fell
/// into a step of the run: the first that is known counts.
#[derive(Debug, Clone, Default)]
pub struct Nest {
    /// Open spans and their depth.
    spans: HashMap<String, usize>,
    /// The span of a stream's load.
    streams: HashMap<String, String>,
    /// The span of the step of the run.
    phase: Option<String>,
}

impl Nest {
    /// The depth of the next line.
    pub fn depth(&mut self, head: &Head<'_>) -> usize {
        let opens = head.event.ends_with(".started");
        let own = head.span.filter(|_| !opens).and_then(|span| Some((span, *self.spans.get(span)?)));
        if let Some((span, depth)) = own {
            if head.event.ends_with(".finished") || head.event.ends_with(".exited") {
                self.close(span, head);
            }
            return depth;
        }
        let depth = self.below(head);
        if let Some(span) = head.span.filter(|_| opens) {
            self.spans.insert(span.to_owned(), depth);
            match (head.event, head.stream) {
                ("phase.started", _) => self.phase = Some(span.to_owned()),
                ("stream.started", Some(stream)) => {
                    self.streams.insert(stream.to_owned(), span.to_owned());
                }
                _ => {}
            }
        }
        depth
    }

    fn below(&self, head: &Head<'_>) -> usize {
        if head.event.starts_with("run.") {
            return 0;
        }
        let parent = head.parent.and_then(|parent| self.spans.get(parent));
        let stream = || head.stream.and_then(|stream| self.spans.get(self.streams.get(stream)?));
        let phase = || self.spans.get(self.phase.as_ref().filter(|_| !head.event.starts_with("phase."))?);
        parent.or_else(stream).or_else(phase).map_or(0, |depth| depth + 1)
    }

    fn close(&mut self, span: &str, head: &Head<'_>) {
        self.spans.remove(span);
        match (head.event, head.stream) {
            ("phase.finished", _) => {
                self.phase.take_if(|open| open == span);
            }
            ("stream.finished", Some(stream)) => {
                self.streams.remove(stream);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(event: &'a str, stream: &'a str, span: &'a str, parent: &'a str) -> Head<'a> {
        let some = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        Head {
            seq: 1,
            t_ms: 1,
            level: waybill_protocol::Level::Info,
            event,
            stream: some(stream),
            phase: None,
            span: some(span),
            parent: some(parent),
            escaped: false,
        }
    }

    #[test]
    fn a_line_stands_under_its_span_its_stream_or_the_step_of_the_run() {
        let mut nest = Nest::default();
        let depths: Vec<usize> = [
            head("run.started", "", "", ""),
            head("phase.started", "", "p", ""),
            head("connection.opened", "", "", ""),
            head("stream.started", "s", "a", ""),
            head("checkpoint.committed", "s", "", ""),
            head("query.started", "s", "q", "a"),
            head("runtime.event", "", "", "q"),
            head("query.finished", "s", "q", "a"),
            head("run.heartbeat", "", "", ""),
            head("stream.finished", "s", "a", ""),
            head("stream.progress", "s", "", "a"),
            head("phase.finished", "", "p", ""),
            head("moon.landed", "", "", "nowhere"),
            head("query.finished", "", "never opened", ""),
        ]
        .iter()
        .map(|head| nest.depth(head))
        .collect();
        assert_eq!(depths, [0, 0, 1, 1, 2, 2, 3, 2, 0, 1, 1, 0, 0, 0]);
        assert!(nest.spans.is_empty() && nest.streams.is_empty() && nest.phase.is_none());
    }
}
