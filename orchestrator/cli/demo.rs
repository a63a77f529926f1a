//! `waybill demo`: makes a small project with real data, runs it, and shows what is where.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use waybill_protocol::Result;

use super::next::quoted;
use super::run::{exit_code, listen, worst};
use super::terminal::Terminal;
use crate::demo::{CREDIT, DATABASE, Demo, EARTHQUAKES, PLACES};
use crate::run::{Answer, Stop};
use crate::store::project::Project;
use crate::summary::units::{count, counted, duration};
use crate::summary::{RunStatus, Summary};

/// Variables that the demonstration ignores and that later commands in its folder follow.
const REDIRECTIONS: [&str; 5] =
    ["ORCH_CONFIG_PATH", "SECRETS_PATH", "RUNS_DIR", "RUN_LOGS_DIR", "WAYBILL_DESTINATION__LOCAL__PATH"];

/// Makes a small project with real data, runs it, and shows what is where.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The folder to make
    #[arg(value_name = "DIR", default_value = "waybill-demo")]
    dir: PathBuf,
}

/// Makes the project, runs it, and tells what happened; exits with the code of the worst run.
pub async fn demo(terminal: &Terminal, here: &Project, args: DemoArgs) -> Result<u8> {
    let demo = Demo::create(&args.dir)?;
    let stop = listen(terminal)?;
    let mut show = Show { terminal, summaries: Vec::new(), codes: Vec::new() };
    show.line(&format!(
        "A project with real data, in {}. No server and no network are needed.\n\n",
        args.dir.display()
    ))?;
    play(&demo, &stop, &mut show).await?;
    let code = worst(show.codes.iter().copied());
    if terminal.json_wanted() {
        terminal
            .json(&json!({"project_dir": demo.project.dir, "exit_code": code, "runs": show.summaries}))?;
        return Ok(code);
    }
    show.line(&places(&args.dir, &show.summaries))?;
    show.line(&next_steps(&program(), &args.dir))?;
    show.line(&format!(
        "The data are real.\n{CREDIT}\nMore in {}.",
        args.dir.join("data/ORIGIN.md").display()
    ))?;
    for name in REDIRECTIONS.iter().filter(|name| here.env.get(name).is_some()) {
        terminal.warn(&format!("{name} is set: the demo ignored it, the commands above will follow it"));
    }
    Ok(code)
}

/// What is shown while the demonstration goes on, and what is kept for the end.
struct Show<'a> {
    terminal: &'a Terminal,
    summaries: Vec<Summary>,
    codes: Vec<u8>,
}

impl Show<'_> {
    fn line(&self, text: &str) -> Result<()> {
        if self.terminal.json_wanted() { Ok(()) } else { self.terminal.out(text) }
    }

    /// Runs a connection and says what came of it. `why` is told of a run that succeeded.
    async fn run(
        &mut self,
        demo: &Demo,
        connection: &str,
        stop: &Stop,
        why: impl FnOnce(&Summary) -> String,
    ) -> Result<()> {
        let answer = demo.run(connection, stop).await;
        self.codes.push(exit_code(&answer));
        match answer {
            Answer::Ran(summary) | Answer::Recorded(summary) => {
                if summary.status == RunStatus::Succeeded {
                    self.line(&format!("   {}\n\n", why(&summary)))?;
                } else {
                    self.line(&format!("   {}\n\n", summary.report.join("\n   ")))?;
                }
                self.summaries.push(*summary);
            }
            Answer::Refused(error) => self.terminal.error(&error),
        }
        Ok(())
    }
}

async fn play(demo: &Demo, stop: &Stop, show: &mut Show<'_>) -> Result<()> {
    show.line(
        "1. places: data/places.csv into the table places, all of it every time (full_refresh, overwrite)",
    )?;
    let whole = |summary: &Summary| {
        format!(
            "{} The rows went into a table beside it, which then took its place\n   \
             in one transaction: whoever reads sees the old rows or the new ones, never a half.",
            loaded(summary)
        )
    };
    show.run(demo, PLACES, stop, whole).await?;
    if stop.reason().is_some() {
        return Ok(());
    }
    show.line(
        "2. earthquakes: data/earthquakes.jsonl into the table earthquakes (incremental, merge by id)",
    )?;
    let first = |summary: &Summary| {
        format!(
            "{} How far the file was read is committed together with the rows,\n   \
             so the two can never disagree, whatever is killed and whenever.",
            loaded(summary)
        )
    };
    show.run(demo, EARTHQUAKES, stop, first).await?;
    if stop.reason().is_some() {
        return Ok(());
    }
    let added = demo.append_later()?;
    show.line(&format!("3. earthquakes again, after {added} later ones were appended to the file"))?;
    let later = |summary: &Summary| {
        format!(
            "{} No more than {} were read: the part of the file\n   \
             that was loaded before was recognised by its digest and left alone.",
            loaded(summary),
            count(read(summary))
        )
    };
    show.run(demo, EARTHQUAKES, stop, later).await
}

fn loaded(summary: &Summary) -> String {
    let took = duration((summary.stats.total.seconds * 1000.0).round() as u64);
    format!("{} loaded in {took}.", counted(summary.rows(), "row"))
}

fn read(summary: &Summary) -> u64 {
    summary.progress_counts.values().map(|counts| counts.rows_read).sum()
}

/// Where everything lies.
fn places(dir: &Path, summaries: &[Summary]) -> String {
    let mut rows = vec![
        ("database", dir.join(DATABASE).display().to_string()),
        ("config", format!("{} (with how far each file was read)", dir.join("config.json").display())),
        ("secrets", format!("{} (mode 0600; none are needed here)", dir.join("secrets.toml").display())),
    ];
    for (what, kind) in [("summaries", "summary"), ("event logs", "log")] {
        let mut folders: Vec<String> = summaries
            .iter()
            .filter_map(|summary| Path::new(summary.artifacts.get(kind)?).parent())
            // As the folder was named, not as it was resolved.
            .map(|folder| {
                let inside: Vec<_> = folder.components().rev().take(2).collect();
                inside
                    .into_iter()
                    .rev()
                    .fold(dir.to_path_buf(), |path, part| path.join(part))
                    .display()
                    .to_string()
            })
            .collect();
        folders.dedup();
        rows.push((what, folders.join(", ")));
    }
    let lines: Vec<String> = rows.iter().map(|(what, place)| format!("  {what:<11} {place}")).collect();
    format!("Where everything lies:\n{}\n\n", lines.join("\n"))
}

/// Commands that work in the folder as they stand.
fn next_steps(program: &str, dir: &Path) -> String {
    let at = format!("--project-dir {}", quoted(&dir.to_string_lossy()));
    let steps = [
        (format!("{program} runs list {at}"), "the three runs"),
        (format!("{program} runs show last {at}"), "the summary of the last one"),
        (format!("{program} runs events last {at}"), "its event log, line by line"),
        (
            format!("{program} connection preview places places --limit 3 {at}"),
            "rows of the source, nothing is loaded",
        ),
        (format!("{program} run --all {at}"), "once more: no earthquake is new now"),
    ];
    let lines: Vec<String> =
        steps.iter().map(|(command, what)| format!("  {command}\n      {what}")).collect();
    format!("Try next:\n{}\n\n", lines.join("\n"))
}

/// This program as it was called, so that the commands shown can be copied.
fn program() -> String {
    let called = std::env::args_os().next().map(|name| name.to_string_lossy().into_owned());
    called.filter(|name| !name.is_empty()).map_or_else(|| "waybill".to_owned(), |name| quoted(&name))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    #[test]
    fn the_commands_shown_are_commands() {
        let shown = next_steps("waybill", Path::new("some-where"));
        let commands: Vec<&str> = shown.lines().filter(|line| line.starts_with("  waybill ")).collect();
        assert_eq!(commands.len(), 5, "{shown}");
        for command in commands {
            let parsed = Cli::try_parse_from(command.split_whitespace());
            assert!(parsed.is_ok_and(|cli| cli.command.is_some()), "{command}");
        }
    }

    #[test]
    fn the_commands_shown_can_be_copied() {
        let shown = next_steps("target/release/waybill", Path::new("/tmp/it's here"));
        assert!(
            shown.contains(r"target/release/waybill runs list --project-dir '/tmp/it'\''s here'"),
            "{shown}"
        );
        assert_eq!(quoted("waybill-demo"), "waybill-demo");
        assert_eq!(quoted("--x;y"), "'--x;y'");
    }
}
