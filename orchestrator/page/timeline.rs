//! The time line: a table whose last column is drawn.

use super::gather::Gathered;
use super::head::more;
use super::html::{Html, cut};
use super::lanes::{Bar, Lane, Look, Slice};
use crate::summary::units::{clock, count, counted, duration};

/// Bytes for streams.
const STREAMS: usize = 150 << 10;
/// Parts and slices of one stream that have a row.
const ROWS: usize = 24;

/// The section.
pub(super) fn section(html: &mut Html, gathered: &Gathered) {
    let lanes = &gathered.lanes;
    html.markup(
        "<section id=\"timeline\" aria-labelledby=\"h-timeline\">\n<h2 id=\"h-timeline\">Time line</h2>\n",
    );
    if lanes.phases.is_empty() && lanes.order.is_empty() {
        html.markup("<p class=\"soft\">The record has no steps and no streams.</p></section>\n");
        return;
    }
    let scale = Scale { end: gathered.end_ms.max(1) };
    html.markup(KEY);
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Time line\" tabindex=\"0\"><table><colgroup><col class=\"what\"><col class=\"took\"><col class=\"from\"><col></colgroup>");
    html.markup("<thead><tr><th scope=\"col\">what</th><th scope=\"col\" class=\"n\">took</th><th scope=\"col\" class=\"n from\">from</th><th scope=\"col\"><span class=\"skip\">when</span>");
    scale.axis(html);
    html.markup("</th></tr></thead>\n<tbody>\n");
    for phase in &lanes.phases {
        scale.row(html, "<tr><th scope=\"row\">", &phase.name, std::slice::from_ref(phase), phase);
    }
    html.markup("</tbody>\n<tbody>\n");
    let streams = lanes.order.iter().filter_map(|name| Some((name, lanes.streams.get(name)?)));
    let left_out = html.within(STREAMS, streams, |html, (name, lane)| stream(html, &scale, name, lane));
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">Streams: ", "</p>");
    html.markup("</section>\n");
}

const KEY: &str = "<ul class=\"key\" aria-label=\"Key\">\
<li><svg aria-hidden=\"true\"><rect class=\"good\" width=\"14\" height=\"10\"/></svg> succeeded</li>\
<li><svg aria-hidden=\"true\"><rect class=\"bad\" width=\"14\" height=\"10\"/></svg> failed</li>\
<li><svg aria-hidden=\"true\"><rect class=\"stopped\" width=\"14\" height=\"10\"/></svg> cancelled</li>\
<li><svg aria-hidden=\"true\"><rect class=\"waiting\" x=\"1\" y=\"1\" width=\"12\" height=\"9\"/></svg> wait before another attempt</li>\
<li><svg aria-hidden=\"true\"><rect class=\"open\" width=\"14\" height=\"10\"/></svg> never ended</li>\
<li><svg aria-hidden=\"true\"><rect class=\"slice\" x=\"5\" width=\"3\" height=\"10\"/></svg> commit of a slice</li></ul>\n";

fn stream(html: &mut Html, scale: &Scale, name: &str, lane: &Lane) {
    let Some(whole) = &lane.whole else { return };
    let parts = if lane.parts.is_empty() { std::slice::from_ref(whole) } else { lane.parts.as_slice() };
    scale.row(html, "<tr class=\"stream\"><th scope=\"row\" class=\"data\">", name, parts, whole);
    // One attempt and its publication are told by the stream's own row.
    if lane.parts.iter().any(|part| part.look == Look::Waiting) {
        for part in lane.parts.iter().take(ROWS) {
            let name = if part.look == Look::Waiting {
                part.name.clone()
            } else {
                format!("{} {}", part.name, part.look.word())
            };
            scale.row(html, "<tr class=\"part\"><th scope=\"row\">", &name, std::slice::from_ref(part), part);
        }
        let left_out = lane.parts.len().saturating_sub(ROWS) as u64 + lane.parts_left_out;
        more(html, left_out, "<tr class=\"part\"><th scope=\"row\" colspan=\"4\">Attempts: ", "</th></tr>\n");
    }
    if lane.slices.len() > 1 {
        for (name, slice) in lane.slices.iter().take(ROWS) {
            commits(html, scale, name, slice);
        }
        let left_out = lane.slices.len().saturating_sub(ROWS) as u64;
        more(html, left_out, "<tr class=\"part\"><th scope=\"row\" colspan=\"4\">Slices: ", "</th></tr>\n");
        if lane.slices_left_out > 0 {
            let what = format!("{} of further slices", counted(lane.slices_left_out, "commit"));
            html.around("<tr class=\"part\"><th scope=\"row\" colspan=\"4\">… and ", &what, "</th></tr>\n");
        }
    }
}

fn commits(html: &mut Html, scale: &Scale, name: &str, slice: &Slice) {
    html.around("<tr class=\"part\"><th scope=\"row\" class=\"data\">slice ", &cut(name, 120), "</th>");
    html.around(
        "<td class=\"n took\">",
        &count(slice.commits),
        if slice.commits == 1 { " commit</td>" } else { " commits</td>" },
    );
    let last = slice.moments.last().copied().unwrap_or_default();
    html.around("<td class=\"n from\">", &clock(last), "</td><td><svg aria-hidden=\"true\">");
    for moment in &slice.moments {
        html.markup("<rect class=\"slice\" y=\"3\" height=\"14\" width=\"0.3%\" x=\"")
            .number(scale.percent(*moment).min(99.7));
        html.markup("%\"/>");
    }
    html.around(
        "<title>",
        &format!("{} in {}", counted(slice.rows, "row"), counted(slice.commits, "commit")),
        "</title>",
    );
    html.markup("</svg></td></tr>\n");
}

/// The run's time, as a hundred per cent.
struct Scale {
    end: u64,
}

impl Scale {
    fn percent(&self, moment: u64) -> f64 {
        moment.min(self.end) as f64 * 100.0 / self.end as f64
    }

    /// Moments to be named: at most six, round ones.
    fn ticks(&self) -> Vec<u64> {
        let steps = [
            1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
            300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000,
            86_400_000,
        ];
        let step = steps.into_iter().find(|step| self.end / step <= 5).unwrap_or(self.end.div_ceil(5).max(1));
        (0..=self.end / step).map(|n| n * step).collect()
    }

    fn axis(&self, html: &mut Html) {
        html.markup("<svg aria-hidden=\"true\">");
        for tick in self.ticks() {
            let at = self.percent(tick);
            html.markup("<line class=\"grid\" y1=\"14\" y2=\"20\" x1=\"")
                .number(at)
                .markup("%\" x2=\"")
                .number(at)
                .markup("%\"/>");
            html.markup(if at < 4.0 {
                "<text y=\"11\" x=\""
            } else if at > 92.0 {
                "<text y=\"11\" text-anchor=\"end\" x=\""
            } else {
                "<text y=\"11\" text-anchor=\"middle\" x=\""
            });
            html.number(at).around("%\">", &duration(tick), "</text>");
        }
        html.markup("</svg>");
    }

    /// A row: name, how long `whole` took, when it began, and `bars` drawn.
    fn row(&self, html: &mut Html, start: &'static str, name: &str, bars: &[Bar], whole: &Bar) {
        let to = whole.to.unwrap_or(self.end);
        html.around(start, &cut(name, 120), "</th>");
        let took = duration(to.saturating_sub(whole.from));
        let open = if whole.to.is_none() { "≥ " } else { "" };
        html.around("<td class=\"n took\">", &format!("{open}{took}"), "</td>");
        html.around("<td class=\"n from\">", &clock(whole.from), "</td><td><svg aria-hidden=\"true\">");
        for tick in self.ticks() {
            let at = self.percent(tick);
            html.markup("<line class=\"grid\" y1=\"0\" y2=\"20\" x1=\"")
                .number(at)
                .markup("%\" x2=\"")
                .number(at)
                .markup("%\"/>");
        }
        for bar in bars {
            let to = bar.to.unwrap_or(self.end);
            let (from, width) = (self.percent(bar.from), self.percent(to) - self.percent(bar.from));
            html.markup(shape(bar.look))
                .number(from.min(99.7))
                .markup("%\" width=\"")
                .number(width.max(0.3))
                .markup("%\">");
            let title = format!("{} {}, {} to {}", bar.name, bar.look.word(), clock(bar.from), clock(to));
            html.around("<title>", &title, "</title></rect>");
        }
        html.markup("</svg></td></tr>\n");
    }
}

fn shape(look: Look) -> &'static str {
    match look {
        Look::Good => "<rect class=\"good\" y=\"4\" height=\"12\" x=\"",
        Look::Failed => "<rect class=\"bad\" y=\"4\" height=\"12\" x=\"",
        Look::Stopped => "<rect class=\"stopped\" y=\"4\" height=\"12\" x=\"",
        Look::Waiting => "<rect class=\"waiting\" y=\"6\" height=\"8\" x=\"",
        Look::Open => "<rect class=\"open\" y=\"4\" height=\"12\" x=\"",
    }
}
