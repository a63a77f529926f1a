//! The events, with what finds them; of a long log what was chosen, and what was not.

use std::collections::BTreeMap;

use waybill_protocol::ErrorRecord;
use waybill_protocol::event::Level;

use super::Subject;
use super::gather::Gathered;
use super::html::{Html, cut};
use super::keep::Kept;
use crate::events::Line;
use crate::summary::units::{clock, count, counted};

/// Bytes of all rows.
const ROWS: usize = 300 << 10;
/// Letters of a message, and of an event's data.
const MESSAGE: usize = 2_000;
const DATA: usize = 1_500;
/// Names of events whose left out ones are counted.
const NAMES: usize = 12;

/// The section.
pub(super) fn section(html: &mut Html, subject: &Subject<'_>, gathered: Gathered) {
    html.markup("<section id=\"log\" aria-labelledby=\"h-log\">\n<h2 id=\"h-log\">Events</h2>\n");
    let (seen, mut counts) = (gathered.keep.seen(), gathered.keep.counts.clone());
    if seen == 0 {
        html.markup("<p class=\"soft\">There are none.</p></section>\n");
        return;
    }
    let rows = chosen(gathered.keep.by_weight(), &mut counts);
    let shown = rows.len() as u64;
    let every = format!("waybill runs events {}", subject.summary.run_id);
    if shown == seen {
        html.around("<p class=\"soft\">All ", &counted(seen, "event"), " of the log.");
    } else {
        let text = format!("{} of {}", count(shown), counted(seen, "event"));
        html.around("<p class=\"soft\"><strong>", &text, "</strong>: the beginning, the end, what went wrong or changed course, and a sample of the rest. Left out: ");
        html.around("", &left_out(counts), ".");
    }
    html.around(" With all of their data: <code>", &every, " --raw</code></p>\n");
    html.markup(FORM);
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Events\" tabindex=\"0\"><table><thead><tr><th scope=\"col\" class=\"n\">time</th><th scope=\"col\">level</th><th scope=\"col\">event</th><th scope=\"col\">stream</th><th scope=\"col\">what it says</th></tr></thead><tbody>\n");
    let mut next = 0;
    for (place, row) in rows {
        gap(html, place - next);
        html.piece(&row);
        next = place + 1;
    }
    gap(html, seen - next);
    html.markup("</tbody></table></div>\n</section>\n");
}

const FORM: &str = "<form id=\"filter\" role=\"search\" aria-label=\"Filter events\" hidden>\
<label>Level<select name=\"level\"><option value=\"debug\">all</option><option value=\"info\">info and worse</option><option value=\"warn\">warnings and errors</option><option value=\"error\">errors</option></select></label>\
<label>Event<select name=\"event\"><option value=\"\">all</option></select></label>\
<label>Stream<select name=\"stream\"><option value=\"\">all</option></select></label>\
<label>Search<input type=\"search\" name=\"text\" autocomplete=\"off\" spellcheck=\"false\"></label>\
<button type=\"reset\">Show all</button>\
<output id=\"found\" aria-live=\"polite\"></output></form>\n";

/// The rows there is room for, in the order of the log; `counts` loses those that are shown.
fn chosen(kept: Vec<Kept>, counts: &mut BTreeMap<String, u64>) -> BTreeMap<u64, Html> {
    let (mut rows, mut room) = (BTreeMap::new(), ROWS);
    for one in kept {
        let Ok(line) = Line::parse(&one.bytes) else { continue };
        let row = row(&line, one.depth);
        if row.len() > room {
            continue;
        }
        room -= row.len();
        if let Some(count) = counts.get_mut(&line.event) {
            *count -= 1;
        }
        rows.insert(one.place, row);
    }
    rows
}

fn left_out(counts: BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(String, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    counts.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    let more = counts.len().saturating_sub(NAMES);
    let mut parts: Vec<String> = counts
        .into_iter()
        .take(NAMES)
        .map(|(event, number)| format!("{} {}", count(number), cut(&event, 80)))
        .collect();
    if more > 0 {
        parts.push(format!("{more} more kinds"));
    }
    parts.join(", ")
}

fn gap(html: &mut Html, missing: u64) {
    if missing > 0 {
        html.around(
            "<tr class=\"gap\"><td colspan=\"5\">… ",
            &counted(missing, "event"),
            " left out here</td></tr>\n",
        );
    }
}

fn row(line: &Line, depth: usize) -> Html {
    let mut html = Html::new();
    let (start, word) = match line.level {
        Level::Debug => ("<tr class=\"debug\" data-level=\"debug\" data-event=\"", "debug"),
        Level::Info => ("<tr class=\"info\" data-level=\"info\" data-event=\"", "info"),
        Level::Warn => ("<tr class=\"warn\" data-level=\"warn\" data-event=\"", "warn"),
        Level::Error => ("<tr class=\"error\" data-level=\"error\" data-event=\"", "error"),
    };
    let (event, stream) = (cut(&line.event, 80), line.stream.as_ref().map(|stream| cut(stream, 200)));
    html.around(start, &event, "\"");
    if let Some(stream) = &stream {
        html.around(" data-stream=\"", stream, "\"");
    }
    html.around("><td class=\"n\">", &clock(line.t_ms), "</td>").around("<td class=\"lvl\">", word, "</td>");
    html.around("<td>", &event, "</td>").around(
        "<td class=\"data\">",
        stream.as_deref().unwrap_or_default(),
        "</td>",
    );
    html.markup(match depth {
        0 => "<td class=\"say\"><div>",
        1 => "<td class=\"say\"><div class=\"d1\">",
        2 => "<td class=\"say\"><div class=\"d2\">",
        3 => "<td class=\"say\"><div class=\"d3\">",
        4 => "<td class=\"say\"><div class=\"d4\">",
        _ => "<td class=\"say\"><div class=\"d5\">",
    });
    let message = if line.message.is_empty() { &line.event } else { &line.message };
    html.around("<span class=\"data\">", &cut(message, MESSAGE), "</span>");
    if let Some(attempt) = line.attempt.filter(|attempt| *attempt > 1) {
        html.around(" <span class=\"soft\">(attempt ", &attempt.to_string(), ")</span>");
    }
    if let Some(error) = &line.error {
        fault(&mut html, line, error);
    }
    if line.data.as_object().is_some_and(|members| !members.is_empty()) {
        let data = cut(&line.data.to_string(), DATA);
        html.around("<details><summary>data</summary><pre class=\"data\">", &data, "</pre></details>");
    }
    html.markup("</div></td></tr>\n");
    html
}

fn fault(html: &mut Html, line: &Line, error: &ErrorRecord) {
    if error.message != line.message {
        html.around("<div class=\"data\">", error.kind.word(), " error: ")
            .text(&cut(&error.message, MESSAGE))
            .markup("</div>");
    }
    for cause in error.cause.iter().filter(|cause| **cause != error.message).take(6) {
        html.around("<div class=\"data\">because: ", &cut(cause, MESSAGE), "</div>");
    }
    if let Some(hint) = &error.hint {
        html.around("<div class=\"next data\">next: ", &cut(hint, MESSAGE), "</div>");
    }
}
