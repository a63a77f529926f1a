//! What a preflight finds: can a connection do what it is set up to do?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::destination::TableRef;
use crate::error::{Error, ErrorRecord};
use crate::source::Check;
use crate::stream::{StreamSelection, WriteMode};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is as it has to be.
    Pass,
    /// It works, and a person should know this.
    Warn,
    /// What the connection is set up to do cannot be done.
    Fail,
}

/// One named check of a preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it belongs to: `server`, `rights`, `streams`, `change capture`.
    pub group: String,
    /// Its name, the same in every version: `reachable`, `select`, `cursor index`.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// What was found, in a few words.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The stream that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Statements that an administrator runs to grant what is missing: exactly that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The error that it met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

impl Finding {
    /// A finding that ended so.
    pub fn new(group: &str, name: &str, status: Status, detail: impl Into<String>) -> Finding {
        Finding {
            group: group.to_owned(),
            name: name.to_owned(),
            status,
            detail: detail.into(),
            remedy: None,
            stream: None,
            grants: Vec::new(),
            error: None,
        }
    }

    /// One that passed.
    pub fn pass(group: &str, name: &str, detail: impl Into<String>) -> Finding {
        Finding::new(group, name, Status::Pass, detail)
    }

    /// One that a person should know.
    pub fn warn(group: &str, name: &str, detail: impl Into<String>) -> Finding {
        Finding::new(group, name, Status::Warn, detail)
    }

    /// One that failed.
    pub fn fail(group: &str, name: &str, detail: impl Into<String>) -> Finding {
        Finding::new(group, name, Status::Fail, detail)
    }

    /// One that an error ended; its hint is the remedy.
    pub fn failed(group: &str, name: &str, error: &Error) -> Finding {
        let finding = Finding::fail(group, name, error.message());
        let remedy = error.get_hint().map(str::to_owned);
        let stream = error.get_stream().map(str::to_owned);
        Finding { remedy, stream, error: Some(error.record()), ..finding }
    }

    /// A finding of a plain check.
    pub fn of(check: Check) -> Finding {
        let status = match (&check.error, &check.warning) {
            (Some(_), _) => Status::Fail,
            (None, Some(_)) => Status::Warn,
            (None, None) => Status::Pass,
        };
        let hint = check.error.as_ref().and_then(|error| error.hint.clone());
        let finding = Finding::new("checks", &check.check, status, check.detail);
        Finding { remedy: hint.or(check.warning), error: check.error, ..finding }
    }

    /// Says what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says which stream it is about.
    pub fn stream(mut self, stream: impl Into<String>) -> Finding {
        self.stream = Some(stream.into());
        self
    }

    /// Adds a statement that grants what is missing.
    pub fn grant(mut self, statement: impl Into<String>) -> Finding {
        self.grants.push(statement.into());
        self
    }
}

/// What one side of a connection is set up to do.
#[derive(Debug, Clone, Default)]
pub struct Errand {
    /// The name of the connection, or of the destination, for people.
    pub name: String,
    /// The streams that are selected; empty: whatever there is.
    pub streams: Vec<StreamSelection>,
    /// Only these schemas; empty: all of them.
    pub schemas: Vec<String>,
    /// What is loaded, for a destination.
    pub loads: Vec<Load>,
}

/// A table that a stream is loaded into.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The stream.
    pub stream: String,
    /// Its table.
    pub table: TableRef,
    /// How it is written.
    pub write: WriteMode,
    /// Whether the table is on record as this connection's.
    pub owned: bool,
    /// Whether a table that is nobody's on record may be taken over.
    pub adopt: bool,
}

/// What a connector found in one role.
#[derive(Debug, Clone, Default)]
pub struct Preflight {
    /// The findings, in the order in which they are to be read.
    pub findings: Vec<Finding>,
    /// A script for an administrator that grants what is missing and nothing else; absent where
    /// nothing is, or where a grant does not help. No secret is in it.
    pub script: Option<String>,
}

impl Preflight {
    /// A preflight that is made of plain checks.
    pub fn of_checks(checks: Vec<Check>) -> Preflight {
        Preflight { findings: checks.into_iter().map(Finding::of).collect(), script: None }
    }

    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|finding| finding.status != Status::Fail)
    }
}

/// One thing that the making of a destination did, or found done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// What: `role "loader"`, `database "warehouse"`.
    pub what: String,
    /// Whether it was made now; otherwise it was there.
    pub now: bool,
    /// What a person should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Made {
    /// Made now, or found.
    pub fn new(what: impl Into<String>, now: bool) -> Made {
        Made { what: what.into(), now, note: None }
    }
}
