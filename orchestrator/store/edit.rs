//! Changing config.json: lock, read again, change, validate, replace. Only the value that is meant
//! changes in the text; the version before goes to backups/.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_protocol::{Connector, Error, Kind, Result};

use super::atomic::{sweep, sweep_beginning, unwritable, write_atomic};
use super::config::{ConfigText, InvalidEntry, read_with, unknown_connection};
use super::project::Project;
use super::sidecar::{PATIENCE, Sidecar};
use super::splice::splice;

/// How many earlier versions are kept.
pub const KEPT_BACKUPS: usize = 20;

/// Whether an edit keeps the version before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backup {
    /// In backups/.
    Keep,
    /// No: merges of state would push out what people wrote.
    None,
}

/// Changes the config by a person's command: what `edit` makes of the document is read with the
/// connectors' rules, and refused where it makes something wrong that was not wrong before.
pub fn edit<T>(
    project: &Project,
    registry: &[Box<dyn Connector>],
    edit: impl FnOnce(&ConfigText, &mut Value) -> Result<T>,
) -> Result<T> {
    change(project, Backup::Keep, |text, document| {
        let done = edit(text, document)?;
        let after = splice(&text.text, document)?;
        let after = ConfigText::parse(&text.path, after.into_bytes())?;
        let loaded = read_with(after, project, registry)?;
        let old = |list: &str| text.value.get(list).cloned().unwrap_or_default();
        let (connections, destinations) = (old("connections"), old("destinations"));
        let untouched = |invalid: &InvalidEntry| match (invalid.index, &invalid.name) {
            (Some(index), _) => {
                let now = document.get("connections").and_then(|list| list.get(index));
                connections.as_array().into_iter().flatten().any(|before| Some(before) == now)
            }
            (None, Some(name)) => {
                let now = document.get("destinations").and_then(|map| map.get(name));
                destinations.get(name) == now
            }
            (None, None) => false,
        };
        match loaded.invalid_destinations.iter().chain(loaded.invalid()).find(|invalid| !untouched(invalid)) {
            Some(invalid) => Err(invalid.error().context("the change is refused")),
            None => Ok(done),
        }
    })
}

/// The edit itself, without the connectors' rules: for changes that cannot break one, which an
/// entry that is wrong elsewhere must not block. Nothing is written where nothing changes.
pub fn change<T>(
    project: &Project,
    backup: Backup,
    change: impl FnOnce(&ConfigText, &mut Value) -> Result<T>,
) -> Result<T> {
    let target = resolve(&project.config_path)?;
    let _lock = Sidecar::take(&target, PATIENCE)?;
    sweep(&target);
    let text = ConfigText::read(&target)?;
    let mut document = text.value.clone();
    let done = change(&text, &mut document)?;
    if document == text.value {
        return Ok(done);
    }
    let after = splice(&text.text, &document)?;
    if backup == Backup::Keep {
        keep(&project.backups_dir, &target, &text.text, Utc::now())?;
    }
    write_atomic(&target, after.as_bytes(), None)?;
    Ok(done)
}

/// The file behind symbolic links: that one is replaced, and the links stay.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        // The reader's own words for what is missing.
        Err(e) => match ConfigText::read(path) {
            Err(error) => Err(error),
            Ok(_) => Err(unwritable(path, e)),
        },
    }
}

/// Keeps a version of a file of the project. The caller holds that file's lock.
pub(crate) fn keep_now(project: &Project, target: &Path, text: &str) -> Result<()> {
    keep(&project.backups_dir, target, text, Utc::now())
}

fn keep(folder: &Path, target: &Path, text: &str, now: DateTime<Utc>) -> Result<()> {
    let explain = |e: io::Error, at: &Path| {
        unwritable(at, e).context("no backup could be made, so nothing was changed")
    };
    fs::create_dir_all(folder).map_err(|e| explain(e, folder))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The caller holds the config's lock: no other edit is making a backup of it now.
    sweep_beginning(&folder.join(format!("{name}.")));
    let stamp = format!("{name}.{}", now.format("%Y%m%dT%H%M%S%3fZ"));
    let free =
        (0..1_000).map(|n| folder.join(if n == 0 { stamp.clone() } else { format!("{stamp}-{n:03}") }));
    let mut free = free.filter(|path| !path.exists());
    let path = free.next().ok_or_else(|| explain(io::ErrorKind::AlreadyExists.into(), folder))?;
    let mode = fs::metadata(target)
        .map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o7777);
    write_atomic(&path, text.as_bytes(), mode.ok())
        .map_err(|e| e.context("no backup could be made, so nothing was changed"))?;
    prune(folder, &format!("{name}.")).map_err(|e| explain(e, folder))
}

fn prune(folder: &Path, prefix: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stamp = name.strip_prefix(prefix).unwrap_or_default();
        // Only what this function has written: a stamp, and perhaps a number.
        if stamp.len() >= 19 && stamp.starts_with(|c: char| c.is_ascii_digit()) && stamp.contains('T') {
            names.push(name);
        }
    }
    names.sort();
    let surplus = names.len().saturating_sub(KEPT_BACKUPS);
    names.iter().take(surplus).try_for_each(|name| match fs::remove_file(folder.join(name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    })
}

/// The entry of a connection, by its name.
pub(crate) fn find_by_name<'v>(
    text: &ConfigText,
    document: &'v mut Value,
    name: &str,
) -> Result<&'v mut Value> {
    let known: Vec<String> = document
        .get("connections")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    let entries = document.get_mut("connections").and_then(Value::as_array_mut);
    let mut found =
        entries.into_iter().flatten().filter(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(_), Some(_)) => {
            Err(Error::config(format!("{}: two connections are called {name:?}", text.name()))
                .hint("change the name of one of them"))
        }
        (None, _) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            Err(unknown_connection(&text.name(), name, &known))
        }
    }
}

/// The connection's id; where it has none, one is made and written, once. A config that cannot be
/// written is fine as long as it has the id.
pub fn ensure_id(project: &Project, connection: &str) -> Result<Uuid> {
    let text = ConfigText::read(&project.config_path)?;
    if let Some(id) = id_of(&text, find_by_name(&text, &mut text.value.clone(), connection)?, connection)? {
        return Ok(id);
    }
    let fresh = Uuid::new_v4();
    let written = change(project, Backup::Keep, |text, document| {
        let entry = find_by_name(text, document, connection)?;
        // Another process may have been faster.
        if let Some(id) = id_of(text, entry, connection)? {
            return Ok(id);
        }
        if let Some(map) = entry.as_object_mut() {
            map.shift_remove("id");
            map.shift_insert(0, "id".to_owned(), json!(fresh.to_string()));
        }
        Ok(fresh)
    });
    written.map_err(|error| match error.kind() {
        Kind::Locked => error,
        _ => Error::config(format!(
            "connection {connection:?} has no id, and none could be written into {}: {error}",
            project.config_path.display()
        ))
        .hint(format!("add this line to the connection: \"id\": \"{fresh}\","))
        .cause(error),
    })
}

fn id_of(text: &ConfigText, entry: &Value, connection: &str) -> Result<Option<Uuid>> {
    match entry.get("id") {
        None | Some(Value::Null) => Ok(None),
        Some(id) => id.as_str().and_then(|id| Uuid::try_parse(id).ok()).map(Some).ok_or_else(|| {
            Error::config(format!("{}: the id of {connection:?} is no UUID", text.name()))
                .hint("remove the line with the id: the program writes a new one")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sidecar::lock_path;
    use crate::store::testing::{Home, registry};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    const TEXT: &str = "{\n    \"connections\" : [\n        { \"name\": \"a\", \"type\": \"depot\", \"schema\": {\"host\": \"h\"} },\n        { \"name\": \"b\", \"type\": \"nonsense\" }\n    ],\n    \"later\": 1.50\n}\n";

    #[test]
    fn an_id_is_written_once_and_nothing_else_changes() {
        let home = Home::new(TEXT);
        let id = ensure_id(&home.project, "a").unwrap();
        assert_eq!(
            home.config(),
            TEXT.replace("{ \"name\": \"a\"", &format!("{{ \"id\": \"{id}\", \"name\": \"a\""))
        );
        assert_eq!(ensure_id(&home.project, "a").unwrap(), id);
        // An entry that is wrong elsewhere gets its id too.
        ensure_id(&home.project, "b").unwrap();
        assert_eq!(home.backups().len(), 2);
        assert!(ensure_id(&home.project, "zzz").unwrap_err().get_hint().unwrap().contains("a, b"));
    }

    #[test]
    fn a_config_that_cannot_be_written_gets_the_line_to_add() {
        let home = Home::new(TEXT);
        // Root may write anywhere; a folder in the place of the lock stops it too.
        fs::create_dir(lock_path(&fs::canonicalize(&home.project.config_path).unwrap())).unwrap();
        let error = ensure_id(&home.project, "a").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(
            error.get_hint().unwrap().starts_with("add this line to the connection: \"id\": \""),
            "{error:?}"
        );
        assert_eq!(home.config(), TEXT);
        // With the id there, nothing needs to be written.
        let id = Uuid::new_v4();
        fs::write(
            &home.project.config_path,
            TEXT.replace("{ \"name\": \"a\"", &format!("{{ \"id\": \"{id}\", \"name\": \"a\"")),
        )
        .unwrap();
        assert_eq!(ensure_id(&home.project, "a").unwrap(), id);
    }

    #[test]
    fn symbolic_links_and_modes_stay() {
        let home = Home::new(TEXT);
        let real = home.folder.path().join("real");
        fs::create_dir(&real).unwrap();
        let target = real.join("c.json");
        fs::rename(&home.project.config_path, &target).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real/c.json", &home.project.config_path).unwrap();
        let id = ensure_id(&home.project, "a").unwrap();
        assert!(fs::symlink_metadata(&home.project.config_path).unwrap().is_symlink());
        assert!(fs::read_to_string(&target).unwrap().contains(&id.to_string()));
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o640);
        assert!(home.backups()[0].starts_with("c.json.20"));
        let mode = fs::metadata(home.project.backups_dir.join(&home.backups()[0])).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o640);
        fs::remove_file(&target).unwrap();
        assert!(ensure_id(&home.project, "a").unwrap_err().message().contains("no config file"));
    }

    #[test]
    fn the_newest_twenty_backups_stay_and_nothing_of_anybody_else_goes() {
        let home = Home::new(TEXT);
        fs::create_dir(&home.project.backups_dir).unwrap();
        fs::write(home.project.backups_dir.join("config.json.mine"), "").unwrap();
        for n in 0..25 {
            change(&home.project, Backup::Keep, |_, v| {
                v["later"] = json!(n);
                Ok(())
            })
            .unwrap();
        }
        let backups = home.backups();
        assert_eq!(backups.len(), KEPT_BACKUPS + 1);
        assert_eq!(backups.last().unwrap(), "config.json.mine");
        let newest = fs::read_to_string(home.project.backups_dir.join(&backups[KEPT_BACKUPS - 1])).unwrap();
        assert!(newest.contains("\"later\": 23"), "{newest}");
    }

    #[test]
    fn without_a_backup_nothing_is_changed() {
        let home = Home::new(TEXT);
        fs::write(&home.project.backups_dir, "a file").unwrap();
        let error = ensure_id(&home.project, "a").unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert_eq!(home.config(), TEXT);
        assert!(error.causes()[0].contains("no backup"), "{:?}", error.causes());
    }

    #[test]
    fn a_change_that_breaks_something_is_refused_and_old_faults_do_not_block() {
        let home = Home::new(TEXT);
        let rename = |to: &str| {
            edit(&home.project, &registry(), |text, v| {
                find_by_name(text, v, "a")?["name"] = json!(to);
                Ok(())
            })
        };
        let error = rename("../x").unwrap_err();
        assert!(error.message().contains("the change is refused"), "{error}");
        let error = rename("B").unwrap_err();
        assert!(error.message().contains("connections[1]"), "{error}");
        assert_eq!(home.config(), TEXT);
        rename("c").unwrap();
        assert_eq!(home.config(), TEXT.replace("\"a\"", "\"c\""));
        let error = edit(&home.project, &registry(), |_, v| {
            v["destinations"] = json!({"x": {"type": "nope"}});
            Ok(())
        });
        assert!(error.unwrap_err().message().contains("nope"));
    }

    #[test]
    fn many_editors_at_once_lose_nothing() {
        let home = Home::new("{\n  \"n\": 0\n}\n");
        fs::write(home.folder.path().join(".config.json.waybill-killed.tmp"), "{").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        change(&home.project, Backup::None, |_, v| {
                            v["n"] = json!(v["n"].as_u64().unwrap() + 1);
                            Ok(())
                        })
                        .unwrap();
                        // Readers need no lock and never see half a file.
                        ConfigText::read(&home.project.config_path).unwrap();
                    }
                });
            }
        });
        assert_eq!(home.config(), "{\n  \"n\": 100\n}\n");
        let left: Vec<_> =
            fs::read_dir(home.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
