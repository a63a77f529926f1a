//! Curves: rows and bytes a second, and memory, over the time of the run.

use super::gather::Gathered;
use super::html::Html;
use crate::summary::Summary;
use crate::summary::units::{bytes, count, duration, per_second};

/// The drawing: its width and height, and what of them is the field of the curve.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 472.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 140.0;

type Points = Vec<(f64, f64)>;

/// What a drawing shows: its name, how its values read, and one or two curves.
struct Drawing<'a> {
    title: &'static str,
    unit: &'a dyn Fn(f64) -> String,
    curves: Vec<(&'static str, Points)>,
    about: String,
}

/// The section.
pub(super) fn section(html: &mut Html, summary: &Summary, gathered: &Gathered) {
    html.markup("<section id=\"curves\" aria-labelledby=\"h-curves\">\n<h2 id=\"h-curves\">Throughput and memory</h2>\n<div class=\"curves\">\n");
    let end = gathered.end_ms.max(1) as f64;
    let rows = |rate: f64| per_second(rate, count);
    let volume = |rate: f64| per_second(rate, bytes);
    let size = |value: f64| bytes(value as u64);
    let total = &summary.stats.total;
    let drawings = [
        Drawing {
            title: "Rows a second",
            unit: &rows,
            curves: vec![
                ("read", gathered.rows_read.rates()),
                ("committed", gathered.rows_committed.rates()),
            ],
            about: format!("{} on the whole", rows(total.rows_per_second)),
        },
        Drawing {
            title: "Bytes a second",
            unit: &volume,
            curves: vec![("read", gathered.bytes_read.rates())],
            about: format!("{} on the whole", volume(total.bytes_per_second)),
        },
        Drawing {
            title: "Memory",
            unit: &size,
            curves: vec![
                ("resident", gathered.memory.points()),
                ("between source and destination", gathered.queue.points()),
            ],
            about: format!(
                "peak {}, {}",
                size(summary.stats.peak_memory_bytes as f64),
                crate::summary::units::counted(gathered.memory.samples, "heartbeat")
            ),
        },
    ];
    for drawing in &drawings {
        draw(html, drawing, end);
    }
    html.markup("</div></section>\n");
}

fn draw(html: &mut Html, drawing: &Drawing<'_>, end: f64) {
    html.around("<figure><h3>", drawing.title, "</h3>\n");
    let highest =
        drawing.curves.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).fold(0.0, f64::max);
    if highest <= 0.0 {
        html.around(
            "<p class=\"soft\">The run was too short, or moved too little, for a curve.</p><figcaption>",
            &drawing.about,
            "</figcaption></figure>\n",
        );
        return;
    }
    html.markup("<svg viewBox=\"0 0 480 165\" role=\"img\" aria-label=\"").text(drawing.title);
    html.text(&format!(": highest {}, {}", (drawing.unit)(highest), drawing.about)).markup("\">");
    let top = round_up(highest);
    for part in [0.0, 0.5, 1.0] {
        let y = BOTTOM - (BOTTOM - TOP) * part;
        html.markup("<line class=\"grid\" x1=\"64\" x2=\"472\" y1=\"")
            .number(y)
            .markup("\" y2=\"")
            .number(y)
            .markup("\"/>");
        html.markup("<text x=\"60\" text-anchor=\"end\" y=\"").number(y + 4.0).around(
            "\">",
            &(drawing.unit)(top * part),
            "</text>",
        );
    }
    for (part, start) in [
        (0.0, "<text text-anchor=\"start\" y=\"156\" x=\""),
        (0.5, "<text text-anchor=\"middle\" y=\"156\" x=\""),
        (1.0, "<text text-anchor=\"end\" y=\"156\" x=\""),
    ] {
        html.markup(start).number(LEFT + (RIGHT - LEFT) * part).around(
            "\">",
            &duration((end * part) as u64),
            "</text>",
        );
    }
    let classes = [
        ("<polyline class=\"one\" points=\"", "<circle class=\"one\" r=\"3\" cx=\""),
        ("<polyline class=\"two\" points=\"", "<circle class=\"two\" r=\"3\" cx=\""),
    ];
    for ((_, points), (line, dot)) in drawing.curves.iter().zip(classes) {
        let place = |(moment, value): &(f64, f64)| {
            (LEFT + (RIGHT - LEFT) * (moment / end).min(1.0), BOTTOM - (BOTTOM - TOP) * (value / top))
        };
        if let [one] = points.as_slice() {
            let (x, y) = place(one);
            html.markup(dot).number(x).markup("\" cy=\"").number(y).markup("\"/>");
            continue;
        }
        html.markup(line);
        for (x, y) in points.iter().map(place) {
            html.number(x).markup(",").number(y).markup(" ");
        }
        html.markup("\"/>");
    }
    html.markup("</svg>\n<figcaption>");
    let keys = [
        "<svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><line class=\"one\" x1=\"0\" x2=\"24\" y1=\"4\" y2=\"4\"/></svg> ",
        "<svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><line class=\"two\" stroke-dasharray=\"5 3\" x1=\"0\" x2=\"24\" y1=\"4\" y2=\"4\"/></svg> ",
    ];
    for ((name, _), key) in drawing.curves.iter().zip(keys) {
        html.markup(key).text(name).markup(" &nbsp; ");
    }
    html.text(&drawing.about).markup("</figcaption></figure>\n");
}

/// The next round number: 1, 2 or 5 with zeros.
fn round_up(value: f64) -> f64 {
    let base = 10f64.powf(value.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|step| step * base);
    round.into_iter().find(|round| *round >= value).unwrap_or(value)
}
