//! A new name for a connection. Its state is kept by its id, and stays.

use serde::Serialize;
use serde_json::{Value, json};
use waybill_protocol::{Connector, Error, Result};

use super::add::free;
use crate::secrets::section::{self, Copied};
use crate::store::config::ConfigText;
use crate::store::edit::{edit, find_by_name};
use crate::store::name::check_name;
use crate::store::project::Project;

/// What was renamed.
#[derive(Debug, Clone, Serialize)]
pub struct Renamed {
    /// The name before.
    pub from: String,
    /// The name now.
    pub to: String,
    /// Whether its section of secrets.toml went with it.
    pub secrets: bool,
}

/// Gives a connection another name. Killed at any moment it can still be run: under the old name
/// until config.json has the new one, and its secrets stand under both until then.
pub fn rename(project: &Project, from: &str, to: &str, registry: &[Box<dyn Connector>]) -> Result<Renamed> {
    check_name("connection name", to)?;
    if from == to {
        return Err(
            Error::config(format!("connection {from:?} has that name already")).hint("give another name")
        );
    }
    let good = |text: &ConfigText, document: &mut Value| {
        find_by_name(text, document, from)?;
        // Another spelling of the same name is no other connection.
        if from.eq_ignore_ascii_case(to) { Ok(()) } else { free(&text.name(), document, to, None) }
    };
    // Before the secrets are touched: those of another connection must stay as they are.
    let text = ConfigText::read(&project.config_path)?;
    good(&text, &mut text.value.clone())?;
    let copied = section::copy(project, from, to)?;
    let renamed = edit(project, registry, |text, document| {
        good(text, document)?;
        find_by_name(text, document, from)?["name"] = json!(to);
        Ok(())
    });
    if let Err(error) = renamed {
        if copied == Copied::Made {
            section::remove(project, to)?;
        }
        return Err(error);
    }
    if copied != Copied::Nothing {
        section::remove(project, from).map_err(|e| {
            let hint = format!("remove [sources.{from}] by hand: nothing reads it any more");
            Error::new(e.kind(), format!("{from} is called {to} now, but its old secrets stay: {e}"))
                .hint(hint)
        })?;
    }
    Ok(Renamed { from: from.to_owned(), to: to.to_owned(), secrets: copied != Copied::Nothing })
}
