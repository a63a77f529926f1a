//! A person's own SQL: whether this role may run it, which the server finds out without running it.

use std::collections::BTreeSet;

use serde::Deserialize;
use waybill_protocol::{Errand, Error, Finding, Kind, Result, StreamSelection};

use super::rights::grant;
use super::tables::{Table, selection};
use super::{RIGHTS, asked};
use crate::postgres::session::Session;
use crate::postgres::source::{ORDINARY, derived};
use crate::postgres::sql::{ident, literal, qualified, statement};

/// A relation that a query reads from.
#[derive(Deserialize)]
struct Read {
    schema: String,
    name: String,
    usage: bool,
    select: bool,
}

/// The finding of each stream that has a query or a condition.
pub(super) async fn findings(
    session: &mut Session,
    tables: &[Table],
    errand: &Errand,
    user: &str,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for table in tables {
        let Some(selection) = selection(errand, table).filter(|s| s.filter.is_some()) else { continue };
        found.push(condition(session, table, selection, user).await?);
    }
    for selection in errand.streams.iter().filter(|s| errand.schemas.is_empty() && s.query.is_some()) {
        found.push(query(session, selection, user).await?);
    }
    Ok(found)
}

async fn condition(
    session: &mut Session,
    table: &Table,
    selection: &StreamSelection,
    user: &str,
) -> Result<Finding> {
    let filter = selection.filter.as_deref().unwrap_or_default();
    let columns = match &selection.columns {
        Some(names) => names.iter().map(|name| format!("q.{}", ident(name))).collect::<Vec<_>>().join(", "),
        None => "q.*".to_owned(),
    };
    let sql = format!("EXPLAIN SELECT {columns} FROM {} AS q WHERE ({}\n)", table.sql(), statement(filter));
    let name = table.stream();
    Ok(match explained(session, &sql).await? {
        None => Finding::pass(RIGHTS, "where", "can be run").stream(name),
        Some(error) if error.kind() == Kind::Permission => {
            let grant = grant(table, None, user);
            Finding::failed(RIGHTS, "where", &error).stream(name).remedy(grant.clone()).grant(grant)
        }
        Some(error) => Finding::failed(RIGHTS, "where", &error).stream(name),
    })
}

async fn query(session: &mut Session, selection: &StreamSelection, user: &str) -> Result<Finding> {
    let text = selection.query.as_deref().unwrap_or_default();
    let sql = format!("EXPLAIN SELECT * FROM {}", derived(text));
    let finding = match explained(session, &sql).await? {
        None => Finding::pass(RIGHTS, "query", "can be run").stream(&selection.name),
        Some(error) if error.kind() == Kind::Permission => {
            let mut finding = Finding::failed(RIGHTS, "query", &error);
            for grant in missing(session, text, user).await? {
                finding = finding.grant(grant);
            }
            if !finding.grants.is_empty() {
                finding.remedy = Some(finding.grants.join("; "));
            }
            finding.stream(&selection.name)
        }
        Some(error) => Finding::failed(RIGHTS, "query", &error).stream(&selection.name),
    };
    Ok(finding)
}

/// The error of planning a statement; the rights to all that it reads are checked then.
async fn explained(session: &mut Session, sql: &str) -> Result<Option<Error>> {
    session.begin("READ ONLY").await?;
    let answer = session.query("look whether a statement can be run", sql).await;
    session.rollback().await;
    match answer {
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), Kind::Cancelled | Kind::Network | Kind::Timeout) => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// The grants of the relations that a query reads from and this role may not read. The server's
/// message names the first of them only.
async fn missing(session: &mut Session, query: &str, user: &str) -> Result<Vec<String>> {
    let named = relations(query);
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let one = |(schema, name): &(Option<String>, String)| match schema {
        Some(schema) => format!("(n.nspname = {} AND c.relname = {})", literal(schema), literal(name)),
        None => format!(
            "(c.relname = {} AND n.nspname = ANY (regexp_split_to_array(replace(current_setting('search_path'), '\"', ''), ' *, *')))",
            literal(name)
        ),
    };
    let conditions: Vec<String> = named.iter().map(one).collect();
    let sql = format!(
        "SELECT json_build_object('schema', n.nspname, 'name', c.relname,
    'usage', has_schema_privilege(n.oid, 'USAGE'), 'select', has_table_privilege(c.oid, 'SELECT'))::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {ORDINARY} AND ({})",
        conditions.join(" OR ")
    );
    let found: Vec<Read> = asked(session, "look what a query reads", &sql).await?;
    let to = ident(user);
    let schemas: BTreeSet<&str> = found.iter().filter(|r| !r.usage).map(|r| r.schema.as_str()).collect();
    let usage = schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {to}", ident(schema)));
    let select = found.iter().filter(|r| !r.select);
    let select = select.map(|r| format!("GRANT SELECT ON {} TO {to}", qualified(Some(&r.schema), &r.name)));
    Ok(usage.chain(select).collect())
}

/// The relations that stand behind FROM, JOIN and the commas between them.
pub(super) fn relations(query: &str) -> Vec<(Option<String>, String)> {
    let words = words(query);
    let mut found = Vec::new();
    let mut at = 0;
    let mut listing = false;
    while let Some(word) = words.get(at) {
        at += 1;
        match word {
            Word::Plain(text) if text == "join" => listing = true,
            Word::Plain(text) if text == "from" => listing = begins_a_list(&words, at),
            Word::Plain(text) if ["only", "lateral"].contains(&text.as_str()) => {}
            Word::Plain(text) if KEYWORDS.contains(&text.as_str()) => listing = false,
            Word::Mark(',') => listing = in_from(&words, at),
            Word::Plain(first) | Word::Quoted(first) if listing => {
                listing = false;
                let second = match (words.get(at), words.get(at + 1)) {
                    (Some(Word::Mark('.')), Some(Word::Plain(name) | Word::Quoted(name))) => Some(name),
                    _ => None,
                };
                // A function is called, not read.
                let next = words.get(if second.is_some() { at + 2 } else { at });
                if !matches!(next, Some(Word::Mark('('))) {
                    found.push(match second {
                        Some(name) => (Some(first.clone()), name.clone()),
                        None => (None, first.clone()),
                    });
                }
            }
            Word::Mark(_) => listing = false,
            _ => {}
        }
    }
    found
}

/// Whether the FROM before a word begins a list of relations: not that of `extract(year FROM d)`, nor
/// that of `IS DISTINCT FROM`.
fn begins_a_list(words: &[Word], at: usize) -> bool {
    let before = words.get(..at.saturating_sub(1)).unwrap_or_default();
    if before.last() == Some(&Word::Plain("distinct".to_owned())) {
        return false;
    }
    let mut depth = 0;
    for (place, word) in before.iter().enumerate().rev() {
        match word {
            Word::Mark(')') => depth += 1,
            Word::Mark('(') if depth > 0 => depth -= 1,
            Word::Mark('(') => {
                let caller = place.checked_sub(1).and_then(|place| before.get(place));
                return !matches!(caller, Some(Word::Plain(name)) if CALLS.contains(&name.as_str()));
            }
            _ => {}
        }
    }
    true
}

/// Functions whose arguments are told apart by FROM.
const CALLS: [&str; 4] = ["extract", "substring", "trim", "overlay"];

/// Whether the comma before a word belongs to a list of FROM: its clause began with FROM.
fn in_from(words: &[Word], at: usize) -> bool {
    let mut depth = 0;
    for word in words.get(..at.saturating_sub(1)).unwrap_or_default().iter().rev() {
        match word {
            Word::Mark(')') => depth += 1,
            Word::Mark('(') if depth == 0 => return false,
            Word::Mark('(') => depth -= 1,
            Word::Plain(text) if depth == 0 && text == "from" => return true,
            // The condition of a join ends nothing.
            Word::Plain(text) if ["on", "using"].contains(&text.as_str()) => {}
            Word::Plain(text) if depth == 0 && KEYWORDS.contains(&text.as_str()) => return false,
            _ => {}
        }
    }
    false
}

/// Words that begin another clause.
const KEYWORDS: [&str; 14] = [
    "select",
    "where",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "union",
    "intersect",
    "except",
    "window",
    "on",
    "using",
    "with",
];

/// A piece of SQL.
#[derive(Debug, PartialEq)]
enum Word {
    Plain(String),
    Quoted(String),
    Mark(char),
}

/// The pieces of a statement without its literals and comments.
fn words(sql: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = if rest.starts_with("--") {
            rest.split_once('\n').map_or("", |(_, after)| after)
        } else if rest.starts_with("/*") {
            rest.split_once("*/").map_or("", |(_, after)| after)
        } else if c == '\'' {
            tail.split_once('\'').map_or("", |(_, after)| after)
        } else if c == '"' {
            let (name, after) = quoted(tail);
            words.push(Word::Quoted(name));
            after
        } else if c.is_alphanumeric() || c == '_' {
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            words.push(Word::Plain(word.to_lowercase()));
            after
        } else {
            if !c.is_whitespace() {
                words.push(Word::Mark(c));
            }
            tail
        };
    }
    words
}

/// What stands up to the closing quote, and what comes after it.
fn quoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            name.push_str(rest);
            return (name, "");
        };
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return (name, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relations_of_a_query_are_those_that_it_reads_from() {
        let names = |sql: &str| -> Vec<String> {
            let found = relations(sql).into_iter();
            found.map(|(schema, name)| schema.map_or(name.clone(), |s| format!("{s}.{name}"))).collect()
        };
        assert_eq!(names("SELECT a, b FROM Sales.Orders o WHERE x = 'FROM y'"), ["sales.orders"]);
        assert_eq!(names("SELECT * FROM a, \"B c\" JOIN only d.e ON a.x = b.x, f"), ["a", "B c", "d.e", "f"]);
        assert_eq!(names("SELECT x FROM (SELECT 1 FROM t) q, u -- FROM v"), ["t", "u"]);
        assert_eq!(names("SELECT extract(year FROM d), now() FROM generate_series(1, 2), t"), ["t"]);
        assert_eq!(names("SELECT 1 FROM t WHERE a IS DISTINCT FROM b"), ["t"]);
        assert_eq!(names("/* FROM x */ SELECT 1, 2"), Vec::<String>::new());
    }
}
