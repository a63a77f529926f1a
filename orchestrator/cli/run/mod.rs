//! `waybill run`: runs connections to their end, with live progress and a report.

mod gate;
mod what;

use std::io::IsTerminal;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde::Serialize;
use waybill_protocol::{Error, ErrorRecord, Result};

use super::progress;
use super::terminal::Terminal;
use crate::run::{Answer, Ended, Options, Stop};
use crate::store::config;
use crate::store::project::Project;
use crate::summary::Summary;

pub use crate::run::worst;
pub use what::{LONGEST_S, WhatFlags};

/// How long the last lines of progress may take to be shown.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["names", "all"]))]
pub struct RunArgs {
    /// The connections
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Every connection that is enabled
    #[arg(long, conflicts_with_all = ["names", "run_id"])]
    all: bool,
    /// Of several connections, run the others where one cannot be reached; else everything that they
    /// need is tested first, and none is run where something fails
    #[arg(long)]
    no_gate: bool,
    #[command(flatten)]
    what: WhatFlags,
}

/// Runs connections, one after another.
pub async fn run(terminal: &Terminal, project: &Project, args: RunArgs) -> Result<u8> {
    let mut codes = Vec::new();
    let mut answers = Vec::new();
    let several = args.all || args.names.len() > 1;
    let names = match args.all {
        true => enabled(terminal, project, &mut codes, &mut answers)?,
        false => once_each(args.names),
    };
    if names.len() > 1 && args.what.run_id.is_some() {
        return Ok(terminal.usage("run", "--run-id is the id of one run: name one connection"));
    }
    let stop = listen(terminal)?;
    let options = args.what.options();
    if names.len() > 1 && !args.no_gate {
        match gate::gate(terminal, project, &names, args.all, &stop).await? {
            gate::Verdict::Open => {}
            gate::Verdict::Stopped(code) => return Ok(code),
            gate::Verdict::Shut(told) => {
                if terminal.json_wanted() {
                    answers.extend(told);
                    terminal.json(&answers)?;
                }
                return Ok(gate::CHECK_FAILED);
            }
        }
    }
    for (place, name) in names.iter().enumerate() {
        if stop.reason().is_some() {
            terminal.note(&format!("not begun: {}", names.get(place..).unwrap_or_default().join(", ")));
            codes.extend(stop.reason().map(|reason| reason.exit_code()));
            break;
        }
        let answer = one(terminal, project, name, &options, &stop).await;
        codes.push(exit_code(&answer));
        match (terminal.json_wanted(), several) {
            (true, true) => answers.push(told(terminal, name, answer)),
            (true, false) => single(terminal, answer)?,
            (false, _) => report(terminal, answer, place > 0)?,
        }
    }
    if terminal.json_wanted() && several {
        terminal.json(&answers)?;
    }
    Ok(worst(codes))
}

/// What became of one of several connections, with `--output json`.
#[derive(Debug, Serialize)]
struct Told {
    connection: Option<String>,
    exit_code: u8,
    summary: Option<Box<Summary>>,
    error: Option<ErrorRecord>,
}

/// The connections of `--all`. An entry that is wrong is told, counts, and stops no other.
fn enabled(
    terminal: &Terminal,
    project: &Project,
    codes: &mut Vec<u8>,
    answers: &mut Vec<Told>,
) -> Result<Vec<String>> {
    let config = config::load(project)?;
    for invalid in config.invalid() {
        let error = invalid.error();
        terminal.error(&error);
        codes.push(error.exit_code());
        let (connection, exit_code) = (invalid.name.clone(), error.exit_code());
        answers.push(Told { connection, exit_code, summary: None, error: Some(error.record()) });
    }
    let (on, off): (Vec<_>, Vec<_>) = config.valid().partition(|connection| connection.enabled);
    if !off.is_empty() {
        let names: Vec<&str> = off.iter().map(|connection| connection.name.as_str()).collect();
        terminal.note(&format!("not enabled: {}", names.join(", ")));
    }
    if on.is_empty() && codes.is_empty() {
        return Err(Error::config(format!("{}: no connection is enabled", config.path.display()))
            .hint("add a connection to the config, or set \"enabled\": true on one"));
    }
    Ok(on.into_iter().map(|connection| connection.name.clone()).collect())
}

fn once_each(names: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// Turns signals into requests to stop; the first one is answered with how to stop at once.
pub(super) fn listen(terminal: &Terminal) -> Result<Stop> {
    let stop = Stop::new();
    stop.listen().map_err(|e| Error::internal(format!("cannot listen to signals: {e}")).cause(e))?;
    let (first, terminal) = (stop.clone(), terminal.clone());
    tokio::spawn(async move {
        first.orderly().cancelled().await;
        if let Some(reason) = first.reason() {
            let why = reason.word();
            terminal.note(&match reason {
                Ended::Budget => format!("{why} used up: stopping at the last safe point"),
                _ => format!("{why}: stopping at the last safe point; once more (Ctrl-C) stops at once"),
            });
        }
    });
    Ok(stop)
}

/// Runs one connection with its progress on the terminal.
async fn one(terminal: &Terminal, project: &Project, name: &str, options: &Options, stop: &Stop) -> Answer {
    let waiting = options.wait_lock.is_some_and(|wait| !wait.is_zero());
    let (reporters, behind) = match progress::reporter(terminal, name, waiting) {
        Some((reporter, behind)) => (vec![reporter], Some(behind)),
        None => (Vec::new(), None),
    };
    let answer = crate::run::run(project, name, options, reporters, stop).await;
    if let Some(behind) = behind {
        behind.finish(LAST_LINES);
    }
    answer
}

/// The exit code of an answer. A summary without one is that of a run that was killed.
pub(super) fn exit_code(answer: &Answer) -> u8 {
    match answer {
        Answer::Ran(summary) | Answer::Recorded(summary) => summary.exit_code.unwrap_or(1),
        Answer::Refused(error) => error.exit_code(),
    }
}

fn recorded(terminal: &Terminal, answer: &Answer) {
    if let Answer::Recorded(summary) = answer {
        terminal.note(&format!(
            "run {} has finished before ({}): this is its record, nothing was run",
            summary.run_id, summary.finished_at
        ));
    }
}

fn report(terminal: &Terminal, answer: Answer, again: bool) -> Result<()> {
    recorded(terminal, &answer);
    match answer {
        Answer::Ran(summary) | Answer::Recorded(summary) => {
            let gap = if again { "\n" } else { "" };
            terminal.out(&format!("{gap}{}", painted(terminal, &summary.report)))
        }
        Answer::Refused(error) => {
            terminal.error(&error);
            Ok(())
        }
    }
}

/// The report; where colours are wanted, its words of warning have one.
pub(super) fn painted(terminal: &Terminal, report: &[String]) -> String {
    let words = [("error:", "1;31"), ("warning:", "33"), ("next:", "36"), ("log:", "2")];
    let paint = |line: &String| {
        for (word, colour) in words {
            if let Some((space, rest)) = line.split_once(word).filter(|(space, _)| space.trim().is_empty()) {
                return format!("{space}{}{rest}", terminal.paint(colour, word));
            }
        }
        line.clone()
    };
    report.iter().map(paint).collect::<Vec<_>>().join("\n")
}

fn single(terminal: &Terminal, answer: Answer) -> Result<()> {
    recorded(terminal, &answer);
    match answer {
        Answer::Ran(summary) | Answer::Recorded(summary) => {
            if terminal.live() && !std::io::stdout().is_terminal() {
                terminal.note(summary.report.first().map_or("", String::as_str));
            }
            terminal.json(&summary)
        }
        Answer::Refused(error) => {
            terminal.error(&error);
            Ok(())
        }
    }
}

fn told(terminal: &Terminal, name: &str, answer: Answer) -> Told {
    recorded(terminal, &answer);
    let exit_code = exit_code(&answer);
    let (summary, error) = match answer {
        Answer::Ran(summary) | Answer::Recorded(summary) => (Some(summary), None),
        Answer::Refused(error) => {
            terminal.error(&error);
            (None, Some(error.record()))
        }
    };
    Told { connection: Some(name.to_owned()), exit_code, summary, error }
}
