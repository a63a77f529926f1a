//! The gate before several runs: where something that one of them needs fails, none is started.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, ErrorRecord, Kind, Result};

use super::Told;
use crate::cli::destination::line;
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::manage::gate;
use crate::manage::probe::Probe;
use crate::run::Stop;
use crate::store::config::{self, LoadedConfig};
use crate::store::project::Project;
use crate::summary::units::{counted, duration};

/// Exit code of a check that failed.
pub(super) const CHECK_FAILED: u8 = 4;

/// What the gate says.
pub(super) enum Verdict {
    /// Everything that the runs need can be used.
    Open,
    /// Something cannot; what becomes of each connection.
    Shut(Vec<Told>),
    /// Somebody stopped it.
    Stopped(u8),
}

/// Tests what the connections need.
pub(super) async fn gate(
    terminal: &Terminal,
    project: &Project,
    names: &[String],
    all: bool,
    stop: &Stop,
) -> Result<Verdict> {
    let config = Arc::new(config::load(project)?);
    let (started, cancel) = (Instant::now(), CancellationToken::new());
    let probes = tokio::select! {
        probes = gate::gate(project, &config, names, &cancel) => probes,
        () = stop.orderly().cancelled() => {
            cancel.cancel();
            terminal.note(&format!("not begun: {}", names.join(", ")));
            return Ok(Verdict::Stopped(stop.reason().map_or(1, |reason| reason.exit_code())));
        }
    };
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let count = |role: &str| probes.iter().filter(|probe| probe.role == role).count() as u64;
    let tested = format!(
        "{} and {}",
        counted(count("source"), "source"),
        counted(count("destination"), "destination")
    );
    let (kept, probes): (Vec<Probe>, Vec<Probe>) = probes.into_iter().partition(|p| p.role == "history");
    for error in kept.iter().filter_map(Probe::failure) {
        let later = next::command(project, "history sync");
        terminal.warn(&format!("the run history cannot be written: {}; afterwards: {later}", error.message));
    }
    let failed: Vec<&Probe> = probes.iter().filter(|probe| !probe.passed).collect();
    if failed.is_empty() {
        if !probes.is_empty() {
            terminal.note(&format!("tested before the first run: {tested} in {}", duration(ms)));
        }
        return Ok(Verdict::Open);
    }
    for probe in &failed {
        terminal.always(&line(terminal, project, probe));
    }
    let error = Error::new(Kind::Config, format!(
        "nothing was run: {} of {} failed its test ({tested}); this was before any run, and no run log has it",
        failed.len(),
        probes.len()
    ))
    .hint(format!("correct it, or run the others: {}", next::command(project, &again(names, all))));
    terminal.error(&error);
    let mut told: Vec<Told> = Vec::new();
    for name in names.iter().filter(|name| config.connection(name).is_ok()) {
        told.push(Told {
            connection: Some(name.clone()),
            exit_code: CHECK_FAILED,
            summary: None,
            error: Some(why(&config, name, &failed, &error)),
        });
    }
    Ok(Verdict::Shut(told))
}

fn again(names: &[String], all: bool) -> String {
    let which = if all { "--all".to_owned() } else { names.join(" ") };
    format!("run {which} --no-gate")
}

/// Why this connection was not run: what it needs failed, or what another one needs.
fn why(config: &LoadedConfig, name: &str, failed: &[&Probe], shut: &Error) -> ErrorRecord {
    let target = config.connection(name).map(|connection| connection.destination.clone()).unwrap_or_default();
    let ours = failed.iter().find(|probe| match probe.role.as_str() {
        "source" => probe.name == name,
        _ => probe.name == target,
    });
    match ours.and_then(|probe| probe.failure().map(|failure| (probe, failure))) {
        Some((probe, failure)) => ErrorRecord {
            message: format!("{} {} ({}): {}", probe.role, probe.name, probe.system, failure.message),
            ..failure.clone()
        },
        None => shut.record(),
    }
}
