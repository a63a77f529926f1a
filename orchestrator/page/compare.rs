//! What differs from the last good run of the connection.

use super::Subject;
use super::head::more;
use super::html::{Html, cut};
use crate::explain::{Comparison, Difference};

/// Bytes for differences, and for what could not be compared.
const DIFFERENCES: usize = 60 << 10;
const UNKNOWN: usize = 4 << 10;

/// The section.
pub(super) fn section(html: &mut Html, subject: &Subject<'_>) {
    html.markup("<section id=\"differences\" aria-labelledby=\"h-differences\">\n<h2 id=\"h-differences\">Difference to the last good run</h2>\n");
    let Some(comparison) = subject.comparison else {
        html.markup("<p class=\"soft\">There is no record of an earlier run of this connection that succeeded.</p></section>\n");
        return;
    };
    let before = &comparison.before;
    html.around("<p class=\"soft data\">Run ", &cut(&before.run_id, 200), " of ");
    html.text(&super::head::moment(&before.started_at)).markup(".</p>\n");
    differences(html, comparison);
    let left_out = html.within(UNKNOWN, &comparison.unknown, |html, unknown| {
        html.around("<p class=\"soft data\">Not compared: ", &cut(unknown, 400), "</p>");
    });
    more(html, left_out as u64, "<p class=\"soft\">Not compared: ", "</p>");
    html.markup("</section>\n");
}

fn differences(html: &mut Html, comparison: &Comparison) {
    if comparison.differences.is_empty() {
        html.markup("<p>Nothing differs.</p>\n");
        return;
    }
    html.markup("<div class=\"wide\" role=\"region\" aria-label=\"Differences\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">about</th><th scope=\"col\">what differs</th><th scope=\"col\">worth a look</th></tr></thead><tbody>\n");
    let (first, last): (Vec<&Difference>, Vec<&Difference>) =
        comparison.differences.iter().partition(|difference| difference.notable);
    let left_out = html.within(DIFFERENCES, first.into_iter().chain(last), |html, difference| {
        html.around("<tr><th scope=\"row\">", difference.area.word(), "</th>");
        html.markup(if difference.notable { "<td class=\"data next\">" } else { "<td class=\"data\">" });
        html.text(&cut(&difference.text, 1_000)).markup("</td>");
        html.markup(if difference.notable {
            "<td class=\"warn\">yes</td></tr>\n"
        } else {
            "<td></td></tr>\n"
        });
    });
    html.markup("</tbody></table></div>\n");
    more(html, left_out as u64, "<p class=\"soft\">", "</p>");
}
