//! What `connection add` asks at a terminal where flags are missing.

use serde_json::Value;
use waybill_protocol::{Connector, Error, Result, Role};

use super::add::{from_address, missing};
use crate::cli::prompt::{self, Ask, Choice, Item};
use crate::cli::terminal::Terminal;
use crate::manage::{Draft, assign, is_secret, url};
use crate::secrets::NewValue;
use crate::store::name::check_name;
use crate::store::project::Project;
use crate::store::systems::Systems;

/// Settings that are asked for although a connection may do without them.
const USUAL: [&str; 4] = ["host", "port", "database", "password"];

/// Asks for the system, or an address; none where the person went back.
pub(super) fn begin(
    terminal: &Terminal,
    name: Option<&str>,
    registry: &[Box<dyn Connector>],
) -> Result<Option<Draft>> {
    let sources: Vec<(&str, &str)> = registry
        .iter()
        .map(|connector| connector.spec())
        .filter(|spec| spec.roles.contains(&Role::Source))
        .map(|spec| (spec.name, spec.title))
        .collect();
    let mut items: Vec<Item> = sources.iter().map(|(name, title)| Item::new(*title, *name)).collect();
    items.push(Item::new("Paste an address", "postgresql://…, sqlite:///…, data/*.csv"));
    let Some(chosen) = prompt::choose(terminal, &Choice::new("Where does the data come from?", &items))?
    else {
        return Ok(None);
    };
    if let Some((system, _)) = sources.get(chosen) {
        let mut draft = Draft::new(name.unwrap_or_default(), system);
        return usual(terminal, &mut draft, registry).map(|done| done.then_some(draft));
    }
    let judge = |text: &str| url::parse(text).map(drop).map_err(|e| e.message().to_owned());
    // Hidden: it may have a password in it.
    let ask = Ask { judge: Some(&judge), ..Ask::new("Address") };
    let Some(address) = prompt::secret(terminal, &ask)? else { return Ok(None) };
    from_address(name, url::parse(address.expose())?, registry).map(Some)
}

/// Asks for a name.
pub(super) fn name(terminal: &Terminal, draft: &mut Draft) -> Result<()> {
    let judge = |text: &str| {
        check_name("connection name", text).map_err(|e| e.get_hint().unwrap_or("not a name").to_owned())
    };
    let ask = Ask { judge: Some(&judge), ..Ask::new("Name of the connection") };
    let name = prompt::ask(terminal, &ask)?.ok_or_else(Error::cancelled)?;
    draft.entry.insert("name".to_owned(), Value::from(name));
    Ok(())
}

/// Asks for the settings that such a connection usually has; false where the person went back.
fn usual(terminal: &Terminal, draft: &mut Draft, registry: &[Box<dyn Connector>]) -> Result<bool> {
    let properties = properties(draft.system(), registry)?;
    for key in USUAL.into_iter().filter(|key| properties.get(*key).is_some()) {
        if !one(terminal, draft, key, true, registry)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks for what the connector still misses.
pub(super) fn fill(
    terminal: &Terminal,
    project: &Project,
    draft: &mut Draft,
    registry: &[Box<dyn Connector>],
) -> Result<()> {
    let mut asked = Vec::new();
    while let Some(key) = missing(project, draft, registry).filter(|key| !asked.contains(key)) {
        if !one(terminal, draft, &key, false, registry)? {
            return Err(Error::cancelled());
        }
        asked.push(key);
    }
    Ok(())
}

fn properties(system: &str, registry: &[Box<dyn Connector>]) -> Result<Value> {
    let systems = Systems::of(registry);
    let known = systems.find(system, Role::Source).map_err(|(what, hint)| Error::config(what).hint(hint))?;
    Ok(known.source.get("properties").cloned().unwrap_or_default())
}

/// Asks for one setting.
fn one(
    terminal: &Terminal,
    draft: &mut Draft,
    key: &str,
    optional: bool,
    registry: &[Box<dyn Connector>],
) -> Result<bool> {
    let properties = properties(draft.system(), registry)?;
    let help = properties.pointer(&format!("/{key}/description")).and_then(Value::as_str).unwrap_or_default();
    let entry = draft.entry.clone();
    let judge = |text: &str| match text.is_empty() {
        true => Ok(()),
        false => {
            assign(&mut entry.clone(), key, text, registry).map(drop).map_err(|e| e.message().to_owned())
        }
    };
    if is_secret(&draft.entry, key, registry)? {
        let ask = Ask { help, optional, ..Ask::new(key) };
        let Some(secret) = prompt::secret(terminal, &ask)? else { return Ok(false) };
        if !secret.expose().is_empty() {
            draft.secrets.insert(key.to_owned(), Some(NewValue::Literal(secret)));
        }
        return Ok(true);
    }
    let ask = Ask { help, optional, judge: Some(&judge), ..Ask::new(key) };
    let Some(text) = prompt::ask(terminal, &ask)? else { return Ok(false) };
    if !text.is_empty() {
        assign(&mut draft.entry, key, &text, registry)?;
    }
    Ok(true)
}
