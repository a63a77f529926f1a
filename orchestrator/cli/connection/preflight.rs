//! `waybill connection preflight`: can this connection do what it is set up to do?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Finding, Kind, Result, Role, Secret, Status};

use super::given::{Given, Usage, stdin_text};
use super::session::until_signal;
use crate::cli::secrets::input;
use crate::cli::terminal::Terminal;
use crate::manage::preflight::{self, Report, Side};
use crate::manage::url;
use crate::secrets::hidden::has_password;
use crate::store::config::load;
use crate::store::project::Project;
use crate::summary::units::duration;

/// Exit code of a check that failed.
const CHECK_FAILED: u8 = 4;

/// Looks whether a connection can do what it is set up to do, before it is touched. Nothing is
/// stored; what is missing comes with a script of grants for an administrator.
#[derive(Debug, Args)]
pub struct PreflightArgs {
    /// The connection; or an address without its password, such as postgresql://user@host/db (- reads
    /// one from standard input)
    #[arg(value_name = "NAME")]
    target: String,
    /// Only the streams and tables of these schemas
    #[arg(long, value_name = "SCHEMA", value_delimiter = ',')]
    schemas: Vec<String>,
    /// Write the script of missing grants into this file
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
    /// What the address is to be
    #[arg(long = "as", value_enum, value_name = "ROLE", default_value = "source")]
    role: AddressRole,
    /// Ask for the password of the address, hidden; without a terminal standard input is read
    #[arg(long, conflicts_with = "password_env")]
    password: bool,
    /// The variable of the environment that holds the password of the address
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
}

/// What an address is looked at as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AddressRole {
    /// It is to be read
    Source,
    /// It is to be written
    Destination,
}

impl From<AddressRole> for Role {
    fn from(role: AddressRole) -> Role {
        match role {
            AddressRole::Source => Role::Source,
            AddressRole::Destination => Role::Destination,
        }
    }
}

/// Runs a preflight.
pub(super) async fn preflight(terminal: &Terminal, project: &Project, args: PreflightArgs) -> Result<u8> {
    let cancel = CancellationToken::new();
    let is_address = args.target == "-" || args.target.contains("://");
    let given = args.password || args.password_env.is_some() || args.role != AddressRole::Source;
    if given && !is_address {
        let message = "--password, --password-env and --as belong to an address, not to a connection";
        return Ok(terminal.usage("connection preflight", message));
    }
    let work = async {
        let report = if is_address {
            let (found, password) = match address(terminal, project, &args)? {
                Ok(given) => given,
                Err(Usage(message)) => return Ok(terminal.usage("connection preflight", &message)),
            };
            preflight::address(project, found, password, args.role.into(), &args.schemas, &cancel).await?
        } else {
            let config = Arc::new(load(project)?);
            if !config.names().contains(&args.target.as_str()) {
                config.connection(&args.target)?;
            }
            preflight::connection(project, &config, &args.target, &args.schemas, &cancel).await?
        };
        let written = match &args.grants {
            Some(path) => write(path, &report)?,
            None => Vec::new(),
        };
        if terminal.json_wanted() {
            terminal.json(&report)?;
        } else {
            terminal.out(&whole(terminal, &report, args.grants.is_none()))?;
        }
        for path in &written {
            terminal.note(&format!("written: {}; read it, then: psql -X -f {0}", path.display()));
        }
        if args.grants.is_some() && written.is_empty() {
            terminal.note("no grants are missing: nothing was written");
        }
        Ok(exit_code(&report))
    };
    until_signal(terminal, &cancel, work).await
}

/// The address with its password, where one is given.
fn address(
    terminal: &Terminal,
    project: &Project,
    args: &PreflightArgs,
) -> Given<(url::FromUrl, Option<Secret>)> {
    let found = match args.target.as_str() {
        "-" if args.password => {
            return Ok(Err(Usage(
                "- reads standard input: the address there may have its password in it".to_owned(),
            )));
        }
        "-" => url::parse(given!(stdin_text("-")?).trim())?,
        text if has_password(text) => {
            return Ok(Err(Usage(
                "the address has a password in it, which every process of this machine can read there: leave it out and add --password or --password-env, or give - and the address on standard input".to_owned(),
            )));
        }
        text => url::parse(text)?,
    };
    if let Some(variable) = &args.password_env {
        let (value, _) = project.env.get(variable).ok_or_else(|| {
            Error::config(format!("the environment has no variable {variable}"))
                .hint(format!("set it, or give --password instead of --password-env {variable}"))
        })?;
        return Ok(Ok((found, Some(Secret::new(value)))));
    }
    if args.password {
        return Ok(match input::secret(terminal, "password")? {
            Ok(password) => Ok((found, Some(password))),
            Err(message) => Err(Usage(message)),
        });
    }
    Ok(Ok((found, None)))
}

/// 3 where settings are wrong, 4 where a check failed, 0 where all is well.
fn exit_code(report: &Report) -> u8 {
    match &report.error {
        Some(error) if error.kind == Kind::Config => 3,
        _ if report.passed => 0,
        _ => CHECK_FAILED,
    }
}

/// Writes the scripts: into the file, or where both sides lack something into one each.
fn write(path: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    let sides: Vec<(&Side, &String)> =
        report.sides.iter().filter_map(|side| Some((side, side.script.as_ref()?))).collect();
    let mut written = Vec::new();
    for (side, script) in &sides {
        let path = match sides.len() {
            1 => path.to_owned(),
            _ => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let end =
                    path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
                path.with_file_name(format!("{stem}-{}{end}", side.role))
            }
        };
        std::fs::write(&path, script).map_err(|e| {
            Error::config(format!("{} cannot be written: {e}", path.display()))
                .hint("name a file in a folder that this user may write")
                .cause(e)
        })?;
        written.push(path);
    }
    Ok(written)
}

/// The whole of it.
fn whole(terminal: &Terminal, report: &Report, scripts: bool) -> String {
    let mut out = terminal.paint("1", &report.connection);
    if let Some(error) = &report.error {
        out.push_str(&format!("\n{} {}", terminal.paint("31", "✗"), error.message));
        out.extend(error.hint.iter().map(|hint| format!("\n  {} {hint}", terminal.paint("36", "hint:"))));
    }
    for side in &report.sides {
        let name = side.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        out.push_str(&format!("\n\n{}{name} ({})", side.role, side.system));
        let wide = side.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
        let mut group = "";
        for finding in &side.findings {
            if finding.group != group {
                group = &finding.group;
                let later = if group == "change capture" { ", for later" } else { "" };
                out.push_str(&format!("\n  {}", terminal.paint("1", &format!("{group}{later}"))));
            }
            out.push_str(&line(terminal, finding, wide));
        }
    }
    for side in report.sides.iter().filter(|_| scripts) {
        if let Some(script) = &side.script {
            let title =
                format!("what the {} lacks, for an administrator (--grants FILE writes it):", side.role);
            out.push_str(&format!("\n\n{}\n\n{}", terminal.paint("1", &title), script.trim_end()));
        }
    }
    let count = |status, mark: &str| match report.count(status) {
        0 => String::new(),
        number => format!(" · {number} {mark}"),
    };
    let verdict = if report.passed { terminal.paint("32", "passed") } else { terminal.paint("31", "failed") };
    out.push_str(&format!(
        "\n\n{verdict} in {}{}{}{}",
        duration(report.ms),
        count(Status::Pass, "✓"),
        count(Status::Warn, "!"),
        count(Status::Fail, "✗")
    ));
    out
}

fn line(terminal: &Terminal, finding: &Finding, wide: usize) -> String {
    let mark = match finding.status {
        Status::Pass => terminal.paint("32", "✓"),
        Status::Warn => terminal.paint("33", "!"),
        Status::Fail => terminal.paint("31", "✗"),
    };
    let pad = " ".repeat(wide.saturating_sub(finding.name.chars().count()));
    let mut out = format!("\n    {mark} {}{pad}  {}", finding.name, finding.detail);
    if let Some(remedy) = &finding.remedy {
        out.push_str(&format!(
            "\n      {pad}{}  {} {remedy}",
            " ".repeat(finding.name.chars().count()),
            terminal.paint("36", "→")
        ));
    }
    out
}
