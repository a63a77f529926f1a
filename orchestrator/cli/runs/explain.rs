//! `waybill runs explain`: the one answer.

use clap::Args;
use waybill_protocol::Result;

use super::archive::resolve;
use super::look::short_id;
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::explain::{Advice, Comparison, Explanation, Moment, explain as explained};
use crate::history::with_archive;
use crate::store::project::Project;
use crate::summary::RunStatus;
use crate::summary::units::{clock, counted};

/// Differences and warnings that are shown; the others are counted.
const SHOWN: usize = 12;

/// Explains a run.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
}

/// Explains a run.
pub(super) fn explain(terminal: &Terminal, project: &Project, args: &ExplainArgs) -> Result<u8> {
    let answer = with_archive(project, |archive| {
        let entry = resolve(archive, &args.run)?;
        explained(archive, &entry)
    })?;
    if terminal.json_wanted() {
        terminal.json(&answer)?;
    } else {
        terminal.out(&render(terminal, project, &answer))?;
    }
    Ok(0)
}

pub(super) fn render(terminal: &Terminal, project: &Project, answer: &Explanation) -> String {
    let mut out = Out { terminal, lines: Vec::new() };
    verdict(&mut out, answer);
    if let Some(class) = &answer.class {
        out.title("class");
        out.item(&format!("{}: {}", class.kind.word(), class.words));
    }
    out.list("also failed", &answer.others);
    led_to(&mut out, answer);
    under_way(&mut out, answer);
    unusual(&mut out, answer);
    differences(&mut out, project, answer);
    warnings(&mut out, answer);
    again(&mut out, project, answer);
    record(&mut out, answer);
    out.lines.join("\n")
}

/// Lines under titles.
struct Out<'a> {
    terminal: &'a Terminal,
    lines: Vec<String>,
}

impl Out<'_> {
    fn title(&mut self, title: &str) {
        self.lines.push(String::new());
        self.lines.push(self.terminal.paint("1", title));
    }

    fn item(&mut self, text: &str) {
        self.lines.push(format!("  {}", visible(text)));
    }

    fn list(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.title(title);
        items.iter().take(SHOWN).for_each(|item| self.item(item));
        if items.len() > SHOWN {
            self.item(&format!("… and {} more", items.len() - SHOWN));
        }
    }
}

fn verdict(out: &mut Out<'_>, answer: &Explanation) {
    let code = match answer.run.status {
        RunStatus::Succeeded => "1;32",
        RunStatus::Running => "1;36",
        RunStatus::Cancelled => "1;33",
        _ => "1;31",
    };
    for (at, line) in answer.verdict.iter().enumerate() {
        let line = visible(line);
        out.lines.push(if at == 0 { out.terminal.paint(code, &line) } else { line });
    }
}

fn led_to(out: &mut Out<'_>, answer: &Explanation) {
    if answer.led_to.is_empty() {
        return;
    }
    out.title("what led to it");
    let rows = answer.led_to.iter().map(row).collect();
    let table = out.terminal.table(&[], rows);
    out.lines.extend(table.lines().map(|line| format!("  {line}")));
}

fn row(moment: &Moment) -> Vec<String> {
    let mut text = String::new();
    if let Some(stream) = &moment.stream {
        text.push_str(&format!("{}: ", visible(stream)));
    }
    text.push_str(&visible(&moment.message));
    if let Some(attempt) = moment.attempt.filter(|attempt| *attempt > 1) {
        text.push_str(&format!(" (attempt {attempt})"));
    }
    if let Some(detail) = &moment.detail {
        let short: String = visible(detail).chars().take(160).collect();
        text.push_str(&format!(": {short}"));
    }
    vec![clock(moment.t_ms), moment.role.word().to_owned(), moment.event.clone(), text]
}

fn under_way(out: &mut Out<'_>, answer: &Explanation) {
    if answer.under_way.is_empty() {
        return;
    }
    let title = match answer.run.status {
        RunStatus::Running => "under way",
        _ => "under way when it broke off",
    };
    out.title(title);
    for way in &answer.under_way {
        let detail = way.detail.as_ref().map(|detail| {
            let short: String = visible(detail).chars().take(200).collect();
            format!("  [{short}]")
        });
        out.item(&format!("{}{}", way.text, detail.unwrap_or_default()));
    }
}

/// What neither the warnings nor the differences below say.
fn unusual(out: &mut Out<'_>, answer: &Explanation) {
    let differs = |text: &String| {
        answer
            .comparison
            .iter()
            .flat_map(Comparison::notable)
            .any(|difference| text.ends_with(&difference.text))
    };
    let warned = |text: &String| answer.warnings.iter().any(|warning| text.ends_with(&warning.message));
    let rest: Vec<String> =
        answer.unusual.iter().filter(|text| !differs(text) && !warned(text)).cloned().collect();
    out.list("what was unusual", &rest);
}

fn differences(out: &mut Out<'_>, project: &Project, answer: &Explanation) {
    let Some(comparison) = &answer.comparison else {
        if answer.run.status != RunStatus::Succeeded {
            out.title("no run of this connection succeeded before it, as far as the record goes");
        }
        return;
    };
    let ids = (short_id(&comparison.before.run_id), short_id(&comparison.after.run_id));
    let title = format!(
        "what differs from the last good run ({}, {})",
        ids.0,
        super::look::to_second(&comparison.before.started_at)
    );
    out.title(&title);
    let notable: Vec<_> = comparison.notable().collect();
    for difference in notable.iter().take(SHOWN) {
        out.item(&format!("{}: {}", difference.area.word(), difference.text));
    }
    let left = comparison.differences.len() - notable.len().min(SHOWN);
    if notable.is_empty() {
        out.item("nothing of note");
    }
    if left > 0 {
        let command = next::command(project, &format!("runs diff {} {}", ids.0, ids.1));
        out.item(&format!("{} that {}: {command}", counted(left as u64, "difference"), of_note(left)));
    }
    unknown(out, comparison);
}

fn of_note(number: usize) -> &'static str {
    if number == 1 { "is ordinary or not shown" } else { "are ordinary or not shown" }
}

fn unknown(out: &mut Out<'_>, comparison: &Comparison) {
    for unknown in &comparison.unknown {
        out.item(&format!("not compared: {unknown}"));
    }
}

fn warnings(out: &mut Out<'_>, answer: &Explanation) {
    let warning = |warning: &crate::summary::Warning| {
        let stream = warning.stream.as_ref().map(|s| format!("{}: ", visible(s))).unwrap_or_default();
        let times = if warning.times > 1 { format!(" (×{})", warning.times) } else { String::new() };
        format!("{stream}{}{times}", visible(&warning.message))
    };
    // What was survived on the way to the cause stands above already.
    let told = |warning: &&crate::summary::Warning| {
        answer.led_to.iter().any(|moment| moment.message.contains(&warning.message))
    };
    let rest: Vec<String> = answer.warnings.iter().filter(|one| !told(one)).map(warning).collect();
    out.list("warnings", &rest);
}

fn again(out: &mut Out<'_>, project: &Project, answer: &Explanation) {
    let word = match answer.retry.advice {
        Advice::NotNeeded | Advice::Wait => None,
        Advice::Sensible => Some("yes"),
        Advice::AfterChange => Some("not as it is"),
    };
    if let Some(word) = word {
        out.title("does trying again make sense?");
        out.item(&format!("{word}: {}", answer.retry.why));
    }
    if answer.remedies.is_empty() {
        return;
    }
    out.title("what to do");
    for remedy in &answer.remedies {
        out.item(&remedy.text);
        let command = remedy.command.as_ref().map(|command| match command.strip_prefix("waybill ") {
            Some(words) => next::command(project, words),
            None => command.clone(),
        });
        out.lines
            .extend(command.map(|command| format!("    {}", out.terminal.paint("36", &visible(&command)))));
    }
}

fn record(out: &mut Out<'_>, answer: &Explanation) {
    let record = &answer.record;
    out.lines.push(String::new());
    let run = format!("run {} · {} UTC", answer.run.run_id, super::look::to_second(&answer.run.started_at));
    let made = match (record.summary, record.log) {
        (true, true) => format!("summary and {} of its log", counted(record.lines, "line")),
        (false, true) => format!("{} of its log alone: there is no summary", counted(record.lines, "line")),
        (true, false) => "its summary alone: the log is gone".to_owned(),
        (false, false) => "nothing".to_owned(),
    };
    out.lines.push(out.terminal.paint("2", &format!("{run} · from {made}")));
    for damage in &record.damage {
        out.lines.push(out.terminal.paint("2", &format!("damaged: {}", visible(damage))));
    }
}
