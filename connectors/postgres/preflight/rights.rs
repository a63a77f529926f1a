//! What this role lacks to read the tables (pure), with the grants that give it exactly that.

use std::collections::BTreeSet;

use waybill_protocol::{Errand, Finding, Status, StreamSelection};

use super::tables::{Table, selection};
use super::{RIGHTS, some};
use crate::postgres::sql::ident;

/// Every finding.
pub(super) fn findings(tables: &[Table], errand: &Errand, user: &str) -> Vec<Finding> {
    let mut found = schemas(tables, user);
    found.extend(columns(tables, errand, user));
    // Where nothing is selected, some tables may well be none of this role's business.
    let open = |table: &Table| table.usage && unreadable(table, None, user).is_none();
    if errand.streams.is_empty() && errand.schemas.is_empty() && tables.iter().any(open) {
        for finding in found.iter_mut().filter(|finding| finding.status == Status::Fail) {
            finding.status = Status::Warn;
            finding.remedy = finding.remedy.take().map(|grant| format!("where it is wanted: {grant}"));
        }
    }
    let filtered: Vec<String> = tables.iter().filter(|t| t.filtered).map(Table::stream).collect();
    found.push(match filtered.is_empty() {
        true => Finding::pass(RIGHTS, "row security", "hides no rows from this role"),
        false => Finding::warn(RIGHTS, "row security", format!("may hide rows of {}", some(&filtered))).remedy(
            format!(
                "if all rows are to be loaded: CREATE POLICY … FOR SELECT TO {} USING (true), or BYPASSRLS for the role",
                ident(user)
            ),
        ),
    });
    found
}

fn schemas(tables: &[Table], user: &str) -> Vec<Finding> {
    let all: BTreeSet<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let shut: BTreeSet<&str> = tables.iter().filter(|t| !t.usage).map(|t| t.schema.as_str()).collect();
    let fail = |schema: &&str| {
        let grant = format!("GRANT USAGE ON SCHEMA {} TO {}", ident(schema), ident(user));
        Finding::fail(RIGHTS, "usage", format!("role {user} may not use schema {schema}"))
            .remedy(grant.clone())
            .grant(grant)
    };
    let mut found: Vec<Finding> = shut.iter().map(fail).collect();
    let open: Vec<String> = all.difference(&shut).map(|name| (*name).to_owned()).collect();
    if !open.is_empty() {
        found.push(Finding::pass(RIGHTS, "usage", format!("of {}", some(&open))));
    }
    found
}

/// The columns that a stream reads; all where none are named, or where a condition may name any.
pub(super) fn needed(table: &Table, selection: Option<&StreamSelection>) -> Option<Vec<String>> {
    let selection = selection.filter(|selection| selection.filter.is_none())?;
    let mut names = selection.columns.clone()?;
    for name in selection.cursor.iter().chain(selection.primary_key.iter().flatten()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    // A column that does not exist is said where the streams are planned.
    names.retain(|name| table.columns.iter().any(|column| column.name == *name));
    Some(names)
}

fn columns(tables: &[Table], errand: &Errand, user: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = tables
        .iter()
        .filter_map(|table| {
            let selection = selection(errand, table);
            // What a condition reads is found out by the server itself.
            let narrow = selection.is_some_and(|s| s.columns.is_some() && s.filter.is_some());
            if narrow { None } else { unreadable(table, needed(table, selection), user) }
        })
        .collect();
    let (all, shut) = (tables.len(), found.len());
    if all > shut {
        let of = if errand.streams.is_empty() { "tables and views" } else { "selected tables" };
        found.push(Finding::pass(RIGHTS, "select", format!("{} of {all} {of}", all - shut)));
    }
    if all == 0 && errand.streams.iter().all(|s| s.query.is_none()) {
        found.push(Finding::warn(RIGHTS, "select", "no tables or views are meant"));
    }
    found
}

fn unreadable(table: &Table, needed: Option<Vec<String>>, user: &str) -> Option<Finding> {
    let readable = |name: &str| table.columns.iter().any(|c| c.name == name && c.readable);
    let shut = |names: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        names.filter(|name| !readable(name)).map(str::to_owned).collect()
    };
    let missing = match &needed {
        Some(names) => shut(&mut names.iter().map(String::as_str)),
        None => shut(&mut table.columns.iter().map(|c| c.name.as_str())),
    };
    if missing.is_empty() {
        return None;
    }
    let grant = grant(table, needed.is_some().then_some(missing.as_slice()), user);
    let what = match missing.len() == table.columns.len() {
        true => table.stream(),
        false => format!("{} of {}", some(&missing), table.stream()),
    };
    Some(
        Finding::fail(RIGHTS, "select", format!("role {user} may not read {what}"))
            .stream(table.stream())
            .remedy(grant.clone())
            .grant(grant),
    )
}

/// The grant of a table, or of some of its columns.
pub(super) fn grant(table: &Table, columns: Option<&[String]>, user: &str) -> String {
    let columns = columns
        .map(|names| format!(" ({})", names.iter().map(|name| ident(name)).collect::<Vec<_>>().join(", ")));
    format!("GRANT SELECT{} ON {} TO {}", columns.unwrap_or_default(), table.sql(), ident(user))
}

#[cfg(test)]
mod tests {
    use super::super::tables::Column;
    use super::*;

    fn table(name: &str, columns: &[(&str, bool)]) -> Table {
        let column = |(name, readable): &(&str, bool)| Column {
            name: (*name).to_owned(),
            readable: *readable,
            ..Column::default()
        };
        Table {
            schema: "sales".into(),
            name: name.into(),
            usage: true,
            columns: columns.iter().map(column).collect(),
            ..Table::default()
        }
    }

    fn grants(found: &[Finding]) -> Vec<&str> {
        let failed = found.iter().filter(|f| f.status == Status::Fail);
        failed.flat_map(|f| &f.grants).map(String::as_str).collect()
    }

    #[test]
    fn only_what_a_stream_reads_is_granted() {
        let tables =
            [table("a", &[("id", false), ("pay", false)]), table("b", &[("id", true), ("pay", false)])];
        let mut narrow = StreamSelection::named("sales.a");
        narrow.columns = Some(vec!["id".into()]);
        let errand = Errand { streams: vec![narrow, StreamSelection::named("sales.*")], ..Errand::default() };
        let found = findings(&tables, &errand, "me");
        assert_eq!(
            grants(&found),
            [
                "GRANT SELECT (\"id\") ON \"sales\".\"a\" TO \"me\"",
                "GRANT SELECT ON \"sales\".\"b\" TO \"me\""
            ]
        );
    }

    #[test]
    fn without_a_selection_some_closed_tables_are_no_failure() {
        let (open, shut) = (table("a", &[("id", true)]), table("b", &[("id", false)]));
        let some = findings(&[open, shut.clone()], &Errand::default(), "me");
        assert!(grants(&some).is_empty());
        assert_eq!(grants(&findings(&[shut], &Errand::default(), "me")).len(), 1);
    }
}
