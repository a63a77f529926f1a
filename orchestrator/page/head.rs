//! The head of the page: how it ended, what failed, and what to do next.

use waybill_protocol::{ErrorRecord, Origin};

use super::Subject;
use super::gather::Gathered;
use super::html::{Html, cut};
use crate::events::line::stamp;
use crate::run::gate::QUARANTINED;
use crate::summary::report::{next_step, verdict};
use crate::summary::units::{bytes, count, counted, duration};
use crate::summary::{RunStatus, Summary};

/// Letters of a text that is one of many.
const LETTERS: usize = 2_000;
/// Bytes for the errors of streams, and for what is wrong with the log.
const ERRORS: usize = 60 << 10;
const DAMAGE: usize = 12 << 10;

/// Name, status, verdict, facts.
pub(super) fn header(html: &mut Html, subject: &Subject<'_>, gathered: &Gathered) {
    let summary = subject.summary;
    html.markup("<header>\n<h1>").around("<span class=\"data\">", &summary.connection, "</span> ");
    html.around("<span class=\"badge ", summary.status.word(), "\">").text(summary.status.word());
    html.markup(if summary.presumed { " (presumed)</span></h1>\n" } else { "</span></h1>\n" });
    html.around("<p class=\"verdict\">", &cut(&verdict(summary), LETTERS), "</p>\n");
    html.markup("<nav aria-label=\"Sections\"><ul>");
    for link in [
        "<li><a href=\"#timeline\">Time line</a></li>",
        "<li><a href=\"#curves\">Curves</a></li>",
        "<li><a href=\"#differences\">Differences</a></li>",
        "<li><a href=\"#streams\">Streams</a></li>",
        "<li><a href=\"#state\">State</a></li>",
        "<li><a href=\"#warnings\">Warnings</a></li>",
        "<li><a href=\"#settings\">Settings</a></li>",
        "<li><a href=\"#artifacts\">Artifacts</a></li>",
        "<li><a href=\"#log\">Events</a></li>",
    ] {
        html.markup(link);
    }
    html.markup("</ul></nav>\n");
    facts(html, summary);
    damage(html, subject, gathered);
    html.markup("</header>\n");
}

fn facts(html: &mut Html, summary: &Summary) {
    let total = &summary.stats.total;
    let mut facts = vec![
        ("run", summary.run_id.clone()),
        ("started", moment(&summary.started_at)),
        ("took", duration((total.seconds * 1000.0).round() as u64)),
        (
            "exit code",
            summary.exit_code.map_or_else(|| "none: it never said".to_owned(), |code| code.to_string()),
        ),
        ("loaded", format!("{}, {}", counted(total.rows, "row"), bytes(total.bytes))),
        ("from", summary.source.clone()),
        ("to", summary.destination.clone()),
        ("host and process", format!("{}, {}", summary.host, summary.pid)),
    ];
    if summary.stats.peak_memory_bytes > 0 {
        facts.push(("peak memory", bytes(summary.stats.peak_memory_bytes)));
    }
    facts.push(("events", count(summary.events)));
    facts.extend(summary.versions.iter().take(20).map(|(what, version)| {
        let what = match what.as_str() {
            "waybill" => "waybill",
            "source" => "source's version",
            _ => "destination's version",
        };
        (what, version.clone())
    }));
    if summary.options.as_object().is_some_and(|options| options.values().any(is_given)) {
        let given = summary.options.as_object().into_iter().flatten().filter(|(_, value)| is_given(value));
        let given: Vec<String> = given.map(|(name, value)| format!("{name}: {value}")).collect();
        facts.push(("asked for", given.join(", ")));
    }
    html.markup("<dl class=\"facts\">");
    for (name, value) in facts {
        html.around("<div><dt>", name, "</dt>").around(
            "<dd class=\"data\">",
            &cut(&value, 400),
            "</dd></div>",
        );
    }
    html.markup("</dl>\n");
}

fn is_given(value: &serde_json::Value) -> bool {
    !(value.is_null()
        || value == &serde_json::Value::Bool(false)
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty))
}

/// A moment of the record, for people.
pub(super) fn moment(text: &str) -> String {
    let known = chrono::DateTime::parse_from_rfc3339(text).map(|moment| stamp(&moment.to_utc()));
    known
        .ok()
        .and_then(|text| text.get(..23).map(|text| text.replace('T', " ") + " UTC"))
        .unwrap_or_else(|| text.to_owned())
}

/// What is wrong with the record itself.
fn damage(html: &mut Html, subject: &Subject<'_>, gathered: &Gathered) {
    let summary = subject.summary;
    if subject.log.is_none() {
        let aside = summary.artifacts.get("log").filter(|log| log.ends_with(QUARANTINED));
        html.markup(match aside {
            Some(_) => {
                "<div class=\"box plain\"><p>The event log was put aside, because a secret stands in it: "
            }
            None => "<div class=\"box plain\"><p>The event log is gone: ",
        });
        html.markup(
            "this page has what the summary tells, without time line, curves and events.</p></div>\n",
        );
        return;
    }
    let cut_off = !gathered.ended && summary.status != RunStatus::Running;
    if gathered.damage.is_empty() && !cut_off {
        return;
    }
    html.markup("<div class=\"box plain\"><h2>The log</h2><ul>");
    if cut_off {
        html.markup(
            "<li>It ends without run.finished: what the run did after its last line is not known.</li>",
        );
    }
    let left_out = html.within(DAMAGE, &gathered.damage, |html, what| {
        html.around("<li class=\"data\">", &cut(what, LETTERS), "</li>");
    });
    more(html, gathered.damage_left_out + left_out as u64, "<li>", "</li>");
    html.markup("</ul></div>\n");
}

/// Says how many more there are, where there are.
pub(super) fn more(html: &mut Html, left_out: u64, start: &'static str, end: &'static str) {
    if left_out > 0 {
        html.markup(start).text(&format!("… and {} more, left out here", count(left_out))).markup(end);
    }
}

/// The first cause, and why other streams failed.
pub(super) fn faults(html: &mut Html, summary: &Summary) {
    let first = summary.error.as_ref();
    let next = next_step(summary);
    if first.is_none() && summary.errors.is_empty() && next.is_none() && summary.interrupted.is_empty() {
        return;
    }
    html.markup(
        "<section id=\"error\" aria-labelledby=\"h-error\">\n<h2 id=\"h-error\">What went wrong</h2>\n",
    );
    if let Some(failure) = first {
        let phase = failure.phase.map(|phase| format!("in the step {}", phase.word()));
        fault(html, &failure.error, phase);
    }
    let others = summary.errors.values().filter(|error| first.is_none_or(|first| first.error != **error));
    let left_out = html.within(ERRORS, others, |html, error| fault(html, error, None));
    more(html, left_out as u64, "<p class=\"soft\">", "</p>");
    if !summary.interrupted.is_empty() {
        html.markup("<div class=\"box plain\"><h3>Under way when the log ended</h3><ul>");
        let left_out = html.within(DAMAGE, summary.interrupted.iter().rev(), |html, open| {
            html.markup("<li>");
            if let Some(stream) = &open.stream {
                html.around("<span class=\"data\">", &cut(stream, 200), "</span>: ");
            }
            html.around("<span class=\"data\">", &cut(&open.message, LETTERS), "</span>");
            html.text(&format!(" (since {})", crate::summary::units::clock(open.t_ms))).markup("</li>");
        });
        more(html, left_out as u64, "<li>", "</li>");
        html.markup("</ul></div>\n");
    }
    if let Some(next) = next {
        let next = next.strip_prefix("next: ").unwrap_or(&next);
        html.around("<p class=\"next data\">Next: ", &cut(next, LETTERS), "</p>\n");
    }
    html.markup("</section>\n");
}

fn fault(html: &mut Html, error: &ErrorRecord, place: Option<String>) {
    html.markup("<div class=\"box\">");
    if let Some(stream) = &error.stream {
        html.around("<h3 class=\"data\">", &cut(stream, 200), "</h3>");
    }
    html.around("<p class=\"bad data\">", &cut(&error.message, LETTERS), "</p>");
    let mut about = vec![format!("kind {}", error.kind.word())];
    about.extend(error.origin.map(|origin| match origin {
        Origin::Source => "from the source".to_owned(),
        Origin::Destination => "from the destination".to_owned(),
        Origin::Orchestrator => "from waybill or its host".to_owned(),
    }));
    about.extend(error.code.as_ref().map(|code| format!("code {code}")));
    about.extend(place);
    about.push(if error.retryable {
        "a later try may succeed".to_owned()
    } else {
        "unchanged, a later try fails again".to_owned()
    });
    html.around("<p class=\"soft data\">", &cut(&about.join(" · "), LETTERS), "</p>");
    let causes: Vec<&String> =
        error.cause.iter().filter(|cause| !error.message.contains(cause.as_str())).collect();
    if !causes.is_empty() {
        html.markup("<ul>");
        for cause in causes.into_iter().take(8) {
            html.around("<li class=\"data\">because: ", &cut(cause, LETTERS), "</li>");
        }
        html.markup("</ul>");
    }
    if let Some(hint) = &error.hint {
        html.around("<p class=\"next data\">Next: ", &cut(hint, LETTERS), "</p>");
    }
    html.markup("</div>\n");
}
