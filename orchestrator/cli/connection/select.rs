//! `waybill connection select`: which streams are loaded, and how.

use clap::Args;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{CatalogStream, Result, StreamSelection};

use super::add::systems;
use super::edit::differences;
use super::session::until_signal;
use crate::cli::next;
use crate::cli::prompt::{self, Choice, Item};
use crate::cli::terminal::Terminal;
use crate::manage::propose::propose;
use crate::manage::select::{StreamChange, Wish, is_pattern, select as change};
use crate::manage::{self, Revised, SecretChanges, Trial};
use crate::store::project::Project;

/// Chooses which streams of a source are loaded, and how. What is selected already gets the options.
#[derive(Debug, Args)]
pub struct SelectArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Streams to load, by name or pattern (* and ?); those that are selected get the options
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Streams to load no more
    #[arg(long, value_name = "GLOB")]
    drop: Vec<String>,
    /// Read and write new streams as the source's catalog suggests, and say why
    #[arg(long)]
    propose: bool,
    /// Select a pattern as it stands: streams that come later are loaded too
    #[arg(long, requires = "stream")]
    pattern: bool,
    #[command(flatten)]
    options: OptionFlags,
    /// Do not ask the source: exact names only, columns are not looked up
    #[arg(long, conflicts_with = "propose")]
    offline: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Options of streams.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of the streams")]
pub struct OptionFlags {
    /// full_refresh or incremental
    #[arg(long, value_name = "MODE", requires = "stream")]
    mode: Option<String>,
    /// overwrite, append or merge
    #[arg(long, value_name = "MODE", requires = "stream")]
    write: Option<String>,
    /// The column by which new rows are found
    #[arg(long, value_name = "COLUMN", requires = "stream")]
    cursor: Option<String>,
    /// How far below the known end to read again: 10m, 2h, or a number
    #[arg(long, value_name = "LOOKBACK", requires = "stream")]
    lookback: Option<String>,
    /// The primary key
    #[arg(long, value_name = "COLUMN,…", requires = "stream")]
    primary_key: Option<String>,
    /// The columns to load, in this order
    #[arg(long, value_name = "COLUMN,…", requires = "stream")]
    columns: Option<String>,
    /// An SQL condition that rows must meet
    #[arg(long = "where", value_name = "SQL", requires = "stream")]
    filter: Option<String>,
    /// The table at the destination
    #[arg(long, value_name = "TABLE", requires = "stream")]
    table: Option<String>,
    /// Any other option of a stream (path=data/*.csv, null_cursor=fail)
    #[arg(long, value_name = "KEY=VALUE", requires = "stream")]
    set: Vec<String>,
    /// Takes an option out, so that its default holds
    #[arg(long, value_name = "KEY", requires = "stream")]
    unset: Vec<String>,
}

impl OptionFlags {
    /// The options by name; the flag that has no `=` where one is wrong.
    fn options(&self) -> std::result::Result<Vec<(String, Option<String>)>, String> {
        let mut options = Vec::new();
        for (key, value) in [
            ("mode", &self.mode),
            ("write", &self.write),
            ("cursor", &self.cursor),
            ("lookback", &self.lookback),
            ("primary_key", &self.primary_key),
            ("columns", &self.columns),
            ("where", &self.filter),
            ("table", &self.table),
        ] {
            options.extend(value.clone().map(|value| (key.to_owned(), Some(value))));
        }
        for given in &self.set {
            let Some((key, text)) = given.split_once('=') else {
                return Err(format!("--set takes KEY=VALUE, and {given:?} has no ="));
            };
            options.push((key.to_owned(), Some(text.to_owned())));
        }
        options.extend(self.unset.iter().map(|key| (key.clone(), None)));
        Ok(options)
    }
}

/// Changes a selection.
pub(super) async fn select(terminal: &Terminal, project: &Project, args: SelectArgs) -> Result<u8> {
    let options = match args.options.options() {
        Ok(options) => options,
        Err(message) => return Ok(terminal.usage("connection select", &message)),
    };
    let nothing = args.stream.is_empty() && args.drop.is_empty();
    if nothing && (!terminal.interactive() || args.offline) {
        return Ok(terminal.usage("connection select", "--stream GLOB or --drop GLOB is missing"));
    }
    let cancel = CancellationToken::new();
    let work = async {
        let mut wish = Wish {
            add: args.stream.clone(),
            drop: args.drop.clone(),
            options,
            propose: args.propose,
            patterns: args.pattern,
        };
        let entry = manage::entry_of(project, &args.name)?;
        let found = match args.offline || (args.stream.is_empty() && !nothing) {
            true => None,
            false => Some(catalog_of(project, &args.name, &entry, &cancel).await?),
        };
        if nothing && !ask(terminal, &entry, found.as_deref().unwrap_or_default(), &mut wish)? {
            terminal.note("nothing was changed");
            return Ok(0);
        }
        save(terminal, project, &args, &entry, &wish, found.as_deref())
    };
    until_signal(terminal, &cancel, work).await
}

fn save(
    terminal: &Terminal,
    project: &Project,
    args: &SelectArgs,
    entry: &Value,
    wish: &Wish,
    found: Option<&[CatalogStream]>,
) -> Result<u8> {
    let registry = waybill_connectors::registry();
    let no_secrets = SecretChanges::new();
    let mut after = entry.as_object().cloned().unwrap_or_default();
    let mut changes = change(&mut after, wish, found, &registry)?;
    if args.dry_run {
        manage::trial_of(project, &args.name, &Value::Object(after), &no_secrets, &registry)?;
    } else if !changes.is_empty() {
        let made = std::cell::RefCell::new(Vec::new());
        let Revised { .. } = manage::revise(project, &args.name, &no_secrets, &registry, |entry| {
            *made.borrow_mut() = change(entry, wish, found, &registry)?;
            Ok(())
        })?;
        changes = made.into_inner();
    }
    show(terminal, project, args, &changes)?;
    Ok(0)
}

/// Asks which streams are wanted; false where the person went back.
fn ask(terminal: &Terminal, entry: &Value, catalog: &[CatalogStream], wish: &mut Wish) -> Result<bool> {
    let selected: Vec<String> = entry
        .pointer("/schema/streams")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|stream| stream.get("name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    let items: Vec<Item> = catalog
        .iter()
        .map(|stream| Item::new(stream.name.as_str(), propose(stream).reasons.join("; ")))
        .collect();
    let is_on = |stream: &CatalogStream| selected.contains(&stream.name);
    let marked: Vec<usize> = (0..catalog.len()).filter(|at| catalog.get(*at).is_some_and(is_on)).collect();
    let choice = Choice { marked: &marked, ..Choice::new("Which streams are loaded?", &items) };
    let Some(chosen) = prompt::choose_many(terminal, &choice)? else { return Ok(false) };
    for (at, stream) in catalog.iter().enumerate() {
        match (chosen.contains(&at), is_on(stream)) {
            (true, false) => wish.add.push(stream.name.clone()),
            (false, true) => wish.drop.push(stream.name.clone()),
            _ => {}
        }
    }
    wish.propose = true;
    Ok(true)
}

/// Everything that the source of a saved connection has, and what it says of the selected streams.
async fn catalog_of(
    project: &Project,
    name: &str,
    entry: &Value,
    cancel: &CancellationToken,
) -> Result<Vec<CatalogStream>> {
    let registry = waybill_connectors::registry();
    let trial = manage::trial_of(project, name, entry, &SecretChanges::new(), &registry)?;
    catalog(project, &trial, cancel).await
}

/// Everything that a source has, and what it says of the selected streams.
pub(super) async fn catalog(
    project: &Project,
    trial: &Trial,
    cancel: &CancellationToken,
) -> Result<Vec<CatalogStream>> {
    let systems = systems(project, trial, cancel).await?;
    let own: Vec<StreamSelection> = trial.connection()?.streams.clone();
    let source = systems.source().await?;
    let found = async {
        let mut all = source.discover(&[]).await?.streams;
        // Those with a name of their own: a query, a path.
        let known =
            |stream: &StreamSelection| is_pattern(&stream.name) || all.iter().any(|s| s.name == stream.name);
        let own: Vec<StreamSelection> = own.into_iter().filter(|stream| !known(stream)).collect();
        if !own.is_empty()
            && let Ok(more) = source.discover(&own).await
        {
            all.extend(more.streams);
        }
        Ok(all)
    };
    let found = found.await.map_err(|e| systems.clean(e));
    source.close().await;
    found
}

fn show(terminal: &Terminal, project: &Project, args: &SelectArgs, changes: &[StreamChange]) -> Result<()> {
    if terminal.json_wanted() {
        return terminal.json(&json!({"connection": args.name, "dry_run": args.dry_run, "changes": changes}));
    }
    for change in changes {
        let (mark, after) = match (&change.before, &change.after) {
            (None, Some(after)) => (terminal.paint("32", "+"), options(after)),
            (Some(_), None) => (terminal.paint("31", "-"), String::new()),
            (before, after) => {
                let mut found = Vec::new();
                let empty = Value::Object(Map::new());
                differences(
                    before.as_ref().unwrap_or(&empty),
                    after.as_ref().unwrap_or(&empty),
                    "",
                    &mut found,
                );
                let text = |value: &Option<Value>| {
                    value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string)
                };
                let parts: Vec<String> = found
                    .iter()
                    .map(|(path, before, after)| format!("{path}: {} → {}", text(before), text(after)))
                    .collect();
                (terminal.paint("33", "~"), parts.join(", "))
            }
        };
        terminal.out(format!("{mark} {}  {after}", change.stream).trim_end())?;
        for reason in &change.reasons {
            terminal.out(&format!("    {reason}"))?;
        }
    }
    if changes.is_empty() {
        terminal.out("nothing changed")?;
    }
    if args.dry_run {
        terminal.note("\na dry run: nothing was written");
    } else if !changes.is_empty() {
        terminal.note(&format!("\nnext: {}", next::command(project, &format!("run {}", args.name))));
    }
    Ok(())
}

/// What an entry says beyond its name.
fn options(entry: &Value) -> String {
    let parts: Vec<String> = entry
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "name")
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    parts.join(", ")
}
