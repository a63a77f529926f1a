//! What to do next, as commands where there are some.

use schemars::JsonSchema;
use serde::Serialize;
use waybill_protocol::{ErrorRecord, Kind};

use super::cause::{Advice, Cause, Retry};
use crate::store::name::quoted;
use crate::summary::{RunStatus, Summary};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Remedy {
    /// What and why.
    pub text: String,
    /// The command that does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

fn remedy(text: &str, command: Option<String>) -> Remedy {
    Remedy { text: text.to_owned(), command }
}

/// What to do about a run, most helpful first.
pub(super) fn remedies(summary: &Summary, cause: Option<&Cause>, retry: &Retry) -> Vec<Remedy> {
    let name = quoted(&summary.connection);
    let mut found = Vec::new();
    let error = cause.and_then(|cause| cause.error.as_ref());
    if let Some(error) = error {
        found.extend(hinted(error));
        // A hint with a command of its own needs no look around.
        let ready = found.iter().any(|known: &Remedy| known.command.is_some());
        found.extend(look(error.kind, &name, &summary.run_id).filter(|_| !ready));
    }
    match summary.status {
        RunStatus::Succeeded => {}
        RunStatus::Running => {
            found.push(remedy("follow it", Some(format!("waybill runs events {} --follow", summary.run_id))))
        }
        RunStatus::Cancelled | RunStatus::Crashed => {
            found.push(remedy("go on from the last commit", Some(format!("waybill run {name}"))));
        }
        RunStatus::Partial | RunStatus::Failed => found.push(again(summary, &name, retry)),
    }
    found
}

/// The hint of the fault, and the command in it.
fn hinted(error: &ErrorRecord) -> Option<Remedy> {
    let hint = error.hint.as_ref()?;
    let command = hint.split('`').skip(1).step_by(2).find(|part| part.contains(' ')).map(str::to_owned);
    Some(Remedy { text: hint.clone(), command })
}

/// Where to look, by the kind of the fault.
fn look(kind: Kind, name: &str, run_id: &str) -> Option<Remedy> {
    let (text, command) = match kind {
        Kind::Config => {
            ("see all that is wrong with the config and the secrets", "waybill config validate".into())
        }
        Kind::Auth | Kind::Network | Kind::Timeout | Kind::RateLimit => {
            ("see whether both sides can be reached now", format!("waybill connection test {name}"))
        }
        Kind::Permission => ("see which grants are missing", format!("waybill connection preflight {name}")),
        Kind::NotFound | Kind::Schema => {
            ("see what the source has", format!("waybill connection discover {name}"))
        }
        Kind::Locked => ("see which runs there are", format!("waybill runs list --connection {name}")),
        Kind::Internal => {
            ("report it, with what the log says", format!("waybill runs events {run_id} --level debug"))
        }
        Kind::Data | Kind::Destination | Kind::Cancelled => return None,
    };
    Some(remedy(text, Some(command)))
}

fn again(summary: &Summary, name: &str, retry: &Retry) -> Remedy {
    let text = match retry.advice {
        Advice::AfterChange => "when that is mended, run it again",
        _ => "run it again later",
    };
    // Of a partial run only what failed is left to do.
    let failed: Vec<&String> = summary.errors.keys().collect();
    let streams: String = match summary.status {
        RunStatus::Partial if failed.len() <= 5 => {
            failed.iter().map(|stream| format!(" --stream {}", quoted(stream))).collect()
        }
        _ => String::new(),
    };
    remedy(text, Some(format!("waybill run {name}{streams}")))
}
