//! Writing secrets.toml: comments and layout stay, the mode is 0600, and there are no backups:
//! they would be copies of secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};
use waybill_protocol::{Error, Result, Secret};

use super::file::{parse, read_text};
use super::reference::loose_allowed;
use crate::store::atomic::{sweep, unwritable, write_atomic};
use crate::store::name::check_name;
use crate::store::project::Project;
use crate::store::sidecar::{PATIENCE, Sidecar};

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `[sources.<connection>]`.
    Source(String),
    /// `[destination.<name>.credentials]`.
    Destination(String),
}

impl Place {
    /// The tables that lead to it.
    pub(super) fn tables(&self) -> Result<Vec<&str>> {
        match self {
            Place::Source(name) => {
                check_name("connection name", name).map(|()| vec!["sources", name.as_str()])
            }
            Place::Destination(name) => check_name("destination name", name)
                .map(|()| vec!["destination", name.as_str(), "credentials"]),
        }
    }
}

/// What is written.
#[derive(Debug, Clone)]
pub enum NewValue {
    /// The secret itself.
    Literal(Secret),
    /// `{ env = "NAME" }`.
    Env(String),
    /// `{ file = "path" }`.
    File(String),
}

impl NewValue {
    /// As it stands in the file.
    pub(super) fn written(&self) -> Value {
        match self {
            NewValue::Literal(secret) => secret.expose().into(),
            NewValue::Env(name) => reference("env", name),
            NewValue::File(file) => reference("file", file),
        }
    }
}

/// Writes a secret; the file is made where there is none.
pub fn set(project: &Project, place: &Place, key: &str, new: &NewValue) -> Result<()> {
    let path = place.tables()?;
    change(project, |document| {
        put(descend(document, &path)?, key, new.written());
        Ok(true)
    })
    .map(drop)
}

/// Writes a value into a table.
pub(super) fn put(table: &mut dyn TableLike, key: &str, written: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        // The decor holds the comment behind the value.
        Some(old) => {
            let decor = old.decor().clone();
            *old = written;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, value(written))),
    }
}

/// Removes a secret; false where there was none.
pub fn unset(project: &Project, place: &Place, key: &str) -> Result<bool> {
    let path = place.tables()?;
    change(project, |document| {
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for name in &path {
            match table.get_mut(name).and_then(Item::as_table_like_mut) {
                Some(next) => table = next,
                None => return Ok(false),
            }
        }
        Ok(table.remove(key).is_some())
    })
}

fn reference(word: &str, target: &str) -> Value {
    let mut table = InlineTable::new();
    table.insert(word, target.into());
    Value::InlineTable(table)
}

/// The table at a path, made where it is missing.
pub(super) fn descend<'d>(document: &'d mut DocumentMut, path: &[&str]) -> Result<&'d mut dyn TableLike> {
    let last = path.len().saturating_sub(1);
    let mut inline = false;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for (depth, name) in path.iter().enumerate() {
        if table.get(name).is_none_or(Item::is_none) {
            let mut fresh = Table::new();
            fresh.set_implicit(depth != last);
            let fresh = if inline { value(InlineTable::new()) } else { Item::Table(fresh) };
            table.insert(name, fresh);
        }
        let Some(item) = table.get_mut(name) else {
            return Err(Error::internal("a table that was just made is not there"));
        };
        inline |= item.is_inline_table();
        table = item.as_table_like_mut().ok_or_else(|| {
            Error::config(format!(
                "secrets.toml: {} is no table",
                path.get(..=depth).unwrap_or(path).join(".")
            ))
            .hint("write it as a table by hand first")
        })?;
    }
    Ok(table)
}

/// Lock, read again, change, check, replace; nothing is written where `change` says false.
pub(super) fn change(
    project: &Project,
    change: impl FnOnce(&mut DocumentMut) -> Result<bool>,
) -> Result<bool> {
    let target = match fs::canonicalize(&project.secrets_path) {
        Ok(target) => target,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => fresh_target(project)?,
        Err(e) => return Err(unwritable(&project.secrets_path, e)),
    };
    let _lock = Sidecar::take(&target, PATIENCE)?;
    sweep(&target);
    let text = read_text(project, &target)?.unwrap_or_default();
    let mut document = parse(&target, &text)?;
    if !change(&mut document)? {
        return Ok(false);
    }
    let after = document.to_string();
    parse(&target, &after)
        .map_err(|e| Error::internal("an edit of secrets.toml broke it; nothing was written").cause(e))?;
    let mode = match fs::metadata(&target) {
        Ok(found) if loose_allowed(project) => found.permissions().mode() & 0o7777,
        _ => 0o600,
    };
    write_atomic(&target, after.as_bytes(), Some(mode))?;
    Ok(true)
}

/// Where the first secret will stand: behind a link that leads nowhere there is no place to guess.
fn fresh_target(project: &Project) -> Result<PathBuf> {
    if fs::symlink_metadata(&project.secrets_path).is_ok() {
        return Err(Error::config(format!("{} is a link to nothing", project.secrets_path.display()))
            .hint("remove the link, or make the file that it names"));
    }
    Ok(project.secrets_path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;

    fn text(home: &Home) -> String {
        fs::read_to_string(&home.project.secrets_path).unwrap()
    }

    fn literal(text: &str) -> NewValue {
        NewValue::Literal(Secret::new(text))
    }

    #[test]
    fn the_file_is_made_private_and_grows() {
        let home = Home::new("{}");
        set(&home.project, &Place::Source("crm".into()), "password", &literal("a\"b\\c\nd")).unwrap();
        set(&home.project, &Place::Destination("w-1".into()), "password", &NewValue::Env("PW".into()))
            .unwrap();
        set(&home.project, &Place::Source("crm".into()), "key", &NewValue::File("k".into())).unwrap();
        let mode = fs::metadata(&home.project.secrets_path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let file = super::super::SecretsFile::read(&home.project).unwrap();
        assert_eq!(file.source("crm")["password"], "a\"b\\c\nd");
        assert_eq!(file.source("crm")["key"]["file"], "k");
        assert_eq!(file.destination("w-1").unwrap().1["password"]["env"], "PW");
        assert!(
            text(&home).contains("[sources.crm]") && text(&home).contains("[destination.w-1.credentials]")
        );
        assert!(!text(&home).contains("[sources]\n"), "{}", text(&home));
        assert!(!home.project.backups_dir.exists());
    }

    #[test]
    fn comments_and_layout_stay() {
        let home = Home::new("{}");
        let before = "# mine\n\n[sources.crm]   # the shop\nuser = 'u'\npassword   = \"old\"  # rotate in May\n\n[other]\nx = [1,\n  2]\n";
        home.secrets(before);
        set(&home.project, &Place::Source("crm".into()), "password", &literal("new")).unwrap();
        assert_eq!(text(&home), before.replace("\"old\"", "\"new\""));
        assert!(unset(&home.project, &Place::Source("crm".into()), "password").unwrap());
        assert_eq!(text(&home), before.replace("password   = \"old\"  # rotate in May\n", ""));
        assert!(!unset(&home.project, &Place::Source("crm".into()), "password").unwrap());
        assert!(!unset(&home.project, &Place::Destination("x".into()), "password").unwrap());
    }

    #[test]
    fn inline_tables_are_filled_and_wrong_shapes_refused() {
        let home = Home::new("{}");
        home.secrets("destination = { w = { path = 'x' } }\nsources = 5\n");
        set(&home.project, &Place::Destination("w".into()), "password", &literal("p")).unwrap();
        let after = text(&home);
        assert!(after.contains("credentials = {") && after.contains("path = 'x'"), "{after}");
        assert!(set(&home.project, &Place::Source("a".into()), "k", &literal("v")).is_err());
        assert!(set(&home.project, &Place::Source("../a".into()), "k", &literal("v")).is_err());
        assert_eq!(text(&home), after);
    }

    #[test]
    fn a_file_that_others_can_read_is_not_edited_and_many_editors_lose_nothing() {
        let home = Home::new("{}");
        home.secrets("");
        let mode =
            |mode| fs::set_permissions(&home.project.secrets_path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(set(&home.project, &Place::Source("a".into()), "k", &literal("v")).is_err());
        mode(0o600);
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let project = &home.project;
                scope.spawn(move || {
                    for n in 0..20 {
                        let key = format!("k{thread}_{n}");
                        set(project, &Place::Source("a".into()), &key, &literal("v")).unwrap();
                    }
                });
            }
        });
        assert_eq!(super::super::SecretsFile::read(&home.project).unwrap().source("a").len(), 40);
    }
}
