//! The server's and the driver's faults as errors of the contract.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgSeverity};
use waybill_protocol::{Context, Error, Kind, Origin};

use super::address::Address;
use super::explain::Found;
use super::refusal;
use crate::deadline;

/// What is known about the moment of a fault.
pub(super) struct Circumstances<'a> {
    /// `host:port` of the server.
    pub(super) server: &'a str,
    /// How it is reached, and as whom.
    pub(super) address: &'a Address,
    /// The session's context.
    pub(super) ctx: &'a Context,
    /// Which side the session is.
    pub(super) origin: Origin,
    /// The limit that the server was told for the statement; none for bulk statements.
    pub(super) limit: Option<Duration>,
    /// How long the statement has been running.
    pub(super) elapsed: Duration,
    /// What else was found out about a connection that could not be made.
    pub(super) found: Option<Found>,
}

/// Makes an error of the contract out of the driver's. The cause is kept, without the server's
/// DETAIL and without values.
pub(super) fn classify(error: sqlx::Error, at: &Circumstances<'_>) -> Error {
    match error {
        sqlx::Error::Database(inner) => match inner.try_downcast::<PgDatabaseError>() {
            Ok(report) => from_server(&report, at),
            Err(other) => Error::internal("an error of another system").cause(other.to_string()),
        },
        // The TLS library reports a certificate that it does not accept as bad data of the socket.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            refusal::tls(&io.to_string(), at).cause(io)
        }
        sqlx::Error::Io(io) => refusal::socket(io, at),
        sqlx::Error::Tls(cause) => refusal::tls(&cause.to_string(), at).cause(cause),
        sqlx::Error::Configuration(cause) => {
            Error::config(format!("the driver refuses the settings for {}", at.server)).cause(cause)
        }
        sqlx::Error::Protocol(text) => {
            Error::new(Kind::Network, format!("{} does not answer as PostgreSQL does", at.server))
                .hint("look whether host and port are those of a PostgreSQL server")
                .cause(text)
        }
        other => Error::internal("the driver could not read an answer").cause(other),
    }
    .origin(at.origin)
}

fn from_server(report: &PgDatabaseError, at: &Circumstances<'_>) -> Error {
    let code = report.code().to_owned();
    let shown = Report {
        severity: report.severity(),
        code: code.clone(),
        message: without_values(&code, report.message()),
        place: report.r#where().and_then(copy_place),
    };
    if code == "57014" {
        return ended(shown, at).code(code);
    }
    let (kind, retry) = kind_of(&code, at.origin);
    if let Some((message, hint)) = refusal::server(&code, report.routine().unwrap_or_default(), at) {
        return Error::new(kind, message).code(code).retry(retry).hint(hint).cause(shown);
    }
    let mut message = shown.message.clone();
    if let Some(place) = &shown.place {
        message = format!("{message} ({place})");
    }
    let mut error = Error::new(kind, message).code(code.clone()).retry(retry);
    if let Some(hint) = hint_of(&code, at) {
        error = error.hint(hint);
    } else if let Some(hint) = report.hint().filter(|_| !code.starts_with("22")) {
        error = error.hint(hint);
    }
    error.cause(shown)
}

/// A statement that the server ended: by its own limit, by our wish, or by somebody else's.
fn ended(shown: Report, at: &Circumstances<'_>) -> Error {
    if at.ctx.cancel.is_cancelled() {
        return Error::cancelled().cause(shown);
    }
    match at.limit {
        // The server's words are in its own language; time tells the two apart in any.
        Some(limit) if at.elapsed + Duration::from_millis(50) >= limit => {
            deadline::exceeded(at.ctx).cause(shown)
        }
        _ => Error::new(Kind::Network, "somebody else had the server cancel the query")
            .hint("find out who called pg_cancel_backend, or try again")
            .cause(shown),
    }
}

/// Kind and whether an unchanged later attempt may succeed.
fn kind_of(code: &str, origin: Origin) -> (Kind, bool) {
    let class = code.get(..2).unwrap_or_default();
    let kind = match (class, code) {
        ("28", _) => Kind::Auth,
        (_, "42501") => Kind::Permission,
        ("25", "25006") => Kind::Permission,
        (_, "3D000" | "3F000" | "42P01" | "42703" | "42883" | "42704") => Kind::NotFound,
        (_, "53300") => Kind::RateLimit,
        ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "72000") => Kind::Network,
        // Serialization, deadlock, lock not available, conflict with recovery.
        ("40", _) | (_, "55P03") => match origin {
            Origin::Destination => return (Kind::Destination, true),
            _ => Kind::Network,
        },
        // Out of memory, disk full, too many files: it may have room later.
        ("53", _) => match origin {
            Origin::Destination => return (Kind::Destination, true),
            _ => return (Kind::Network, true),
        },
        ("22" | "23", _) => Kind::Data,
        ("42", _) => Kind::Config,
        _ => match origin {
            Origin::Destination => Kind::Destination,
            _ => Kind::Data,
        },
    };
    (kind, kind.retryable())
}

fn hint_of(code: &str, at: &Circumstances<'_>) -> Option<String> {
    Some(match code {
        "42501" => "GRANT the right that the message names to the user, or log in as another".to_owned(),
        "25006" => "the server is a standby or the database is read only; name the primary".to_owned(),
        "42P05" | "26000" => "a pooler stands in between: set pooler to true".to_owned(),
        "08P01" if at.limit.is_none() => "a pooler may stand in between: set pooler to true".to_owned(),
        _ => return None,
    })
}

/// The server's message without values of the data: those of class 22 quote them.
fn without_values(code: &str, message: &str) -> String {
    if !code.starts_with("22") {
        return message.to_owned();
    }
    if code == "22021" || code == "22P03" {
        return message.split(':').next().unwrap_or_default().to_owned();
    }
    let mut out = String::with_capacity(message.len());
    for (i, part) in message.split('"').enumerate() {
        match i % 2 {
            0 => out.push_str(part),
            _ => out.push('…'),
        }
    }
    out
}

/// `COPY t, line 3, column c` out of a context that goes on with the value.
fn copy_place(context: &str) -> Option<String> {
    let line = context.lines().find(|line| line.starts_with("COPY "))?;
    let place = line.split(": ").next().unwrap_or_default();
    Some(place.to_owned())
}

/// What the server said, without DETAIL and values: the cause that an error keeps.
#[derive(Debug)]
struct Report {
    severity: PgSeverity,
    code: String,
    message: String,
    place: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            PgSeverity::Panic => "PANIC",
            PgSeverity::Fatal => "FATAL",
            _ => "ERROR",
        };
        write!(f, "{severity} {}: {}", self.code, self.message)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_states() {
        let of = |code| kind_of(code, Origin::Source);
        assert_eq!(of("28P01"), (Kind::Auth, false));
        assert_eq!(of("42501"), (Kind::Permission, false));
        assert_eq!(of("42P01"), (Kind::NotFound, false));
        assert_eq!(of("57P01"), (Kind::Network, true));
        assert_eq!(of("53300"), (Kind::RateLimit, true));
        assert_eq!(of("22003"), (Kind::Data, false));
        assert_eq!(of("40001"), (Kind::Network, true));
        assert_eq!(kind_of("40P01", Origin::Destination), (Kind::Destination, true));
        assert_eq!(kind_of("XX000", Origin::Destination), (Kind::Destination, false));
    }

    #[test]
    fn values_are_taken_out_of_messages() {
        assert_eq!(
            without_values("22P02", "invalid input syntax for type integer: \"secret\""),
            "invalid input syntax for type integer: …"
        );
        assert_eq!(
            without_values("22021", "invalid byte sequence for encoding \"UTF8\": 0xff"),
            "invalid byte sequence for encoding \"UTF8\""
        );
        assert_eq!(without_values("42P01", "relation \"x\" does not exist"), "relation \"x\" does not exist");
        assert_eq!(
            copy_place("COPY t, line 3, column c: \"secret\"").as_deref(),
            Some("COPY t, line 3, column c")
        );
    }
}
