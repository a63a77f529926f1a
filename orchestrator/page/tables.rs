//! Tables: streams, state, warnings, settings, artifacts.

use serde_json::Value;
use waybill_protocol::event::Counts;

use super::Subject;
use super::head::more;
use super::html::{Html, cut};
use crate::summary::report::{moved, outcome};
use crate::summary::units::{bytes, count, duration, per_second};
use crate::summary::{StateChange, StreamStats, Summary};

/// Bytes that each table may take.
const STREAMS: usize = 120 << 10;
const STATE: usize = 80 << 10;
const WARNINGS: usize = 50 << 10;
const SETTINGS: usize = 60 << 10;
const ARTIFACTS: usize = 8 << 10;
/// Letters of a name, and of a value.
const NAME: usize = 200;
const VALUE: usize = 2_000;

/// What was loaded of each stream.
pub(super) fn streams(html: &mut Html, summary: &Summary) {
    html.markup(
        "<section id=\"streams\" aria-labelledby=\"h-streams\">\n<h2 id=\"h-streams\">Streams</h2>\n",
    );
    if summary.stats.streams.is_empty() {
        html.markup("<p class=\"soft\">No stream was planned.</p></section>\n");
        return;
    }
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Streams\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">stream</th><th scope=\"col\">how it ended</th><th scope=\"col\">how</th><th scope=\"col\">table</th>");
    let columns = columns(summary);
    for (head, _) in &columns {
        html.around("<th scope=\"col\" class=\"n\">", head, "</th>");
    }
    html.markup("</tr></thead><tbody>\n");
    let left_out = html.within(STREAMS, &summary.stats.streams, |html, (name, stats)| {
        stream(html, summary, &columns, name, stats)
    });
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">Streams: ", "</p>");
    html.markup("</section>\n");
}

/// A column of figures: its head, and what it says of a stream.
type Column = (&'static str, fn(&StreamStats, &Counts) -> String);

/// The columns of figures; those in which no stream has anything are left out.
fn columns(summary: &Summary) -> Vec<Column> {
    let any = |of: fn(&Counts) -> u64| summary.progress_counts.values().any(|counts| of(counts) > 0);
    let mut columns: Vec<Column> =
        vec![("read", |_, counts| count(counts.rows_read)), ("loaded", |stats, _| count(stats.figures.rows))];
    if any(|counts| counts.rows_known) {
        columns.push(("known already", |_, counts| count(counts.rows_known)));
    }
    if any(|counts| counts.rows_rejected) {
        columns.push(("rejected", |_, counts| count(counts.rows_rejected)));
    }
    if any(|counts| counts.values_coerced) {
        columns.push(("changed to fit", |_, counts| count(counts.values_coerced)));
    }
    if any(|counts| counts.rows_null_cursor) {
        columns.push(("without cursor", |_, counts| count(counts.rows_null_cursor)));
    }
    columns.extend::<[Column; 5]>([
        ("volume", |stats, _| bytes(stats.figures.bytes)),
        ("took", |stats, _| duration((stats.figures.seconds * 1000.0).round() as u64)),
        ("rate", |stats, _| {
            let figures = &stats.figures;
            if figures.seconds > 0.0 { per_second(figures.rows_per_second, count) } else { String::new() }
        }),
        ("commits", |_, counts| count(counts.commits)),
        ("attempts", |stats, _| stats.attempts.to_string()),
    ]);
    columns
}

fn stream(html: &mut Html, summary: &Summary, columns: &[Column], name: &str, stats: &StreamStats) {
    let counts = summary.progress_counts.get(name).copied().unwrap_or_default();
    let word = outcome(stats, summary.status);
    html.around("<tr><th scope=\"row\" class=\"data\">", &cut(name, NAME), "</th>");
    html.markup(match word {
        "loaded" => "<td class=\"good\">",
        "FAILED" | "interrupted" => "<td class=\"bad\">",
        _ => "<td>",
    });
    html.text(&word.to_lowercase()).markup("</td>");
    let how = match (stats.mode, stats.write) {
        (Some(mode), Some(write)) => format!("{mode}, {write}"),
        _ => String::new(),
    };
    html.around("<td>", &how, "</td>");
    html.around("<td class=\"data\">", &cut(stats.table.as_deref().unwrap_or_default(), NAME), "</td>");
    for (_, cell) in columns {
        html.around("<td class=\"n\">", &cell(stats, &counts), "</td>");
    }
    html.markup("</tr>\n");
    if stats.rows_unpublished > 0 {
        let what = format!(
            "{} rows stand in a staging table that was never published: the table is as it was",
            count(stats.rows_unpublished)
        );
        html.around("<tr><td></td><td colspan=\"12\" class=\"warn\">", &what, "</td></tr>\n");
    }
}

/// State before and after.
pub(super) fn state(html: &mut Html, summary: &Summary) {
    html.markup("<section id=\"state\" aria-labelledby=\"h-state\">\n<h2 id=\"h-state\">State</h2>\n");
    let known: Vec<(&String, &StateChange)> = summary
        .state
        .iter()
        .filter(|(_, change)| change.before.is_some() || change.after.is_some())
        .collect();
    if known.is_empty() {
        html.markup("<p class=\"soft\">No stream keeps state: each was read as a whole, or nothing was committed.</p></section>\n");
        return;
    }
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"State\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">stream</th><th scope=\"col\">before → after</th><th scope=\"col\">before, in full</th><th scope=\"col\">after, in full</th></tr></thead><tbody>\n");
    let left_out = html.within(STATE, known, |html, (name, change)| {
        html.around("<tr><th scope=\"row\" class=\"data\">", &cut(name, NAME), "</th>");
        html.around("<td class=\"data\">", &cut(&moved(change).unwrap_or_default(), VALUE), "</td>");
        for side in [&change.before, &change.after] {
            match side {
                Some(state) => html.around(
                    "<td><details><summary>shown</summary><pre class=\"data\">",
                    &cut(&json(state), VALUE),
                    "</pre></details></td>",
                ),
                None => html.markup("<td class=\"soft\">none</td>"),
            };
        }
        html.markup("</tr>\n");
    });
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">Streams: ", "</p>");
    html.markup("</section>\n");
}

fn json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What a person should know although it did not stop the run.
pub(super) fn warnings(html: &mut Html, summary: &Summary) {
    html.markup(
        "<section id=\"warnings\" aria-labelledby=\"h-warnings\">\n<h2 id=\"h-warnings\">Warnings</h2>\n",
    );
    let rejected = summary.rows_rejected();
    if rejected > 0 {
        let place = summary.artifacts.get("rejects").map(|path| format!(", see {path}")).unwrap_or_default();
        html.around(
            "<p class=\"warn data\">",
            &format!("rows rejected and not loaded: {}{place}", count(rejected)),
            "</p>",
        );
    }
    if summary.warnings.is_empty() {
        html.markup(if rejected > 0 { "</section>\n" } else { "<p class=\"soft\">None.</p></section>\n" });
        return;
    }
    html.markup("<div class=\"box warnings\"><ul>");
    let left_out = html.within(WARNINGS, &summary.warnings, |html, warning| {
        html.markup("<li>");
        if let Some(stream) = &warning.stream {
            html.around("<span class=\"data\">", &cut(stream, NAME), "</span>: ");
        }
        html.around("<span class=\"data\">", &cut(&warning.message, VALUE), "</span>");
        if warning.times > 1 {
            html.around(" <span class=\"soft\">×", &count(warning.times), "</span>");
        }
        if let Some(hint) = &warning.hint {
            html.around("<br><span class=\"next data\">Next: ", &cut(hint, VALUE), "</span>");
        }
        html.markup("</li>");
    });
    html.markup("</ul>");
    let told: u64 = summary
        .warnings
        .iter()
        .take(summary.warnings.len() - left_out)
        .map(|warning| warning.times)
        .fold(0, u64::saturating_add);
    more(html, summary.warnings_total.saturating_sub(told), "<p class=\"soft\">", "</p>");
    html.markup("</div></section>\n");
}

/// Settings in force, as the log has them: secrets are redacted there.
pub(super) fn settings(html: &mut Html, summary: &Summary, settings: &Value) {
    html.markup(
        "<section id=\"settings\" aria-labelledby=\"h-settings\">\n<h2 id=\"h-settings\">Settings</h2>\n",
    );
    html.around(
        "<p class=\"soft\">As they were in force, without secrets. Digest of the config entry: ",
        &summary.config_hash,
        ".</p>\n",
    );
    let Some(members) = settings.as_object().filter(|members| !members.is_empty()) else {
        html.markup("<p class=\"soft\">The record does not have them.</p></section>\n");
        return;
    };
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Settings\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">setting</th><th scope=\"col\">value</th><th scope=\"col\">from</th></tr></thead><tbody>\n");
    let left_out = html.within(SETTINGS, members, |html, (name, setting)| {
        let value = setting.get("value").unwrap_or(setting);
        let origin = setting.get("origin").and_then(Value::as_str).unwrap_or_default();
        html.around("<tr><th scope=\"row\" class=\"data\">", &cut(name, NAME), "</th>");
        match value {
            Value::Array(_) | Value::Object(_) => {
                let text = cut(&json(value), 20 * VALUE);
                html.around(
                    "<td><details><summary>shown</summary><pre class=\"data\">",
                    &text,
                    "</pre></details></td>",
                )
            }
            Value::String(text) => html.around("<td class=\"data\">", &cut(text, VALUE), "</td>"),
            Value::Null => html.markup("<td class=\"soft\">none</td>"),
            other => html.around("<td class=\"data\">", &other.to_string(), "</td>"),
        };
        html.around("<td class=\"data\">", &cut(origin, NAME), "</td></tr>\n");
    });
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">Settings: ", "</p>");
    html.markup("</section>\n");
}

/// What the run left on disk.
pub(super) fn artifacts(html: &mut Html, subject: &Subject<'_>) {
    html.markup(
        "<section id=\"artifacts\" aria-labelledby=\"h-artifacts\">\n<h2 id=\"h-artifacts\">Artifacts</h2>\n",
    );
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Artifacts\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">what</th><th scope=\"col\">path</th><th scope=\"col\">when this page was made</th></tr></thead><tbody>\n");
    let left_out = html.within(ARTIFACTS, &subject.artifacts, |html, (kind, path, there)| {
        html.around("<tr><th scope=\"row\">", kind, "</th>");
        html.around("<td class=\"data mono\">", &cut(&path.display().to_string(), VALUE), "</td>");
        html.markup(if *there {
            "<td>there</td></tr>\n"
        } else {
            "<td class=\"soft\">not there</td></tr>\n"
        });
    });
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">", "</p>");
    html.markup("</section>\n");
}
