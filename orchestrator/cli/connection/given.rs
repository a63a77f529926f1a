//! What the flags of `add` and `edit` give: settings, secrets, an address, a document on standard input.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};

use clap::Args;
use serde_json::{Map, Value};
use waybill_protocol::{Connector, Error, Result, Secret};

use crate::cli::prompt;
use crate::cli::terminal::Terminal;
use crate::manage::url::{self, FromUrl};
use crate::manage::{SecretChanges, assign, is_secret, unassign};
use crate::secrets::NewValue;
use crate::secrets::hidden::has_password;

/// The most that is read from standard input.
const MOST_BYTES: u64 = 4 << 20;

/// Settings and secrets by flags. A secret is never the value of a flag.
#[derive(Debug, Clone, Default, Args)]
pub struct GivenFlags {
    /// A setting of the source (host=db.example, tls.verify=true) or of the connection (retries=5)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Settings")]
    pub(super) set: Vec<String>,
    /// Settings from an address without its password: postgresql://user@host/db, sqlite:///path,
    /// data/*.csv; - reads it, whole, from standard input
    #[arg(long, value_name = "URL", help_heading = "Settings")]
    pub(super) from_url: Option<String>,
    /// A secret: asked hidden, or a line of standard input, in the order of the flags
    #[arg(long, value_name = "KEY", help_heading = "Settings")]
    pub(super) secret: Vec<String>,
    /// A secret that stands in a variable of the environment
    #[arg(long, value_name = "KEY=NAME", help_heading = "Settings")]
    pub(super) secret_env: Vec<String>,
    /// A secret that stands in a file of its own
    #[arg(long, value_name = "KEY=PATH", help_heading = "Settings")]
    pub(super) secret_file: Vec<String>,
    /// The whole of it as one JSON document; - reads standard input
    #[arg(long, value_name = "-", conflicts_with_all = ["set", "from_url", "secret"], help_heading = "Settings")]
    pub(super) json: Option<String>,
}

/// Wrong usage: what was not given, or given wrongly; exit code 2.
#[derive(Debug)]
pub(super) struct Usage(pub(super) String);

/// A value, or wrong usage.
pub(super) type Given<T> = Result<std::result::Result<T, Usage>>;

impl GivenFlags {
    /// Whether nothing was given.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.from_url.is_none()
            && self.secret.is_empty()
            && self.secret_env.is_empty()
            && self.secret_file.is_empty()
            && self.json.is_none()
    }

    /// The JSON document, where one was given.
    pub(super) fn document(&self) -> Given<Option<Value>> {
        let Some(from) = &self.json else { return Ok(Ok(None)) };
        if from != "-" {
            return Ok(Err(Usage(format!("--json takes - and reads standard input, not {from:?}"))));
        }
        let text = match stdin_text("--json -")? {
            Ok(text) => text,
            Err(usage) => return Ok(Err(usage)),
        };
        // The parser's words may repeat a value, which may be a secret: only the place is said.
        serde_json::from_str(&text).map(|value| Ok(Some(value))).map_err(|e| {
            Error::config(format!("standard input:{}:{}: not JSON", e.line(), e.column()))
                .hint("give one JSON object")
        })
    }

    /// The address, where one was given.
    pub(super) fn address(&self) -> Given<Option<FromUrl>> {
        match self.from_url.as_deref() {
            None => Ok(Ok(None)),
            Some("-") => match stdin_text("--from-url -")? {
                Ok(text) => url::parse(&text).map(|found| Ok(Some(found))),
                Err(usage) => Ok(Err(usage)),
            },
            Some(text) if has_password(text) => Ok(Err(Usage(
                "--from-url has a password in it, which every process of this machine can read there: leave it out and add --secret password, or give --from-url - and the address on standard input".to_owned(),
            ))),
            Some(text) => url::parse(text).map(|found| Ok(Some(found))),
        }
    }

    /// Puts the settings of `--set` into an entry.
    pub(super) fn settle(
        &self,
        entry: &mut Map<String, Value>,
        registry: &[Box<dyn Connector>],
    ) -> Given<()> {
        for given in &self.set {
            match given.split_once('=') {
                Some((key, text)) => drop(assign(entry, key, text, registry)?),
                None => return Ok(Err(Usage(format!("--set takes KEY=VALUE, and {given:?} has no =")))),
            }
        }
        Ok(Ok(()))
    }

    /// The secrets: references, and those that are asked for or read.
    pub(super) fn secrets(
        &self,
        terminal: &Terminal,
        entry: &Map<String, Value>,
        registry: &[Box<dyn Connector>],
    ) -> Given<SecretChanges> {
        let mut secrets = BTreeMap::new();
        for (flag, list, kind) in [
            ("--secret-env", &self.secret_env, NewValue::Env as fn(String) -> NewValue),
            ("--secret-file", &self.secret_file, NewValue::File),
        ] {
            for given in list {
                let Some((key, target)) = given.split_once('=').filter(|(_, target)| !target.is_empty())
                else {
                    return Ok(Err(Usage(format!("{flag} takes KEY=…, not {given:?}"))));
                };
                check_secret(entry, key, registry)?;
                secrets.insert(key.to_owned(), Some(kind(target.to_owned())));
            }
        }
        for key in &self.secret {
            check_secret(entry, key, registry)?;
        }
        let read = match self.read_secrets(terminal)? {
            Ok(read) => read,
            Err(usage) => return Ok(Err(usage)),
        };
        secrets.extend(read);
        Ok(Ok(secrets))
    }

    fn read_secrets(&self, terminal: &Terminal) -> Given<SecretChanges> {
        let mut secrets = SecretChanges::new();
        if self.secret.is_empty() {
            return Ok(Ok(secrets));
        }
        if terminal.interactive() {
            for key in &self.secret {
                let Some(value) = prompt::secret(terminal, &prompt::Ask::new(key))? else {
                    return Err(Error::cancelled());
                };
                secrets.insert(key.clone(), Some(NewValue::Literal(value)));
            }
            return Ok(Ok(secrets));
        }
        let first = self.secret.first().map(String::as_str).unwrap_or_default();
        let text = match stdin_text(&format!("--secret {first}"))? {
            Ok(text) => text,
            Err(usage) => return Ok(Err(usage)),
        };
        let mut lines = text.lines();
        for key in &self.secret {
            match lines.next().filter(|line| !line.is_empty()) {
                Some(line) => drop(secrets.insert(key.clone(), Some(NewValue::Literal(Secret::new(line))))),
                None => return Ok(Err(Usage(format!("--secret {key}: standard input has no line for it")))),
            }
        }
        if lines.any(|line| !line.is_empty()) {
            return Ok(Err(Usage("standard input has more lines than there are --secret flags".to_owned())));
        }
        Ok(Ok(secrets))
    }
}

fn check_secret(entry: &Map<String, Value>, key: &str, registry: &[Box<dyn Connector>]) -> Result<()> {
    if is_secret(entry, key, registry)? {
        return Ok(());
    }
    Err(Error::config(format!("{key} is no secret")).hint(format!("give it as --set {key}=VALUE")))
}

/// Takes settings out of an entry.
pub(super) fn take_out(
    entry: &mut Map<String, Value>,
    keys: &[String],
    registry: &[Box<dyn Connector>],
) -> Result<()> {
    keys.iter().try_for_each(|key| unassign(entry, key, registry).map(drop))
}

/// All of standard input; wrong usage where nothing can come from it.
pub(super) fn stdin_text(flag: &str) -> Given<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(Err(Usage(format!("{flag} reads standard input, which is a terminal here"))));
    }
    let mut bytes = Vec::new();
    let read = stdin.lock().take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::config(format!("standard input cannot be read: {e}")).cause(e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::config("standard input has more than 4 MiB").hint("give one JSON object"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::config("standard input is not UTF-8").hint("give it as UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(Err(Usage(format!("{flag}: standard input is empty"))));
    }
    Ok(Ok(text))
}
