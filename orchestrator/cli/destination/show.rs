//! `waybill destination list` and `test`.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{ErrorRecord, Kind, Result};

use crate::cli::connection::session::until_signal;
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::manage::destinations as manage;
use crate::manage::gate;
use crate::manage::probe::Probe;
use crate::store::config::load;
use crate::store::project::Project;
use crate::summary::units::duration;

/// Tests destinations.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Destinations; all of them where none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Lists destinations.
pub(super) fn list(terminal: &Terminal, project: &Project) -> Result<u8> {
    let config = load(project)?;
    let listed = manage::list(&config);
    let default = manage::default_of(&config);
    if terminal.json_wanted() {
        terminal.json(&json!({"default": default, "destinations": listed}))?;
        return Ok(0);
    }
    let row = |one: &manage::Listed| {
        let users = if one.used_by.is_empty() { "nobody".to_owned() } else { one.used_by.join(", ") };
        vec![
            if one.default { "*" } else { "" }.to_owned(),
            one.name.clone(),
            one.system.clone().unwrap_or_else(|| "invalid".to_owned()),
            target(one),
            users,
        ]
    };
    let table = terminal.table(&["", "name", "type", "where", "used by"], listed.iter().map(row).collect());
    terminal.out(&table)?;
    for error in listed.iter().flat_map(|one| &one.errors) {
        terminal.out(&format!("{} {}{}", terminal.paint("31", "✗"), error.message, further(error, "  ")))?;
    }
    Ok(0)
}

/// Where it is, in few words.
fn target(one: &manage::Listed) -> String {
    let text = |key: &str| {
        one.settings.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    if let Some(path) = text("path") {
        return path;
    }
    let host = text("host").map(|host| match one.settings.get("port") {
        Some(Value::Number(port)) => format!("{host}:{port}"),
        _ => host,
    });
    [host, text("database")].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// Tests destinations, all at the same time.
pub(super) async fn test(terminal: &Terminal, project: &Project, args: &TestArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let mut names: Vec<String> = Vec::new();
    for name in &args.names {
        config.destination_named(name)?;
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if args.names.is_empty() {
        names = manage::list(&config).into_iter().map(|one| one.name).collect();
    }
    let cancel = CancellationToken::new();
    let work = async {
        let wanted = names.iter().map(|name| (false, name.clone())).collect();
        let probes = gate::all(project, &config, wanted, &cancel).await;
        let passed = probes.iter().filter(|probe| probe.passed).count();
        if terminal.json_wanted() {
            terminal.json(&json!({"tested": probes.len(), "passed": passed, "destinations": probes}))?;
        } else if let [only] = probes.as_slice() {
            terminal.out(&whole(terminal, only))?;
        } else {
            for probe in &probes {
                terminal.out(&line(terminal, project, probe))?;
            }
            terminal.out(&format!("{} tested · {passed} passed", probes.len()))?;
        }
        Ok(exit_code(&probes))
    };
    until_signal(terminal, &cancel, work).await
}

/// 3 where settings are wrong, 4 where a check failed, 0 where all is well.
pub(super) fn exit_code(probes: &[Probe]) -> u8 {
    let settings = |probe: &&Probe| probe.error.as_ref().is_some_and(|error| error.kind == Kind::Config);
    match probes.iter().find(settings) {
        Some(_) => 3,
        None if probes.iter().any(|probe| !probe.passed) => 4,
        None => 0,
    }
}

/// One of several, in a line, with the command that shows more.
pub(crate) fn line(terminal: &Terminal, project: &Project, probe: &Probe) -> String {
    let mark = if probe.passed { terminal.paint("32", "✓") } else { terminal.paint("31", "✗") };
    let head = format!("{mark} {} {} ({})", probe.role, probe.name, probe.system);
    match probe.failure() {
        None => format!("{head}  {}", duration(probe.ms)),
        Some(error) => {
            format!("{head}  {}\n    more: {}", error.message, next::command(project, &probe.look()))
        }
    }
}

/// The whole of one test.
pub(super) fn whole(terminal: &Terminal, probe: &Probe) -> String {
    let mut out = format!("{}  {}", terminal.paint("1", &probe.name), probe.system);
    if let Some(error) = &probe.error {
        out.push_str(&format!(
            "\n  {} {}{}",
            terminal.paint("31", "✗"),
            error.message,
            further(error, "    ")
        ));
    }
    let wide = probe.checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    for check in &probe.checks {
        let mark = match (check.ok(), &check.warning) {
            (true, None) => terminal.paint("32", "✓"),
            (true, Some(_)) => terminal.paint("33", "!"),
            (false, _) => terminal.paint("31", "✗"),
        };
        let pad = " ".repeat(wide.saturating_sub(check.check.chars().count()));
        out.push_str(&format!("\n  {mark} {}{pad}  {}", check.check, check.detail));
        if let Some(warning) = &check.warning {
            out.push_str(&format!("\n      {warning}"));
        }
        if let Some(error) = &check.error {
            out.push_str(&further(error, "      "));
        }
    }
    let verdict = if probe.passed { terminal.paint("32", "passed") } else { terminal.paint("31", "failed") };
    out.push_str(&format!("\n{verdict} in {}", duration(probe.ms)));
    out
}

fn further(error: &ErrorRecord, indent: &str) -> String {
    let causes = error.cause.iter().filter(|cause| !error.message.contains(cause.as_str()));
    let causes = causes.map(|cause| format!("\n{indent}because: {cause}"));
    causes.chain(error.hint.iter().map(|hint| format!("\n{indent}hint: {hint}"))).collect()
}
