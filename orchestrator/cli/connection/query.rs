//! `waybill connection query`: one statement of a person's own, read only.

use std::io::Read;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Kind, Logical, Result};

use super::cell;
use super::preview::Rows;
use super::session::{Systems, until_signal};
use super::sheet;
use crate::cli::terminal::Terminal;
use crate::store::config::load;
use crate::store::project::Project;
use crate::summary::units::counted;

/// Exit code of a statement that is none.
const USAGE: u8 = 2;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// With a line of names first; NULL is nothing, an empty text is ""
    Csv,
    /// One object a line
    Json,
}

/// Runs one statement in a read-only transaction.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// One statement; - reads it from standard input
    #[arg(value_name = "SQL")]
    sql: String,
    /// At the destination instead of the source
    #[arg(long)]
    destination: bool,
    /// How many rows
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// How rows are written; --output json is the same as json
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Format>,
}

/// Runs the statement, under the connection's query_timeout_ms.
pub(super) async fn query(terminal: &Terminal, project: &Project, args: QueryArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let sql = match args.sql.as_str() {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(1 << 20).read_to_string(&mut text);
            read.map_err(|e| Error::config(format!("standard input cannot be read: {e}")).cause(e))?;
            text
        }
        given => given.to_owned(),
    };
    if sql.trim().is_empty() {
        return Ok(terminal.usage("connection query", "SQL is empty: give one statement, such as 'SELECT 1'"));
    }
    let cancel = CancellationToken::new();
    let work = async {
        let systems = Systems::of(project, &config, connection, &cancel).await?;
        let source = if args.destination { systems.mirror().await? } else { systems.source().await? };
        let answer = source.query(&sql, args.limit).await;
        source.close().await;
        let answer = match answer.map_err(|e| systems.clean(e)) {
            Ok(answer) => answer,
            // The statement is wrong, not the config.
            Err(error) if error.kind() == Kind::Config => {
                terminal.error(&error);
                return Ok(USAGE);
            }
            Err(error) => return Err(error),
        };
        let more = answer.more;
        let rows = Rows { schema: answer.schema, batches: answer.batches, rejects: Vec::new() };
        show(terminal, &rows, args.format)?;
        if more {
            terminal
                .note(&format!("only the first {}: raise --limit to see more", counted(args.limit, "row")));
        }
        systems.warnings().iter().for_each(|warning| terminal.warn(warning));
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

/// Writes rows as wanted.
pub(super) fn show(terminal: &Terminal, rows: &Rows, format: Option<Format>) -> Result<()> {
    let usual = if terminal.json_wanted() { Format::Json } else { Format::Table };
    match format.unwrap_or(usual) {
        Format::Json => sheet::json_lines(rows)?.iter().try_for_each(|line| terminal.out(line)),
        Format::Csv => csv_lines(rows)?.iter().try_for_each(|line| terminal.out(line)),
        Format::Table => terminal.out(&sheet::render(terminal, rows)?),
    }
}

fn csv_lines(rows: &Rows) -> Result<Vec<String>> {
    let names: Vec<String> =
        rows.schema.fields().iter().map(|field| csv_cell(Some(field.name().clone()))).collect();
    let logicals: Vec<Logical> =
        rows.schema.fields().iter().map(|field| Logical::of(field)).collect::<Result<_>>()?;
    let mut lines = vec![names.join(",")];
    for batch in &rows.batches {
        for row in 0..batch.num_rows() {
            let cells = logicals.iter().zip(batch.columns());
            let cells: Vec<String> =
                cells.map(|(logical, array)| csv_cell(cell::plain(array, *logical, row))).collect();
            lines.push(cells.join(","));
        }
    }
    Ok(lines)
}

/// As RFC 4180 has it.
fn csv_cell(value: Option<String>) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text,
    }
}
