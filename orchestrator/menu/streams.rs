//! Streams: what a source has, which of it is loaded, and how.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use waybill_protocol::stream::{SyncMode, WriteMode};
use waybill_protocol::{CatalogStream, Connector, Result, StreamSelection};

use super::plan::{Plan, proposed};
use super::{Menu, survives};
use crate::cli::connection::session::Systems;
use crate::cli::prompt::{Ask, Choice, Item, ask, choose, choose_many};
use crate::manage::{entry_of, revise_from};
use crate::run::sessions::Sessions;
use crate::store::config::load;
use crate::store::glob::{fits, is_pattern};
use crate::summary::units::counted;

/// Up to so many streams are all marked at first.
const FEW: usize = 12;

/// What a source has; `None` where it was interrupted.
pub(super) async fn catalog(
    menu: &Menu<'_>,
    sessions: impl FnOnce() -> Result<Sessions>,
    selected: &[StreamSelection],
) -> Result<Option<Vec<CatalogStream>>> {
    let cancel = CancellationToken::new();
    let work = async {
        let systems = Systems::with(sessions()?, &cancel);
        let source = systems.source().await?;
        let found = source.discover(selected).await.map_err(|e| systems.clean(e));
        source.close().await;
        Ok(found?.streams)
    };
    menu.terminal.note(&menu.terminal.paint_stderr("2", "looking what there is… (Ctrl-C gives up)"));
    menu.unless_interrupted(&cancel, work).await
}

/// Whether a stream of this connector needs the path of a file.
pub(super) fn wants_path(connector: &dyn Connector) -> bool {
    let schema = connector.spec().stream.to_value();
    crate::store::shape::Shape::of(&schema).required().contains(&"path")
}

/// What a person sees of a stream in a list.
pub(super) fn item(stream: &CatalogStream, plan: &Plan) -> Item {
    let mut about = vec![counted(stream.schema.fields().len() as u64, "column")];
    about.extend(stream.rows.map(|rows| format!("~{}", counted(rows, "row"))));
    about.push(plan.how());
    Item::new(stream.name.clone(), about.join(" · "))
}

/// Asks which streams are wanted; their plans.
pub(super) fn choose_streams(
    menu: &Menu<'_>,
    found: &[CatalogStream],
    before: &[Plan],
    path: bool,
) -> Result<Option<Vec<Plan>>> {
    let plan = |stream: &CatalogStream| {
        let known = before.iter().find(|plan| plan.stream == stream.name).cloned();
        known.unwrap_or_else(|| proposed(stream, path))
    };
    let plans: Vec<Plan> = found.iter().map(plan).collect();
    let items: Vec<Item> = found.iter().zip(&plans).map(|(stream, plan)| item(stream, plan)).collect();
    let known = |plan: &Plan| before.iter().any(|other| other.stream == plan.stream);
    let all = before.is_empty() && plans.len() <= FEW;
    let marked: Vec<usize> =
        plans.iter().enumerate().filter(|(_, plan)| all || known(plan)).map(|(index, _)| index).collect();
    let help = "each with the proposal for it; it can be changed afterwards";
    let choice = Choice { marked: &marked, help, ..Choice::new("Load which streams?", &items) };
    let Some(chosen) = choose_many(menu.terminal, &choice)? else { return Ok(None) };
    Ok(Some(chosen.iter().filter_map(|index| plans.get(*index)).cloned().collect()))
}

/// Changes how one stream is loaded.
pub(super) fn change(menu: &Menu<'_>, stream: &CatalogStream, plan: &mut Plan) -> Result<()> {
    let mut start = 0;
    loop {
        let items = [
            Item::new("Done", ""),
            Item::new(
                "Columns",
                plan.columns
                    .as_ref()
                    .map_or_else(|| format!("all {}", stream.schema.fields().len()), |some| some.join(", ")),
            ),
            Item::new("Mode", format!("{} ({})", plan.mode, plan.why)),
            Item::new("Cursor", plan.cursor.clone().unwrap_or_else(|| "-".to_owned())),
            Item::new("Write", plan.write().to_string()),
            Item::new(
                "Primary key",
                match (&plan.key, stream.primary_key.as_slice()) {
                    (Some(key), _) => key.join(", "),
                    (None, []) => "none".to_owned(),
                    (None, key) => format!("{} (the source's own)", key.join(", ")),
                },
            ),
        ];
        let label = format!("How is {} loaded?", stream.name);
        let choice = Choice { start, passing: true, ..Choice::new(&label, &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        match index {
            1 => columns(menu, stream, plan)?,
            2 => mode(menu, stream, plan)?,
            3 => cursor(menu, stream, plan)?,
            4 => write(menu, plan)?,
            5 => key(menu, stream, plan)?,
            _ => return Ok(()),
        }
    }
}

fn names(stream: &CatalogStream) -> Vec<String> {
    stream.schema.fields().iter().map(|field| field.name().clone()).collect()
}

fn columns(menu: &Menu<'_>, stream: &CatalogStream, plan: &mut Plan) -> Result<()> {
    let names = names(stream);
    let described = stream.describe().columns;
    let items: Vec<Item> =
        described.iter().map(|column| Item::new(column.name.clone(), column.logical.clone())).collect();
    let wanted = |name: &String| plan.columns.as_ref().is_none_or(|some| some.contains(name));
    let marked: Vec<usize> =
        names.iter().enumerate().filter(|(_, name)| wanted(name)).map(|(index, _)| index).collect();
    let choice = Choice { marked: &marked, ..Choice::new("Load which columns?", &items) };
    let Some(chosen) = choose_many(menu.terminal, &choice)? else { return Ok(()) };
    if chosen.is_empty() {
        menu.terminal.note("none was marked: the columns stay as they were");
    } else if chosen.len() == names.len() {
        plan.columns = None;
    } else {
        plan.columns = Some(chosen.iter().filter_map(|index| names.get(*index)).cloned().collect());
    }
    Ok(())
}

fn mode(menu: &Menu<'_>, stream: &CatalogStream, plan: &mut Plan) -> Result<()> {
    let items = [
        Item::new("full_refresh", "everything, every time"),
        Item::new("incremental", "what is new since the last run, by a cursor or by file"),
    ];
    let start = usize::from(plan.mode == SyncMode::Incremental);
    let Some(index) = choose(menu.terminal, &Choice { start, ..Choice::new("Mode", &items) })? else {
        return Ok(());
    };
    let mode = if index == 1 { SyncMode::Incremental } else { SyncMode::FullRefresh };
    if mode == plan.mode {
        return Ok(());
    }
    (plan.mode, plan.write, plan.why) = (mode, None, "as you say".to_owned());
    if mode == SyncMode::FullRefresh {
        plan.cursor = None;
    } else if plan.cursor.is_none() && !plan.by_file() {
        cursor(menu, stream, plan)?;
    }
    Ok(())
}

fn cursor(menu: &Menu<'_>, stream: &CatalogStream, plan: &mut Plan) -> Result<()> {
    let mut columns: Vec<(String, String)> = stream
        .cursors
        .iter()
        .map(|candidate| {
            let indexed = if candidate.indexed { "indexed, " } else { "" };
            (candidate.column.clone(), format!("{indexed}{}", candidate.reason))
        })
        .collect();
    for name in names(stream) {
        if columns.iter().all(|(column, _)| *column != name) {
            columns.push((name, String::new()));
        }
    }
    let items: Vec<Item> = columns.iter().map(|(name, why)| Item::new(name.clone(), why.clone())).collect();
    let start = columns.iter().position(|(name, _)| Some(name) == plan.cursor.as_ref()).unwrap_or(0);
    let help = "a column that grows with every new or changed row; likely ones stand first";
    let choice = Choice { start, help, ..Choice::new("Cursor", &items) };
    if let Some((column, why)) = choose(menu.terminal, &choice)?.and_then(|index| columns.get(index)) {
        plan.cursor = Some(column.clone());
        plan.mode = SyncMode::Incremental;
        plan.why = if why.is_empty() { "as you say".to_owned() } else { why.clone() };
    }
    Ok(())
}

fn write(menu: &Menu<'_>, plan: &mut Plan) -> Result<()> {
    let items = [
        Item::new("overwrite", "replace the table"),
        Item::new("append", "add rows"),
        Item::new("merge", "insert or update by primary key"),
    ];
    let modes = [WriteMode::Overwrite, WriteMode::Append, WriteMode::Merge];
    let start = modes.iter().position(|mode| *mode == plan.write()).unwrap_or(0);
    let chosen = choose(menu.terminal, &Choice { start, ..Choice::new("Write", &items) })?;
    if let Some(mode) = chosen.and_then(|index| modes.get(index)) {
        plan.write = Some(*mode);
    }
    Ok(())
}

fn key(menu: &Menu<'_>, stream: &CatalogStream, plan: &mut Plan) -> Result<()> {
    let names = names(stream);
    let now = plan.key.as_ref().unwrap_or(&stream.primary_key);
    let marked: Vec<usize> =
        names.iter().enumerate().filter(|(_, name)| now.contains(name)).map(|(index, _)| index).collect();
    let items: Vec<Item> = names.iter().map(|name| Item::new(name.clone(), "")).collect();
    let help = "what tells two rows apart; none marked: the source's own";
    let choice = Choice { marked: &marked, help, ..Choice::new("Primary key", &items) };
    if let Some(chosen) = choose_many(menu.terminal, &choice)? {
        let key: Vec<String> = chosen.iter().filter_map(|index| names.get(*index)).cloned().collect();
        plan.key = (!key.is_empty() && key != stream.primary_key).then_some(key);
        plan.keyed = !chosen.is_empty() || !stream.primary_key.is_empty();
    }
    Ok(())
}

/// Shows what the source of a connection has, and changes what is loaded of it. What another
/// process changes meanwhile is kept, or the conflict is shown.
pub(super) async fn edit(menu: &Menu<'_>, name: &str) -> Result<()> {
    let Some(before) = survives(menu, entry_of(menu.project, name))? else { return Ok(()) };
    let Some(config) = survives(menu, load(menu.project))? else { return Ok(()) };
    let config = Arc::new(config);
    let Some(connection) = survives(menu, config.connection(name))? else { return Ok(()) };
    menu.say_command(&["connection", "discover", name, "--all"]);
    let sessions = || Sessions::new(menu.project, &config, connection);
    let found = catalog(menu, sessions, &[]).await;
    let Some(Some(found)) = survives(menu, found)? else { return Ok(()) };
    let connector = menu.registry.iter().find(|connector| connector.spec().name == connection.system);
    let path = connector.is_some_and(|connector| wants_path(connector.as_ref()));
    let patterns: Vec<&str> = connection
        .streams
        .iter()
        .map(|stream| stream.name.as_str())
        .filter(|name| is_pattern(name))
        .collect();
    if !patterns.is_empty() {
        menu.terminal.note(&format!("selected by patterns, which stay: {}", patterns.join(", ")));
    }
    let entries = before.pointer("/schema/streams").and_then(Value::as_array).cloned().unwrap_or_default();
    let of = |stream: &CatalogStream| {
        entries.iter().find(|entry| {
            let text = |key: &str| entry.get(key).and_then(Value::as_str);
            text("name") == Some(stream.name.as_str()) || (path && text("path") == Some(stream.name.as_str()))
        })
    };
    let by_pattern = |stream: &CatalogStream| patterns.iter().any(|pattern| fits(pattern, &stream.name));
    let found: Vec<CatalogStream> =
        found.into_iter().filter(|stream| of(stream).is_some() || !by_pattern(stream)).collect();
    if found.is_empty() {
        menu.terminal.note("the source has no streams that this user can see");
        return Ok(());
    }
    let known: Vec<Plan> = found
        .iter()
        .filter_map(|stream| of(stream).map(|entry| Plan::of_entry(stream, entry, path)))
        .collect();
    let mut plans = match choose_streams(menu, &found, &known, path)? {
        Some(plans) => plans,
        None => return Ok(()),
    };
    loop {
        let mut items = vec![Item::new("Save", format!("{} of {} streams", plans.len(), found.len()))];
        items.extend(plans.iter().map(|plan| Item::new(plan.stream.clone(), plan.how())));
        let choice =
            Choice { passing: true, ..Choice::new("Save, or change how a stream is loaded", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        let Some(plan) = index.checked_sub(1).and_then(|index| plans.get_mut(index)) else { break };
        if let Some(stream) = found.iter().find(|stream| stream.name == plan.stream) {
            change(menu, stream, plan)?;
        }
    }
    save(menu, name, &before, &entries, &found, &plans, &of)
}

fn save<'e>(
    menu: &Menu<'_>,
    name: &str,
    before: &Value,
    entries: &[Value],
    found: &[CatalogStream],
    plans: &[Plan],
    of: &dyn Fn(&CatalogStream) -> Option<&'e Value>,
) -> Result<()> {
    // First what is dropped and what is taken as proposed, then what is said of each stream.
    let mut whole: Vec<String> = Vec::new();
    let mut each: Vec<Vec<String>> = Vec::new();
    let mut after: Vec<Value> = Vec::new();
    for entry in entries {
        let stream = found.iter().find(|stream| of(stream) == Some(entry));
        match stream.map(|stream| (stream, plans.iter().find(|plan| plan.stream == stream.name))) {
            None => after.push(entry.clone()),
            Some((_, Some(plan))) => {
                after.push(plan.onto(entry.clone()));
                each.extend(plan.words(Some(entry), false));
            }
            Some((stream, None)) => {
                let dropped = entry.get("name").and_then(Value::as_str).unwrap_or(&stream.name);
                whole.extend(["--drop".to_owned(), dropped.to_owned()]);
            }
        }
    }
    for plan in plans {
        let is_new = found.iter().any(|stream| stream.name == plan.stream && of(stream).is_none());
        if is_new {
            after.push(plan.entry());
            if !plan.by_file() {
                whole.extend(["--stream".to_owned(), plan.stream.clone()]);
            }
            each.extend(plan.words(None, true));
        }
    }
    let mut schema: Map<String, Value> =
        before.get("schema").and_then(Value::as_object).cloned().unwrap_or_default();
    schema.insert("streams".to_owned(), Value::Array(after));
    let after = super::trouble::with_schema(before, schema);
    if after == *before {
        menu.terminal.note("nothing was changed");
        return Ok(());
    }
    if whole.iter().any(|word| word == "--stream") {
        whole.push("--propose".to_owned());
    }
    each.splice(..0, (!whole.is_empty()).then_some(whole));
    each.iter().for_each(|words| say_select(menu, name, words));
    let saved = revise_from(menu.project, name, before, &after, &Default::default(), &menu.registry);
    if let Some(revised) = survives(menu, saved)? {
        menu.terminal.note("saved");
        revised.notes.iter().for_each(|note| menu.terminal.warn(note));
    }
    Ok(())
}

/// Says the command that changes a selection.
pub(super) fn say_select(menu: &Menu<'_>, name: &str, words: &[String]) {
    let command = ["connection", "select", name].into_iter();
    menu.say_command(&command.chain(words.iter().map(String::as_str)).collect::<Vec<_>>());
}

/// Shows the first rows of a stream that is chosen, or named.
pub(super) async fn preview(menu: &Menu<'_>, name: &str) -> Result<()> {
    let Some(config) = survives(menu, load(menu.project))? else { return Ok(()) };
    let Some(connection) = survives(menu, config.connection(name))? else { return Ok(()) };
    let mut names: Vec<String> =
        connection.streams.iter().map(|s| s.name.clone()).filter(|name| !is_pattern(name)).collect();
    let selected = names.len();
    names.push("another one".to_owned());
    let mut start = 0;
    loop {
        let items: Vec<Item> = names.iter().map(|name| Item::new(name.clone(), "")).collect();
        let choice =
            Choice { start, passing: true, ..Choice::new("The first rows of which stream?", &items) };
        let Some(index) = choose(menu.terminal, &choice)? else { return Ok(()) };
        start = index;
        let stream = if index == selected {
            let help = "a stream of the source, selected or not, such as public.orders";
            match ask(menu.terminal, &Ask { help, ..Ask::new("Stream") })? {
                Some(stream) => stream,
                None => continue,
            }
        } else {
            names.get(index).cloned().unwrap_or_default()
        };
        menu.execute(&["connection", "preview", name, "--", &stream]).await?;
    }
}
