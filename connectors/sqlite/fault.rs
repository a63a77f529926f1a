//! What SQLite's errors mean: kind, code, hint.

use rusqlite::ffi::ErrorCode;
use waybill_protocol::{Error, Kind, Origin, Result};

/// Turns SQLite's error into the contract's, saying what was being done and on which side.
pub(crate) fn fault(origin: Origin, doing: &str, error: rusqlite::Error) -> Error {
    let (code, extended) = match &error {
        rusqlite::Error::SqliteFailure(e, _) => (Some(e.code), e.extended_code),
        rusqlite::Error::SqlInputError { error: e, .. } => (Some(e.code), e.extended_code),
        _ => (None, 0),
    };
    // A failure of the peer that is neither the data's nor the person's: by side.
    let broken = if origin == Origin::Destination { Kind::Destination } else { Kind::Data };
    let (kind, retry, hint) = match code {
        Some(ErrorCode::OperationInterrupted) => return Error::cancelled().origin(origin).cause(error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (Kind::Timeout, true, BUSY),
        Some(ErrorCode::DiskFull) => (broken, false, "free some space on the disk, then run again"),
        Some(ErrorCode::ReadOnly) => {
            (Kind::Permission, false, "make the file and its folder writable for this user")
        }
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (Kind::Permission, false, "let this user read and write the file and its folder")
        }
        Some(ErrorCode::CannotOpen) => (
            Kind::Permission,
            false,
            "check that the path is a file and that its folder can be entered and written",
        ),
        Some(ErrorCode::NotADatabase) => {
            (broken, false, "give the path of a SQLite database, or move that file away")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            broken,
            false,
            "the file is damaged: restore it from a copy, or save what is readable with `sqlite3 FILE .recover`",
        ),
        // The file beside the database that its readers share could not grow.
        Some(ErrorCode::SystemIoFailure) if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
            (broken, false, "the disk seems to be full: free some space on the disk, then run again")
        }
        Some(ErrorCode::SystemIoFailure) => (broken, true, "look at the disk and the system's log"),
        Some(ErrorCode::OutOfMemory) => (broken, true, "free some memory, then run again"),
        Some(ErrorCode::TooBig) => (Kind::Data, false, "SQLite holds values and rows of up to 1 GB"),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            (Kind::Data, false, "the table's own constraints refuse a row")
        }
        // What a person wrote (`query`, `where`) or a table that has changed.
        Some(ErrorCode::Unknown | ErrorCode::SchemaChanged) if origin == Origin::Source => {
            (Kind::Schema, false, "look at the stream's query, where and columns")
        }
        _ => (broken, false, ""),
    };
    let mut text = text_of(&error);
    if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE {
        text = format!("the disk seems to be full ({text})");
    }
    let mut out = Error::new(kind, format!("{doing}: {text}")).origin(origin).retry(retry);
    if !hint.is_empty() {
        out = out.hint(hint);
    }
    if extended != 0 {
        out = out.code(code_name(extended));
    }
    out.cause(error)
}

const CODES: [&str; 27] = [
    "OK",
    "ERROR",
    "INTERNAL",
    "PERM",
    "ABORT",
    "BUSY",
    "LOCKED",
    "NOMEM",
    "READONLY",
    "INTERRUPT",
    "IOERR",
    "CORRUPT",
    "NOTFOUND",
    "FULL",
    "CANTOPEN",
    "PROTOCOL",
    "EMPTY",
    "SCHEMA",
    "TOOBIG",
    "CONSTRAINT",
    "MISMATCH",
    "MISUSE",
    "NOLFS",
    "AUTH",
    "FORMAT",
    "RANGE",
    "NOTADB",
];

/// SQLite's name of a result code, and its number where it is an extended one.
fn code_name(extended: i32) -> String {
    let name = usize::try_from(extended & 0xff).ok().and_then(|at| CODES.get(at)).unwrap_or(&"ERROR");
    if extended > 0xff { format!("SQLITE_{name}({extended})") } else { format!("SQLITE_{name}") }
}

const BUSY: &str =
    "another program is writing to the file: let it finish (`lsof FILE` names it), or raise busy_timeout_ms";

/// SQLite's own words, without the statement that a syntax error carries along.
fn text_of(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(e, None) => e.to_string(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// Whether the error only says that somebody else holds a lock.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the error says that a constraint refused a row.
pub(crate) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Names what was being done when SQLite failed.
pub(crate) trait Doing<T> {
    /// As the destination.
    fn loading(self, doing: &str) -> Result<T>;
    /// As the source.
    fn reading(self, doing: &str) -> Result<T>;
}

impl<T> Doing<T> for rusqlite::Result<T> {
    fn loading(self, doing: &str) -> Result<T> {
        self.map_err(|e| fault(Origin::Destination, doing, e))
    }

    fn reading(self, doing: &str) -> Result<T> {
        self.map_err(|e| fault(Origin::Source, doing, e))
    }
}
