//! The section of a connection in secrets.toml, as a whole: several secrets at once, moved, removed.

use std::collections::BTreeMap;

use toml_edit::{Item, TableLike};
use waybill_protocol::Result;

use super::edit::{NewValue, Place, change, descend, put};
use super::file::SecretsFile;
use crate::store::project::Project;

/// What stood there before a change; it has no readable form, since it holds secrets.
pub struct Before(Vec<(String, Option<Item>)>);

/// Writes and takes out secrets of a connection's source in one edit; what stood there before.
pub fn apply(
    project: &Project,
    connection: &str,
    changes: &BTreeMap<String, Option<NewValue>>,
) -> Result<Before> {
    let mut before = Vec::new();
    if changes.is_empty() {
        return Ok(Before(before));
    }
    let place = Place::Source(connection.to_owned());
    let path = place.tables()?;
    let only_out = changes.values().all(Option::is_none);
    if only_out && SecretsFile::read(project)?.source(connection).is_empty() {
        return Ok(Before(before));
    }
    change(project, |document| {
        let table = descend(document, &path)?;
        for (key, new) in changes {
            before.push((key.clone(), table.get(key).filter(|item| !item.is_none()).cloned()));
            match new {
                Some(new) => put(table, key, new.written()),
                None => drop(table.remove(key)),
            }
        }
        Ok(true)
    })?;
    Ok(Before(before))
}

/// Puts back what stood there.
pub fn undo(project: &Project, connection: &str, before: Before) -> Result<()> {
    if before.0.is_empty() {
        return Ok(());
    }
    let place = Place::Source(connection.to_owned());
    let path = place.tables()?;
    let done = change(project, |document| {
        let table = descend(document, &path)?;
        for (key, item) in before.0 {
            match item {
                Some(item) => drop(table.insert(&key, item)),
                None => drop(table.remove(&key)),
            }
        }
        if table.is_empty() {
            take(document, connection);
        }
        Ok(true)
    });
    done.map(drop).map_err(|e| e.context("the secrets of a change that failed could not be taken back"))
}

/// What a copy of a section did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// There is none.
    Nothing,
    /// It stands under the other name now.
    Made,
    /// It stood there already, word for word.
    Same,
}

/// Copies the section of a connection under another name. Refused where the other name has one that
/// says something else.
pub fn copy(project: &Project, from: &str, to: &str) -> Result<Copied> {
    let file = SecretsFile::read(project)?;
    let (old, new) = (file.source(from), file.source(to));
    if old.is_empty() {
        return Ok(Copied::Nothing);
    }
    if old == new {
        return Ok(Copied::Same);
    }
    if !new.is_empty() {
        return Err(file
            .error(&format!("sources.{to}"), "stands there already, and says something else")
            .hint(format!("remove [sources.{to}], or choose another name")));
    }
    let made = change(project, |document| {
        let sources = document.get_mut("sources").and_then(Item::as_table_like_mut);
        let Some(sources) = sources else { return Ok(false) };
        let Some(section) = sources.get(from).cloned() else { return Ok(false) };
        sources.insert(to, section);
        Ok(true)
    })?;
    Ok(if made { Copied::Made } else { Copied::Nothing })
}

/// Removes the section of a connection; the names of what stood in it.
pub fn remove(project: &Project, connection: &str) -> Result<Vec<String>> {
    let names = names(project, connection)?;
    if !names.is_empty() {
        change(project, |document| Ok(take(document, connection)))?;
    }
    Ok(names)
}

/// The names of what stands in the section of a connection.
pub fn names(project: &Project, connection: &str) -> Result<Vec<String>> {
    Ok(SecretsFile::read(project)?.source(connection).keys().cloned().collect())
}

fn take(document: &mut toml_edit::DocumentMut, connection: &str) -> bool {
    let sources = document.get_mut("sources").and_then(Item::as_table_like_mut);
    sources.is_some_and(|sources: &mut dyn TableLike| sources.remove(connection).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Home;
    use waybill_protocol::Secret;

    const TEXT: &str = "# mine\n\n[sources.crm]   # the shop\nuser = 'u'\npassword = \"old\"  # rotate\n\n[sources.erp]\nkey = 1\n";

    fn text(home: &Home) -> String {
        std::fs::read_to_string(&home.project.secrets_path).unwrap()
    }

    #[test]
    fn a_change_that_is_taken_back_leaves_the_file_as_it_was() {
        let home = Home::new("{}");
        home.secrets(TEXT);
        let new = |text: &str| Some(NewValue::Literal(Secret::new(text)));
        let changes = BTreeMap::from([("password".to_owned(), new("x")), ("token".to_owned(), new("y"))]);
        let before = apply(&home.project, "crm", &changes).unwrap();
        assert!(text(&home).contains("password = \"x\"  # rotate\ntoken = \"y\""), "{}", text(&home));
        undo(&home.project, "crm", before).unwrap();
        assert_eq!(text(&home), TEXT);
        let before = apply(&home.project, "fresh", &changes).unwrap();
        undo(&home.project, "fresh", before).unwrap();
        assert_eq!(text(&home), TEXT);
    }

    #[test]
    fn a_section_is_copied_under_another_name_and_removed() {
        let home = Home::new("{}");
        home.secrets(TEXT);
        assert_eq!(copy(&home.project, "crm", "shop").unwrap(), Copied::Made);
        assert_eq!(copy(&home.project, "crm", "shop").unwrap(), Copied::Same);
        assert!(copy(&home.project, "erp", "shop").unwrap_err().message().contains("sources.shop"));
        assert_eq!(copy(&home.project, "none", "other").unwrap(), Copied::Nothing);
        assert_eq!(names(&home.project, "shop").unwrap(), ["user", "password"]);
        assert_eq!(remove(&home.project, "crm").unwrap(), ["user", "password"]);
        let after = text(&home);
        assert!(
            after.contains("[sources.shop]   # the shop\nuser = 'u'\npassword = \"old\"  # rotate"),
            "{after}"
        );
        assert!(!after.contains("[sources.crm]") && after.contains("key = 1"), "{after}");
        assert!(remove(&home.project, "crm").unwrap().is_empty());
    }
}
