//! What belongs to a table and moves over to the one that takes its place.

use waybill_protocol::{Error, Kind, Result, StreamLoad};

use super::declare;
use super::names::{Place, hash8, idents};
use super::tx::{Tx, state_of};
use crate::postgres::session::text;
use crate::postgres::sql::{ident, literal};

/// An index or a constraint: built on the staging table under a name of its own, renamed after the swap.
#[derive(Debug)]
struct Belonging {
    name: String,
    interim: String,
    constraint: bool,
    /// Builds it on the staging table.
    build: String,
}

/// The indexes and constraints of a table that is to be replaced, and its primary key.
#[derive(Debug, Default)]
pub(super) struct Belongings {
    all: Vec<Belonging>,
    key_name: Option<String>,
    /// Columns that are NOT NULL, beside those of the primary key.
    not_null: Vec<String>,
}

/// One thing that the staging table does not have yet.
pub(super) struct Step {
    sql: String,
    what: What,
}

enum What {
    Key,
    NotNull(String),
    Belonging(String),
}

/// Names a thing so that it cannot meet another while both tables exist.
fn interim(stage: &Place, name: &str) -> String {
    format!("_waybill_ix_{}", hash8(&[&stage.schema, &stage.name, name]))
}

/// Reads what the table has. A primary key of its own is carried only where the load brings none.
pub(super) async fn collect(tx: &mut Tx, oid: u32, stage: &Place, load: &StreamLoad) -> Result<Belongings> {
    let mut found = Belongings::default();
    let sql = format!(
        "SELECT attname::text FROM pg_catalog.pg_attribute a WHERE attrelid = {oid} AND attnum > 0 AND attnotnull \
         AND NOT attisdropped AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid \
         AND i.indisprimary AND a.attnum = ANY(i.indkey::int2[])) ORDER BY attnum"
    );
    found.not_null = names(tx, &sql).await?;
    let given_up = declare::given_up(load);
    found.not_null.retain(|name| !given_up.contains(&name.as_str()));
    let sql = format!(
        "SELECT conname::text, contype::text, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint \
         WHERE conrelid = {oid} AND contype IN ('c', 'u', 'x', 'f', 'p') ORDER BY contype = 'f', conname"
    );
    for row in tx.run(&sql).await? {
        let name = text(&row, 0)?.unwrap_or_default();
        if text(&row, 1)?.as_deref() == Some("p") {
            found.key_name = Some(name.clone());
            if !load.key.is_empty() {
                continue;
            }
        }
        let interim = interim(stage, &name);
        let definition = text(&row, 2)?.unwrap_or_default();
        let build = format!("ALTER TABLE {} ADD CONSTRAINT {} {definition}", stage.sql(), ident(&interim));
        found.all.push(Belonging { name, interim, constraint: true, build });
    }
    let sql = format!(
        "SELECT name, head, left(definition, length(head)) = head AS known, substr(definition, length(head) + 1), uniq \
         FROM (SELECT ic.relname::text AS name, pg_catalog.pg_get_indexdef(i.indexrelid) AS definition, \
         'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(ic.relname) \
         || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' ' AS head, \
         CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END AS uniq \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE i.indrelid = {oid} AND i.indisvalid AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k \
         WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))) AS x ORDER BY name"
    );
    for row in tx.run(&sql).await? {
        let name = text(&row, 0)?.unwrap_or_default();
        if text(&row, 2)?.as_deref() != Some("t") {
            return Err(Error::new(
                Kind::Destination,
                format!("the definition of index {name:?} is not understood"),
            )
            .hint("drop the index before the load and create it again afterwards"));
        }
        let interim = interim(stage, &name);
        let (tail, unique) = (text(&row, 3)?.unwrap_or_default(), text(&row, 4)?.unwrap_or_default());
        let build = format!("CREATE {unique}INDEX {} ON {} {tail}", ident(&interim), stage.sql());
        found.all.push(Belonging { name, interim, constraint: false, build });
    }
    Ok(found)
}

/// The name of a table's primary key constraint.
async fn key_of(tx: &mut Tx, place: &Place) -> Result<Option<String>> {
    let sql = format!(
        "SELECT conname::text FROM pg_catalog.pg_constraint WHERE contype = 'p' AND conrelid = {}::regclass",
        literal(&place.sql())
    );
    match tx.run(&sql).await?.first() {
        Some(row) => text(row, 0),
        None => Ok(None),
    }
}

/// Whether two tables have one primary key, or both none.
pub(super) async fn same_key(tx: &mut Tx, one: &Place, other: &Place) -> Result<bool> {
    let mut found = Vec::new();
    for place in [one, other] {
        let sql = format!(
            "SELECT pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE contype = 'p' AND conrelid = {}::regclass",
            literal(&place.sql())
        );
        found.push(names(tx, &sql).await?);
    }
    Ok(found.first() == found.last())
}

/// What the staging table does not have yet.
pub(super) async fn missing(
    tx: &mut Tx,
    stage: &Place,
    load: &StreamLoad,
    belongings: &Belongings,
) -> Result<Vec<Step>> {
    let table = stage.sql();
    let mut steps = Vec::new();
    if !load.key.is_empty() && key_of(tx, stage).await?.is_none() {
        let (key, name) = (idents(load.key.iter().map(String::as_str)), ident(&interim(stage, "")));
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY ({key})");
        steps.push(Step { sql, what: What::Key });
    }
    let present = format!(
        "SELECT conname::text FROM pg_catalog.pg_constraint WHERE conrelid = {0}::regclass \
         UNION ALL SELECT c.relname::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         WHERE i.indrelid = {0}::regclass",
        literal(&table)
    );
    let present = names(tx, &present).await?;
    let not_null = format!(
        "SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = {}::regclass AND attnotnull",
        literal(&table)
    );
    let not_null = names(tx, &not_null).await?;
    for column in belongings.not_null.iter().filter(|c| !not_null.contains(c) && !load.key.contains(c)) {
        let sql = format!("ALTER TABLE {table} ALTER COLUMN {} SET NOT NULL", ident(column));
        steps.push(Step { sql, what: What::NotNull(column.clone()) });
    }
    for b in belongings.all.iter().filter(|b| !present.contains(&b.interim)) {
        steps.push(Step { sql: b.build.clone(), what: What::Belonging(b.name.clone()) });
    }
    Ok(steps)
}

async fn names(tx: &mut Tx, sql: &str) -> Result<Vec<String>> {
    tx.run(sql).await?.iter().map(|row| Ok(text(row, 0)?.unwrap_or_default())).collect()
}

/// Builds what is missing. It may take long; nobody reads the staging table.
pub(super) async fn build(tx: &mut Tx, load: &StreamLoad, steps: Vec<Step>) -> Result<()> {
    for step in steps {
        tx.run(&step.sql).await.map_err(|e| match step.what {
            What::Key => key_error(load, e),
            What::NotNull(column) => e
                .context(format!("table {} wants a value in column {column:?}, and new rows have none", load.table))
                .hint("let the column be NULL (ALTER COLUMN … DROP NOT NULL), or correct the rows at the source"),
            What::Belonging(name) => e
                .context(format!("table {} has {name:?}, which the new rows do not fit", load.table))
                .hint("drop it, or correct the rows at the source"),
        })?;
    }
    Ok(())
}

fn key_error(load: &StreamLoad, error: Error) -> Error {
    let key = load.key.join(", ");
    let what = match state_of(&error).as_str() {
        "23505" => format!("two rows have the same key ({key})"),
        "23502" => format!("a row has NULL in its key ({key})"),
        _ => return error.context(format!("the primary key ({key}) cannot be built")),
    };
    Error::data(what)
        .code(state_of(&error))
        .stream(&load.stream)
        .hint("choose a `primary_key` that is unique and complete, or load the stream without one")
        .cause(error)
}

/// The statements that give everything its own name again, once the old table is gone.
pub(super) async fn rename(
    tx: &mut Tx,
    target: &Place,
    belongings: &Belongings,
    load: &StreamLoad,
) -> Result<()> {
    let mut statements = Vec::new();
    for b in &belongings.all {
        statements.push(match b.constraint {
            true => format!(
                "ALTER TABLE {} RENAME CONSTRAINT {} TO {}",
                target.sql(),
                ident(&b.interim),
                ident(&b.name)
            ),
            false => {
                format!("ALTER INDEX {} RENAME TO {}", target.sibling(&b.interim).sql(), ident(&b.name))
            }
        });
    }
    if !load.key.is_empty()
        && let Some(now) = key_of(tx, target).await?
    {
        let wanted = belongings.key_name.clone().unwrap_or_else(|| key_name(&target.name));
        let sql = format!(
            "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {}",
            literal(&target.schema),
            literal(&wanted)
        );
        if now != wanted && tx.run(&sql).await?.is_empty() {
            let table = target.sql();
            statements.push(format!(
                "ALTER TABLE {table} RENAME CONSTRAINT {} TO {}",
                ident(&now),
                ident(&wanted)
            ));
        }
    }
    if !statements.is_empty() {
        tx.run(&statements.join("; ")).await?;
    }
    Ok(())
}

/// `<table>_pkey` within 63 bytes.
fn key_name(table: &str) -> String {
    let mut end = table.len().min(58);
    while !table.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_pkey", table.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::key_name;

    #[test]
    fn the_name_of_a_key_stays_within_the_limit() {
        assert_eq!(key_name("orders"), "orders_pkey");
        let long = "é".repeat(40);
        assert!(key_name(&long).len() <= 63 && key_name(&long).ends_with("é_pkey"));
    }
}
