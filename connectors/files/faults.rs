//! What can go wrong with a file, as errors that name it.

use std::io;

use waybill_protocol::{Error, Kind};

/// Why a row cannot be loaded, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    /// The column at fault, where one is.
    pub column: Option<String>,
    /// Why.
    pub reason: String,
}

impl Flaw {
    /// A flaw of the row as a whole.
    pub(super) fn row(reason: impl Into<String>) -> Flaw {
        Flaw { column: None, reason: reason.into() }
    }

    /// A flaw of one column's value.
    pub(super) fn column(column: &str, reason: impl Into<String>) -> Flaw {
        Flaw { column: Some(column.to_owned()), reason: reason.into() }
    }
}

/// A failure of the file system.
pub(super) fn io(path: &str, error: io::Error) -> Error {
    let (kind, what, hint) = match error.kind() {
        io::ErrorKind::NotFound => (Kind::NotFound, "does not exist", "look whether the path is right"),
        io::ErrorKind::PermissionDenied => {
            (Kind::Permission, "may not be read", "allow the user that runs waybill to read it")
        }
        io::ErrorKind::IsADirectory => {
            (Kind::Config, "is a folder, not a file", "name a file or a glob such as folder/*.csv")
        }
        io::ErrorKind::NotADirectory => (
            Kind::NotFound,
            "does not exist: a part of the path is no folder",
            "look whether the path is right",
        ),
        _ => (Kind::Data, "could not be read", "look after the disk or the mount, then run again"),
    };
    // Only what the table of kinds cannot know: a failing disk or mount may work a moment later.
    let transient = kind == Kind::Data;
    Error::new(kind, format!("{path} {what}")).hint(hint).retry(transient).cause(error)
}

/// A failure while reading the content of a file; `gzip` where it is unpacked on the way.
pub(super) fn content(path: &str, gzip: bool, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        UnexpectedEof if gzip => Error::data(format!("{path}: the gzip data is cut off"))
            .hint("copy the file again; nothing of it was committed")
            .cause(error),
        InvalidData | InvalidInput if gzip => {
            Error::data(format!("{path}: not valid gzip data, or something follows it"))
                .hint("copy the file again, or set compression to none if it is not packed")
                .cause(error)
        }
        _ => io(path, error),
    }
}

/// A file that did not stay as it was while it was read.
pub(super) fn moved(path: &str) -> Error {
    Error::data(format!("{path} changed while it was read"))
        .hint("run again when its writer is done, or set on_change to tail for a file that only grows")
        .retry(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_file_system_says_what_and_what_next() {
        let of = |kind| io("in/a.csv", io::Error::from(kind));
        let denied = of(io::ErrorKind::PermissionDenied);
        assert_eq!((denied.kind(), denied.message()), (Kind::Permission, "in/a.csv may not be read"));
        assert_eq!(of(io::ErrorKind::NotFound).kind(), Kind::NotFound);
        assert_eq!(of(io::ErrorKind::IsADirectory).kind(), Kind::Config);
        let broken = io("in/a.csv", io::Error::other("input/output error"));
        assert!(broken.retryable() && broken.get_hint().is_some());
        assert_eq!(broken.causes(), ["input/output error"]);
    }
}
