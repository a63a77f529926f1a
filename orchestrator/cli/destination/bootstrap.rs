//! `waybill destination bootstrap`: role, database and schemas, made by an administrator.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result, Secret};

use crate::cli::connection::session::until_signal;
use crate::cli::next;
use crate::cli::secrets::input;
use crate::cli::terminal::Terminal;
use crate::events::Redactor;
use crate::manage::bootstrap;
use crate::store::config::load;
use crate::store::project::Project;

/// Makes the role, the database and the schemas that a destination names, with the rights that its
/// user needs there and no others. What is there stays as it is: it may be run again.
#[derive(Debug, Args)]
pub struct BootstrapArgs {
    /// The destination
    #[arg(value_name = "NAME")]
    name: String,
    /// The variable of the environment that holds the administrator's address
    /// (postgresql://admin:password@host/postgres); without it, it is asked for, hidden, or read from
    /// standard input. It is not kept
    #[arg(long, value_name = "VARIABLE")]
    admin_url_env: Option<String>,
    /// Schemas to make, beside those that the connections which load there are known to name
    #[arg(long, value_name = "SCHEMA", value_delimiter = ',')]
    schemas: Vec<String>,
}

/// Makes what is missing, and says so.
pub(super) async fn bootstrap(terminal: &Terminal, project: &Project, args: BootstrapArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    config.destination_named(&args.name)?;
    let admin = match &args.admin_url_env {
        Some(variable) => {
            let (value, _) = project.env.get(variable).ok_or_else(|| {
                Error::config(format!("the environment has no variable {variable}"))
                    .hint("set it to the administrator's address, or leave --admin-url-env out to be asked")
            })?;
            Secret::new(value)
        }
        None => match input::secret(terminal, "the administrator's address")? {
            Ok(secret) => secret,
            Err(usage) => return Ok(terminal.usage("destination bootstrap", &usage)),
        },
    };
    let redactor = Redactor::new();
    redactor.add(admin.expose(), None);
    for password in crate::secrets::hidden::passwords(admin.expose()) {
        redactor.add(&password, None);
    }
    let cancel = CancellationToken::new();
    let work = async {
        let made = bootstrap::bootstrap(project, &config, &args.name, &admin, &args.schemas, &cancel).await;
        let made = made.map_err(|error| clean(&redactor, error))?;
        if terminal.json_wanted() {
            terminal.json(&json!({"destination": args.name, "made": made}))?;
            return Ok(0);
        }
        for one in &made {
            let (mark, word) = if one.now { ("+", "made") } else { ("·", "was there") };
            terminal.out(&format!("{mark} {}: {word}", one.what))?;
            one.note.iter().for_each(|note| terminal.warn(note));
        }
        let next = next::command(project, &format!("destination test {}", next::quoted(&args.name)));
        terminal.note(&format!("test it: {next}"));
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

/// An error without the administrator's secrets.
fn clean(redactor: &Redactor, error: Error) -> Error {
    let record = error.record();
    let redact = |text: &str| redactor.redact(text).into_owned();
    let mut clean = Error::new(record.kind, redact(&record.message)).retry(record.retryable);
    if let Some(hint) = &record.hint {
        clean = clean.hint(redact(hint));
    }
    if let Some(origin) = record.origin {
        clean = clean.origin(origin);
    }
    if !record.cause.is_empty() {
        clean = clean.cause(std::io::Error::other(redact(&record.cause.join(": "))));
    }
    clean
}
