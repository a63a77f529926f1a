//! `waybill secrets …`: what secrets.toml holds, and whether it can be had.

pub mod input;

use clap::{Args, Subcommand};
use serde_json::json;
use waybill_protocol::{Error, Result};

use super::fault::error_text;
use super::next;
use super::terminal::Terminal;
use crate::manage::secrets::{self as manage, Checked};
use crate::secrets::{NewValue, set, unset};
use crate::store::config::load;
use crate::store::project::Project;
use crate::summary::units::{counted, duration};

/// Exit code of secrets that are wrong or missing.
const INVALID: u8 = 3;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// List the names in secrets.toml, where each value comes from and who uses it; never a value
    List,
    /// Write a secret: asked hidden, read from standard input, or a reference
    Set(SetArgs),
    /// Remove a secret
    Unset(UnsetArgs),
    /// Look whether every secret can be had: follows references, finds what is missing or unused
    Check,
}

/// Writes a secret.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Its name, such as sources.crm.password or destination.warehouse.password
    #[arg(value_name = "NAME")]
    name: String,
    /// A variable of the environment, instead of the value
    #[arg(long, value_name = "NAME", group = "reference")]
    env: Option<String>,
    /// A file that holds the value
    #[arg(long, value_name = "PATH", group = "reference")]
    file: Option<String>,
    /// A program that prints the value, with its arguments: the last flag of the command
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, group = "reference")]
    command: Vec<String>,
}

/// Removes a secret.
#[derive(Debug, Args)]
pub struct UnsetArgs {
    /// Its name, such as sources.crm.password
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs one of the commands.
pub async fn secrets(terminal: &Terminal, project: &Project, command: SecretsCommand) -> Result<u8> {
    match command {
        SecretsCommand::List => list(terminal, project),
        SecretsCommand::Set(args) => write(terminal, project, args),
        SecretsCommand::Unset(args) => remove(terminal, project, &args.name),
        SecretsCommand::Check => check(terminal, project).await,
    }
}

fn list(terminal: &Terminal, project: &Project) -> Result<u8> {
    let listed = manage::list(project, &load(project)?)?;
    if terminal.json_wanted() {
        terminal.json(&json!({"file": project.secrets_path, "secrets": listed}))?;
        return Ok(0);
    }
    if listed.is_empty() {
        terminal.out(&format!("{} holds nothing", project.secrets_path.display()))?;
        terminal.note(&format!("write one: {}", next::command(project, "secrets set sources.NAME.password")));
        return Ok(0);
    }
    let row = |one: &manage::Listed| {
        let origin = match &one.target {
            Some(target) => format!("{} {target}", one.origin),
            None => one.origin.clone(),
        };
        let users = if one.used_by.is_empty() { "nobody".to_owned() } else { one.used_by.join(", ") };
        vec![one.name.clone(), origin, users, if one.secret { "" } else { "not secret" }.to_owned()]
    };
    terminal.out(&terminal.table(&["name", "origin", "used by", ""], listed.iter().map(row).collect()))?;
    Ok(0)
}

fn write(terminal: &Terminal, project: &Project, args: SetArgs) -> Result<u8> {
    let (place, key) = manage::place(&args.name)?;
    let value = match (args.env, args.file, args.command.as_slice()) {
        (Some(name), ..) => NewValue::Env(name),
        (_, Some(file), _) => NewValue::File(file),
        (_, _, [_, ..]) => NewValue::Command(args.command),
        _ => match input::secret(terminal, &args.name)? {
            Ok(secret) => NewValue::Literal(secret),
            Err(usage) => return Ok(terminal.usage("secrets set", &usage)),
        },
    };
    set(project, &place, &key, &value)?;
    // The config need not be right for a secret to be written.
    let warning = load(project).ok().and_then(|config| manage::unread(&config, &place, &key));
    if terminal.json_wanted() {
        terminal.json(&json!({"name": args.name, "written": true, "warning": warning}))?;
    } else {
        terminal.out(&format!("wrote {} to {}", args.name, project.secrets_path.display()))?;
    }
    if let Some(warning) = warning {
        terminal.warn(&warning);
    }
    Ok(0)
}

fn remove(terminal: &Terminal, project: &Project, name: &str) -> Result<u8> {
    let (place, key) = manage::place(name)?;
    let file = project.secrets_path.display();
    if !unset(project, &place, &key)? {
        return Err(Error::config(format!("{file}: there is no {name}"))
            .hint(format!("see what there is: {}", next::command(project, "secrets list"))));
    }
    if terminal.json_wanted() {
        terminal.json(&json!({"name": name, "removed": true}))?;
    } else {
        terminal.out(&format!("removed {name} from {file}"))?;
    }
    Ok(0)
}

async fn check(terminal: &Terminal, project: &Project) -> Result<u8> {
    let config = load(project)?;
    let owned = project.clone();
    let checked = tokio::task::spawn_blocking(move || manage::check(&owned, &config)).await;
    let checked = checked.map_err(|e| Error::internal("the check broke off").cause(e))?;
    let failed = checked.iter().filter(|one| !one.ok).count();
    if terminal.json_wanted() {
        terminal.json(&json!({"checked": checked.len(), "failed": failed, "secrets": checked}))?;
    } else {
        let wide = checked.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
        for one in &checked {
            terminal.out(&line(terminal, one, wide))?;
        }
        let count = u64::try_from(checked.len()).unwrap_or(u64::MAX);
        terminal.out(&format!("{} checked · {failed} failed", counted(count, "secret")))?;
    }
    Ok(if failed > 0 { INVALID } else { 0 })
}

fn line(terminal: &Terminal, one: &Checked, wide: usize) -> String {
    let mark = match (one.ok, &one.warning) {
        (false, _) => terminal.paint("31", "✗"),
        (true, Some(_)) => terminal.paint("33", "!"),
        (true, None) => terminal.paint("32", "✓"),
    };
    let pad = " ".repeat(wide.saturating_sub(one.name.chars().count()));
    let mut out = format!("{mark} {}{pad}  {}", one.name, one.origin.as_deref().unwrap_or_default());
    if one.ms >= 100 {
        out.push_str(&format!("  {}", duration(one.ms)));
    }
    if let Some(warning) = &one.warning {
        out.push_str(&format!("\n    {warning}"));
    }
    if let Some(error) = &one.error {
        let text = error_text(&crate::run::error_of(error), false);
        let text = text.strip_prefix("error: ").unwrap_or(&text).replace('\n', "\n  ");
        out.push_str(&format!("\n    {text}"));
    }
    out.trim_end().to_owned()
}
