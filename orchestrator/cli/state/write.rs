//! Writing entries of a person's command: under the run lock, with one backup, or only looked at.

use std::collections::BTreeMap;

use chrono::Utc;
use serde_json::{Value, json};
use waybill_protocol::{Error, Kind, Result};

use super::sheet::{below, field};
use super::view::value_text;
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::events::render::visible;
use crate::store::config::{Connection, load};
use crate::store::edit::ensure_id;
use crate::store::lock::{Holder, RunLock};
use crate::store::project::Project;
use crate::store::state::{StateEntry, put_instructions};

/// What is meant for one stream.
#[derive(Debug)]
pub(super) struct Order {
    /// The stream.
    pub(super) stream: String,
    /// The entry to write; `None` where none would change anything.
    pub(super) entry: Option<StateEntry>,
    /// What the next run makes of it, or why nothing is written.
    pub(super) words: String,
}

/// What was written for a stream, or why nothing was.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) stream: String,
    pub(super) written: bool,
    pub(super) words: String,
    /// The entry as it stood.
    before: Option<Value>,
    /// The entry as it stands, or would.
    after: Option<Value>,
}

/// What a command is called, and whether it only says what it would do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) word: &'static str,
    pub(super) dry_run: bool,
}

/// Writes what `orders` makes of the connection as it stands once the lock is held. Nothing is
/// written, and no lock taken, in a dry run.
pub(super) fn carry_out(
    project: &Project,
    name: &str,
    manner: Manner,
    orders: impl FnOnce(&Connection) -> Result<Vec<Order>>,
) -> Result<Vec<Done>> {
    let _lock = if manner.dry_run { None } else { Some(lock(project, name, manner.word)?) };
    // A run may have ended, and moved the state, until the lock was ours.
    let config = load(project)?;
    let connection = config.connection(name)?;
    let (mut done, mut entries) = (Vec::new(), BTreeMap::new());
    for order in orders(connection)? {
        done.push(Done {
            written: order.entry.is_some() && !manner.dry_run,
            words: order.words,
            before: connection.state_as_loaded.get(&order.stream).cloned(),
            after: order.entry.as_ref().map(StateEntry::to_value),
            stream: order.stream.clone(),
        });
        if let Some(entry) = order.entry {
            entries.insert(order.stream, entry);
        }
    }
    if !manner.dry_run && !entries.is_empty() {
        put_instructions(project, name, &entries)?;
    }
    Ok(done)
}

fn lock(project: &Project, name: &str, word: &str) -> Result<RunLock> {
    let id = ensure_id(project, name)?;
    let holder = Holder {
        run_id: format!("`state {word}`"),
        pid: std::process::id(),
        since: Utc::now(),
        connection: name.to_owned(),
    };
    RunLock::acquire(project, id, &holder, None).map_err(|error| match error.kind() {
        Kind::Locked => Error::new(Kind::Locked, error.message()).hint(format!(
            "wait until it has ended ({}), then say it again",
            next::command(project, &format!("runs events {name} --follow"))
        )),
        _ => error,
    })
}

/// Shows what was done, or would be.
pub(super) fn show(
    terminal: &Terminal,
    project: &Project,
    name: &str,
    manner: Manner,
    done: &[Done],
) -> Result<()> {
    if terminal.json_wanted() {
        let entry = |done: &Done| {
            json!({
                "stream": done.stream,
                "written": done.written,
                "before": done.before,
                "after": done.after,
                "next_run": done.words,
            })
        };
        let streams: Vec<Value> = done.iter().map(entry).collect();
        return terminal.json(&json!({
            "connection": name,
            "instruction": manner.word,
            "dry_run": manner.dry_run,
            "streams": streams,
        }));
    }
    for done in done {
        let what = match (&done.after, manner.dry_run) {
            (None, _) => "unchanged".to_owned(),
            (Some(_), false) => manner.word.to_owned(),
            (Some(_), true) => format!("would {}", manner.word),
        };
        let stream = terminal.paint("1", &visible(&done.stream));
        let mut lines = vec![format!("{stream}  {what}")];
        if manner.dry_run && done.after.is_some() {
            let text = |entry: &Option<Value>| entry.as_ref().map_or_else(|| "nothing".to_owned(), brief);
            lines.push(field("now", &text(&done.before)));
            lines.push(field("then", &text(&done.after)));
        }
        lines.push(below(&done.words));
        terminal.out(&lines.join("\n"))?;
    }
    if manner.dry_run {
        terminal.note("\na dry run: nothing was written");
    } else if done.iter().any(|done| done.written) {
        terminal.note(&format!("\nnext: {}", next::command(project, &format!("run {name}"))));
    }
    Ok(())
}

/// An entry without what only the program reads.
fn brief(entry: &Value) -> String {
    match StateEntry::parse(entry) {
        Ok(StateEntry::Position { cursor, .. }) => {
            format!("cursor {}", cursor.as_ref().map_or_else(|| "none".to_owned(), value_text))
        }
        Ok(StateEntry::Reset { .. }) => "reset".to_owned(),
        Ok(StateEntry::Accept { .. }) => "accept".to_owned(),
        Ok(StateEntry::Set { cursor, .. }) => format!("set to {}", value_text(&cursor)),
        Err(_) => entry.to_string(),
    }
}
