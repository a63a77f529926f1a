//! Writing runs: one statement for each table, whatever their number.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use waybill_protocol::{Error, Result, RunRecord, RunRow};

use super::columns::{EVENTS, RUNS, STREAMS, Table};
use super::{clean, taken_over};
use crate::postgres::destination::tx::{Args, Tx};

/// Writes runs into tables of the newest layout; the ids of those that were written.
pub(super) async fn write(tx: &mut Tx, runs: &[RunRecord], utf8: bool) -> Result<Vec<String>> {
    let runs = once_each(runs);
    let rows = document(runs.values().map(|record| &record.run), utf8)?;
    // Of two tellings of a run the one stays that knows more: a later run under the same id (the
    // earlier one was killed), one that said how it ended, one with more lines.
    let knows = |row: &str| {
        format!("coalesce({row}.started_at, '-infinity'), {row}.exit_code IS NOT NULL, {row}.log_lines")
    };
    // Ordered, so that two programs that write the same runs wait for each other and not in a circle.
    let sql = format!(
        "INSERT INTO {table} AS r ({names}) \
         SELECT {names} FROM jsonb_to_recordset($1::text::jsonb) AS n({record}) ORDER BY run_id \
         ON CONFLICT (run_id) DO UPDATE SET {taken_over}, written_at = now() \
         WHERE r.digest <> excluded.digest AND ({old}) <= ({new}) RETURNING run_id",
        table = RUNS.sql(),
        names = RUNS.names(),
        record = RUNS.record(),
        taken_over = taken_over(),
        old = knows("r"),
        new = knows("excluded"),
    );
    let rows = tx.fetch(&sql, Args::default().with(rows)?).await?;
    let written: BTreeSet<String> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, sqlx::Error>>()
        .map_err(|e| Error::internal("a row is not as it was asked for").cause(e))?;
    // An id with what the database cannot hold stands there in another spelling.
    let ours = |record: &&&RunRecord| written.contains(&spelled(&record.run.run_id, utf8));
    let new: Vec<&&RunRecord> = runs.values().filter(ours).collect();
    let ids: Vec<String> = written.iter().cloned().collect();
    if !ids.is_empty() {
        replace(tx, &STREAMS, &ids, document(new.iter().flat_map(|record| &record.streams), utf8)?).await?;
        replace(tx, &EVENTS, &ids, document(new.iter().flat_map(|record| &record.events), utf8)?).await?;
    }
    Ok(new.into_iter().map(|record| record.run.run_id.clone()).collect())
}

/// What belongs to these runs goes, and what is said now comes.
async fn replace(tx: &mut Tx, table: &Table, ids: &[String], rows: String) -> Result<()> {
    let gone = format!(
        "DELETE FROM {} WHERE run_id IN (SELECT jsonb_array_elements_text($1::text::jsonb))",
        table.sql()
    );
    tx.execute(&gone, Args::default().with(Value::from(ids).to_string())?).await?;
    if rows == "[]" {
        return Ok(());
    }
    let come = format!(
        "INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_to_recordset($1::text::jsonb) AS n({record})",
        table = table.sql(),
        names = table.names(),
        record = table.record(),
    );
    tx.execute(&come, Args::default().with(rows)?).await.map(drop)
}

/// The runs by id; of two under one id the one that knows more.
fn once_each(runs: &[RunRecord]) -> BTreeMap<&str, &RunRecord> {
    let mut all: BTreeMap<&str, &RunRecord> = BTreeMap::new();
    for record in runs {
        let place = all.entry(&record.run.run_id).or_insert(record);
        if knowledge(&place.run) <= knowledge(&record.run) {
            *place = record;
        }
    }
    all
}

fn knowledge(run: &RunRow) -> (Option<&str>, bool, i64) {
    (run.started_at.as_deref(), run.exit_code.is_some(), run.log_lines)
}

fn spelled(text: &str, utf8: bool) -> String {
    match clean::cleaned(Value::from(text), utf8) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Rows as one JSON document.
fn document<'a, T: Serialize + 'a>(rows: impl Iterator<Item = &'a T>, utf8: bool) -> Result<String> {
    let broken = |e: serde_json::Error| Error::internal("a row of the run history is no JSON").cause(e);
    let rows: Vec<Value> = rows.map(serde_json::to_value).collect::<Result<_, _>>().map_err(broken)?;
    Ok(clean::cleaned(Value::Array(rows), utf8).to_string())
}
