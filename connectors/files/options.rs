//! What a stream's entry may say about its files, as written and as resolved.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use waybill_protocol::connector::read_settings;
use waybill_protocol::{Error, Logical, Result, StreamSelection};

/// How rows are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Separated values, with quotes as RFC 4180 has them.
    Csv,
    /// One JSON object a line (also called NDJSON).
    Jsonl,
}

/// Whether files are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Gzip where the name ends in `.gz` or the content begins like gzip.
    #[default]
    Auto,
    /// Never.
    None,
    /// Always gzip, of one or more members.
    Gzip,
}

/// What to do with a file that was loaded before and is not the same now (incremental reading).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// Fail the stream, naming the file.
    #[default]
    Fail,
    /// Delete the file's rows by the column `_file`, which is then always there, and load it again.
    Reload,
    /// Load what follows the known beginning, which must be unchanged; a last line without its
    /// line end waits for it. Not for gzip.
    Tail,
}

/// The stream options of `files`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// A file, or a glob such as `data/*.csv` or `in/**/*.jsonl.gz`, from the source's root. Files
    /// of a glob are read in the order of their paths; hidden ones are left out.
    pub path: String,
    /// How rows are written. Default: from the extension (csv, jsonl, ndjson, each also with .gz).
    #[serde(default)]
    pub format: Option<Format>,
    /// Whether the files are packed. Default: `auto`.
    #[serde(default)]
    pub compression: Compression,
    /// CSV: the character between fields, one byte. Default: `,`.
    #[serde(default)]
    pub delimiter: Option<Delimiter>,
    /// CSV: the quote character, one byte; empty for files without quoting. Default: `"`.
    #[serde(default)]
    pub quote: Option<Quote>,
    /// CSV: whether the first line names the columns; otherwise they are `column_1`, `column_2`, …
    /// Default: true.
    #[serde(default)]
    pub header: Option<bool>,
    /// CSV: unquoted fields that mean NULL. Default: `[""]`. A quoted field is never NULL.
    #[serde(default)]
    pub null_values: Option<Vec<String>>,
    /// Types by column (`{"price": "decimal(12,2)"}`) in place of inferred ones. A declared type
    /// never widens: a value that does not fit is a row error.
    #[serde(default)]
    pub types: BTreeMap<String, ColumnType>,
    /// Adds the columns `_file` (path from the glob's fixed folder) and `_line` (where the row begins).
    #[serde(default)]
    pub file_columns: bool,
    /// What to do with a file that changed since it was loaded. Default: `fail`.
    #[serde(default)]
    pub on_change: OnChange,
}

/// The character between fields.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Delimiter(u8);

/// The quote character, or none.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Quote(Option<u8>);

/// A declared type, as [`Logical`] reads it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct ColumnType(Logical);

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if !matches!(byte, 0 | b'\n' | b'\r') => Ok(*byte),
        _ => Err(format!("{text:?} is not one character of one byte other than a line end")),
    }
}

impl TryFrom<String> for Delimiter {
    type Error = String;
    fn try_from(text: String) -> Result<Delimiter, String> {
        one_byte(&text).map(Delimiter)
    }
}

impl TryFrom<String> for Quote {
    type Error = String;
    fn try_from(text: String) -> Result<Quote, String> {
        if text.is_empty() { Ok(Quote(None)) } else { one_byte(&text).map(|byte| Quote(Some(byte))) }
    }
}

impl TryFrom<String> for ColumnType {
    type Error = String;
    fn try_from(text: String) -> Result<ColumnType, String> {
        let logical: Logical =
            text.parse().map_err(|e: Error| format!("{e}; {}", e.get_hint().unwrap_or_default()))?;
        match logical {
            Logical::Bytes | Logical::Interval => Err(format!("files hold no values of type {logical}")),
            other => Ok(ColumnType(other)),
        }
    }
}

macro_rules! text_schema {
    ($type:ty, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text_schema!(Delimiter, {"type": "string", "minLength": 1, "maxLength": 1});
text_schema!(Quote, {"type": "string", "maxLength": 1});
text_schema!(ColumnType, {
    "type": "string",
    "pattern": "^(bool|int16|int32|int64|float32|float64|numeric|text|json|uuid|date|time|timestamp|timestamptz|decimal\\([0-9]+, ?[0-9]+\\))$"
});

/// A stream's options with every default filled in.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub path: String,
    pub format: Format,
    pub compression: Compression,
    pub delimiter: u8,
    pub quote: Option<u8>,
    pub header: bool,
    pub nulls: Vec<Vec<u8>>,
    pub types: BTreeMap<String, Logical>,
    pub file_column: bool,
    pub line_column: bool,
    pub on_change: OnChange,
}

impl Layout {
    /// Reads and checks the options of a selection.
    pub(super) fn of(selection: &StreamSelection) -> Result<Layout> {
        Layout::resolve(selection).map_err(|e| e.stream(&selection.name))
    }

    fn resolve(selection: &StreamSelection) -> Result<Layout> {
        for (given, member) in [(selection.query.is_some(), "query"), (selection.filter.is_some(), "where")] {
            if given {
                return Err(Error::config(format!("{member}: files are read whole, without SQL")).hint(
                    format!("remove {member}, or load the files into a database and read from there"),
                ));
            }
        }
        let options: StreamOptions = read_settings(&Value::Object(selection.options.clone()))?;
        if options.path.is_empty() || options.path.contains('\0') {
            return Err(Error::config("path: names no file").hint("set path to a file or a glob"));
        }
        let format = options.format.or_else(|| format_of(&options.path)).ok_or_else(|| {
            Error::config(format!("format: cannot be told from path {:?}", options.path))
                .hint("set format to csv or jsonl")
        })?;
        if format == Format::Jsonl {
            refuse_csv_options(&options)?;
        }
        let delimiter = options.delimiter.map_or(b',', |d| d.0);
        let quote = options.quote.map_or(Some(b'"'), |q| q.0);
        if quote == Some(delimiter) {
            return Err(Error::config("quote: the same character as delimiter"));
        }
        let nulls = options.null_values.unwrap_or_else(|| vec![String::new()]);
        Ok(Layout {
            path: options.path,
            format,
            compression: options.compression,
            delimiter,
            quote,
            header: options.header.unwrap_or(true),
            nulls: nulls.into_iter().map(String::into_bytes).collect(),
            types: options.types.into_iter().map(|(name, t)| (name, t.0)).collect(),
            file_column: options.file_columns || options.on_change == OnChange::Reload,
            line_column: options.file_columns,
            on_change: options.on_change,
        })
    }

    /// The layout of a file found by its extension, with every default.
    pub(super) fn of_file(path: &str) -> Option<Layout> {
        let mut selection = StreamSelection::named(path);
        selection.options.insert("path".into(), Value::from(path));
        Layout::resolve(&selection).ok()
    }
}

fn refuse_csv_options(options: &StreamOptions) -> Result<()> {
    for (given, member) in [
        (options.delimiter.is_some(), "delimiter"),
        (options.quote.is_some(), "quote"),
        (options.header.is_some(), "header"),
        (options.null_values.is_some(), "null_values"),
    ] {
        if given {
            return Err(Error::config(format!("{member}: means nothing for JSONL"))
                .hint(format!("remove {member}, or set format to csv")));
        }
    }
    Ok(())
}

/// The format that a path's extension says.
pub(super) fn format_of(path: &str) -> Option<Format> {
    let lower = path.to_ascii_lowercase();
    let name = lower.strip_suffix(".gz").unwrap_or(&lower);
    match name.rsplit_once('.')?.1 {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}
