//! Secrets as they come in: asked hidden, from standard input, or as a reference. Never as the value
//! of a flag: that would stand in the shell's history and in the list of processes.

use std::io::{IsTerminal, Read};

use clap::Args;
use waybill_protocol::{Error, Kind, Result, Secret};

use crate::cli::prompt::{self, Ask};
use crate::cli::terminal::Terminal;
use crate::secrets::NewValue;

/// The most that standard input may hold.
const MOST_BYTES: u64 = 1 << 20;

/// Secrets of a command that changes settings.
#[derive(Debug, Clone, Default, Args)]
pub struct SecretFlags {
    /// Ask for a secret setting, hidden; without a terminal one is read from standard input
    #[arg(long = "secret", value_name = "KEY", help_heading = "Secrets")]
    pub ask: Vec<String>,
    /// A secret setting that is a variable of the environment
    #[arg(long, value_name = "KEY=NAME", help_heading = "Secrets")]
    pub secret_env: Vec<String>,
    /// A secret setting that is the content of a file
    #[arg(long, value_name = "KEY=PATH", help_heading = "Secrets")]
    pub secret_file: Vec<String>,
    /// A secret setting that a program prints, such as 'password=["op","read","op://vault/item"]'
    #[arg(long, value_name = "KEY=JSON", help_heading = "Secrets")]
    pub secret_command: Vec<String>,
}

/// What was wrong with how a command was called: exit code 2.
pub type Usage = String;

impl SecretFlags {
    /// Reads them; the inner error is wrong usage.
    pub fn read(&self, terminal: &Terminal) -> Result<std::result::Result<Vec<(String, NewValue)>, Usage>> {
        let mut found = Vec::new();
        for (flag, given) in [("--secret-env", &self.secret_env), ("--secret-file", &self.secret_file)] {
            for pair in given {
                let Some((key, target)) =
                    pair.split_once('=').filter(|(k, t)| !k.is_empty() && !t.is_empty())
                else {
                    return Ok(Err(format!("{flag} wants KEY=…")));
                };
                let target = target.to_owned();
                let value =
                    if flag == "--secret-env" { NewValue::Env(target) } else { NewValue::File(target) };
                found.push((key.to_owned(), value));
            }
        }
        for pair in &self.secret_command {
            let words = pair.split_once('=').and_then(|(key, list)| {
                let words: Vec<String> = serde_json::from_str(list).ok()?;
                (!key.is_empty() && words.first().is_some_and(|w| !w.is_empty()))
                    .then(|| (key.to_owned(), words))
            });
            match words {
                Some((key, words)) => found.push((key, NewValue::Command(words))),
                None => return Ok(Err("--secret-command wants KEY=[\"program\",\"argument\"]".to_owned())),
            }
        }
        if self.ask.len() > 1 && !terminal.interactive() {
            return Ok(Err(
                "several --secret cannot be read from one standard input: give references, or --json -"
                    .to_owned(),
            ));
        }
        for key in &self.ask {
            match secret(terminal, key)? {
                Ok(secret) => found.push((key.clone(), NewValue::Literal(secret))),
                Err(usage) => return Ok(Err(usage)),
            }
        }
        Ok(Ok(found))
    }
}

/// Asks for a secret, or reads it from standard input.
pub fn secret(terminal: &Terminal, name: &str) -> Result<std::result::Result<Secret, Usage>> {
    if std::io::stdin().is_terminal() {
        if !terminal.interactive() {
            return Ok(Err(format!(
                "the value of {name} is missing: pipe it in, or give a reference (--env, --file, --command)"
            )));
        }
        let label = format!("{name} (hidden)");
        let asked = prompt::secret(terminal, &Ask::new(&label))?;
        return asked.map(Ok).ok_or_else(|| Error::new(Kind::Cancelled, "nothing was entered"));
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::config(format!("standard input cannot be read: {e}")).cause(e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Ok(Err("standard input holds more than 1 MiB, too much for a secret".to_owned()));
    }
    let Ok(mut text) = String::from_utf8(bytes) else {
        return Ok(Err("standard input is not UTF-8".to_owned()));
    };
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Ok(Err(format!("the value of {name} is missing: standard input is empty")));
    }
    Ok(Ok(Secret::new(text)))
}
