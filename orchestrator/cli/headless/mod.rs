//! `waybill headless`: the backend's door. One request, a stream of events, one answer.

mod events;
mod request;
mod response;
mod states;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use clap::Args;
use waybill_protocol::{Error, Result};

use super::args::PlaceFlags;
use super::progress::{Behind, detach};
use super::run::{WhatFlags, listen};
use super::terminal::Terminal;
use crate::events::Reporter;
use crate::run::{Answer, Options};
use crate::store::project::Project;
use crate::summary::units::counted;
use request::Request;
use response::Response;
use states::States;

/// How long a reader of events that does not read is waited for at the end.
const LAST_EVENTS: Duration = Duration::from_secs(10);

/// The arguments of `headless`.
#[derive(Debug, Args)]
pub struct HeadlessArgs {
    /// The connection
    #[arg(value_name = "NAME", required_unless_present = "request")]
    name: Option<String>,
    /// Read the request from a JSON document instead of flags: a file, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "streams", "full_refresh", "from", "to", "limit", "run_id", "timeout", "wait_lock"])]
    request: Option<String>,
    /// Write events as JSON lines to this open descriptor, such as 3
    #[arg(long, value_name = "N", conflicts_with = "events", help_heading = "Output")]
    events_fd: Option<u32>,
    /// Write events as JSON lines to a file, or to standard error for the word stderr
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    events: Option<String>,
    #[command(flatten)]
    what: WhatFlags,
}

/// The schema of a request.
pub(super) fn request_schema() -> schemars::Schema {
    schemars::schema_for!(Request)
}

/// The schema of an answer.
pub(super) fn response_schema() -> schemars::Schema {
    schemars::schema_for!(Response)
}

/// Answers a request: prints the one document, and returns its exit code.
pub fn headless(terminal: &Terminal, places: &PlaceFlags, args: HeadlessArgs) -> Result<u8> {
    let response = guarded(|known| respond(terminal, places, args, known));
    terminal.json(&response)?;
    Ok(response.exit_code)
}

/// An answer, also where the work ends in a panic.
fn guarded(work: impl FnOnce(&mut Known) -> Response) -> Response {
    let mut known = Known::default();
    catch_unwind(AssertUnwindSafe(|| work(&mut known))).unwrap_or_else(|_| {
        let error = Error::internal("a bug in waybill: the run ended in a panic").hint(
            "what was committed is safe, and the next run goes on from there; please report what standard error says",
        );
        Refusal::from(error).response(known)
    })
}

/// Answers wrong usage of `headless`, which its reader must be told as a document too.
pub(super) fn wrong_usage(terminal: &Terminal, message: &str) -> Result<u8> {
    let message = message.trim().trim_start_matches("error: ");
    let line = message.lines().next().unwrap_or_default();
    let error = Error::config(line).hint("waybill headless --help explains the flags");
    let response = Refusal { error, exit_code: super::USAGE }.response(Known::default());
    terminal.json(&response)?;
    Ok(response.exit_code)
}

/// What was known of a request when something went wrong.
#[derive(Default)]
struct Known {
    connection: Option<String>,
    run_id: Option<String>,
}

/// A request that did not become a run.
struct Refusal {
    error: Error,
    exit_code: u8,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { exit_code: error.exit_code(), error }
    }
}

impl Refusal {
    /// A request that is wrong in itself.
    fn usage(error: Error) -> Refusal {
        Refusal { error, exit_code: super::USAGE }
    }

    fn response(&self, known: Known) -> Response {
        Response::refused(&self.error, self.exit_code, known.connection, known.run_id)
    }
}

fn respond(terminal: &Terminal, places: &PlaceFlags, args: HeadlessArgs, known: &mut Known) -> Response {
    attempt(terminal, places, args, known).unwrap_or_else(|refusal| {
        terminal.error(&refusal.error);
        refusal.response(std::mem::take(known))
    })
}

fn attempt(
    terminal: &Terminal,
    places: &PlaceFlags,
    args: HeadlessArgs,
    known: &mut Known,
) -> Result<Response, Refusal> {
    let (stream, behind) = follower(&args).map_err(Refusal::usage)?.unzip();
    let (connection, options) = asked(args).map_err(Refusal::usage)?;
    known.connection = Some(connection.clone());
    known.run_id.clone_from(&options.run_id);
    let project = super::locate(places)?;
    let states = States::default();
    let mut reporters: Vec<Box<dyn Reporter>> = vec![Box::new(states.clone())];
    reporters.extend(stream);
    let answer = super::on_runtime(async {
        let stop = listen(terminal)?;
        Ok(crate::run::run(&project, &connection, &options, reporters, &stop).await)
    })?;
    let missed = behind.map_or(0, |behind| behind.finish(LAST_EVENTS));
    if missed > 0 {
        let events = counted(missed, "event");
        terminal.warn(&format!("the reader of the events did not take {events}; the log has them all"));
    }
    conclude(&project, answer, &states)
}

/// Where the events go, on a thread of their own: a backend that does not read must not hold up
/// the log.
fn follower(args: &HeadlessArgs) -> Result<Option<(Box<dyn Reporter>, Behind)>> {
    let stream = match (args.events_fd, &args.events) {
        (Some(number), _) => events::descriptor(number)?,
        (None, Some(place)) => events::named(place)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(detach(Box::new(stream))))
}

/// The connection and what is asked of it, by a document or by flags.
fn asked(args: HeadlessArgs) -> Result<(String, Options)> {
    if let Some(place) = &args.request {
        let request = Request::read(place)?;
        let options = request.options();
        return Ok((request.connection, options));
    }
    let name = args.name.ok_or_else(|| Error::config("the connection's name is missing"))?;
    Ok((name, args.what.options()))
}

fn conclude(project: &Project, answer: Answer, states: &States) -> Result<Response, Refusal> {
    match answer {
        Answer::Ran(summary) => {
            let updates = states.take(project, &summary.connection);
            Ok(Response::of(*summary, false, updates))
        }
        Answer::Recorded(summary) => {
            if let Some(log) = summary.artifacts.get("log") {
                states.read_log(&project.dir.join(log));
            }
            let updates = states.take(project, &summary.connection);
            Ok(Response::of(*summary, true, updates))
        }
        Answer::Refused(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_too() {
        let response = guarded(|known| {
            known.connection = Some("crm".to_owned());
            known.run_id = Some("r-1".to_owned());
            panic!("a test of panics")
        });
        let answer = serde_json::to_value(&response).unwrap();
        assert_eq!(answer["connection"], "crm");
        assert_eq!(answer["run_id"], "r-1");
        assert_eq!(answer["status"], "failed");
        assert_eq!((response.exit_code, &answer["exit_code"]), (70, &serde_json::json!(70)));
        assert_eq!(answer["error"]["kind"], "internal");
        assert!(answer["artifacts"].is_null() && answer["stats"].is_null());
    }

    #[test]
    fn an_answer_has_the_members_of_its_schema() {
        let response = Refusal::usage(Error::config("no")).response(Known::default());
        let answer = serde_json::to_value(&response).unwrap();
        let schema = response_schema().to_value();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&answer), keys(&schema["properties"]));
        assert_eq!(answer["exit_code"], 2);
    }
}
