//! What can go wrong, in one type: a kind that decides, a place, a hint, and the cause chain unflattened.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of everything in the contract.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a fault. It decides whether a later attempt makes sense and how the program exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A setting is missing, wrong or contradictory.
    Config,
    /// The peer does not accept who we are.
    Auth,
    /// The peer knows us and does not allow this.
    Permission,
    /// The host, database, table, file or column does not exist.
    NotFound,
    /// The connection failed or was lost.
    Network,
    /// A deadline passed or a peer went silent.
    Timeout,
    /// The peer asks us to slow down.
    RateLimit,
    /// A value or a row cannot be read or loaded.
    Data,
    /// The shape of the data does not fit.
    Schema,
    /// The destination failed in its own way; its own flag says whether to try again.
    Destination,
    /// Somebody else holds the lock or has taken the fence.
    Locked,
    /// A signal or the caller ended it.
    Cancelled,
    /// A bug in Waybill or a broken contract.
    Internal,
}

impl Kind {
    /// Whether an unchanged later attempt may succeed: the one table of retry policy.
    pub fn retryable(self) -> bool {
        match self {
            Kind::Network | Kind::Timeout | Kind::RateLimit => true,
            Kind::Config | Kind::Auth | Kind::Permission | Kind::NotFound => false,
            Kind::Data | Kind::Schema | Kind::Destination => false,
            Kind::Locked | Kind::Cancelled | Kind::Internal => false,
        }
    }

    /// The exit code of a run that ended with this fault; `retryable` is the error's own flag.
    /// A cancelled run exits by its signal instead; 130 stands in where none is known.
    pub fn exit_code(self, retryable: bool) -> u8 {
        match self {
            Kind::Config => 3,
            Kind::Auth | Kind::Permission | Kind::NotFound | Kind::Data | Kind::Schema => 1,
            Kind::Network | Kind::Timeout | Kind::RateLimit => 75,
            Kind::Destination => {
                if retryable {
                    75
                } else {
                    1
                }
            }
            Kind::Locked => 6,
            Kind::Cancelled => 130,
            Kind::Internal => 70,
        }
    }

    /// The word used in events, summaries and messages.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Config => "config",
            Kind::Auth => "auth",
            Kind::Permission => "permission",
            Kind::NotFound => "not_found",
            Kind::Network => "network",
            Kind::Timeout => "timeout",
            Kind::RateLimit => "rate_limit",
            Kind::Data => "data",
            Kind::Schema => "schema",
            Kind::Destination => "destination",
            Kind::Locked => "locked",
            Kind::Cancelled => "cancelled",
            Kind::Internal => "internal",
        }
    }
}

/// Which side a fault comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The system that is read.
    Source,
    /// The system that is written.
    Destination,
    /// Waybill itself, its files and its host.
    Orchestrator,
}

/// A fault with everything a person or a program needs to act on it.
///
/// `message` says what and where in one line without values of the user's data; `hint` says what
/// to do next in one sentence, as a command where there is one; the cause is kept as it came.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    origin: Option<Origin>,
    code: Option<String>,
    message: String,
    hint: Option<String>,
    retryable: Option<bool>,
    wait: Option<Duration>,
    stream: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A fault of `kind`; `message` says what and where.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            origin: None,
            code: None,
            message: message.into(),
            hint: None,
            retryable: None,
            wait: None,
            stream: None,
            cause: None,
        }))
    }

    /// A wrong or missing setting.
    pub fn config(message: impl Into<String>) -> Error {
        Error::new(Kind::Config, message)
    }

    /// A broken contract or an impossible state: a bug.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(Kind::Internal, message)
    }

    /// A value or a row that cannot be read or loaded.
    pub fn data(message: impl Into<String>) -> Error {
        Error::new(Kind::Data, message)
    }

    /// The work was asked to stop.
    pub fn cancelled() -> Error {
        Error::new(Kind::Cancelled, "cancelled")
    }

    /// Says which side it came from, unless a deeper layer already said so.
    pub fn origin(mut self, origin: Origin) -> Error {
        self.0.origin.get_or_insert(origin);
        self
    }

    /// The system's own code, such as an SQLSTATE.
    pub fn code(mut self, code: impl Into<String>) -> Error {
        self.0.code = Some(code.into());
        self
    }

    /// What to do next, unless a deeper layer already said so.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into());
        }
        self
    }

    /// What to do next, in the place of what a deeper layer said.
    pub fn hint_instead(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Overrides the table's answer to whether a later attempt may succeed.
    pub fn retry(mut self, retryable: bool) -> Error {
        self.0.retryable = Some(retryable);
        self
    }

    /// How long the peer asks us to wait before another attempt (`Retry-After`).
    pub fn wait(mut self, wait: Duration) -> Error {
        self.0.wait = Some(wait);
        self
    }

    /// The stream it belongs to, unless a deeper layer already said so.
    pub fn stream(mut self, stream: impl Into<String>) -> Error {
        if self.0.stream.is_none() {
            self.0.stream = Some(stream.into());
        }
        self
    }

    /// The error underneath, kept whole.
    pub fn cause(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.cause = Some(cause.into());
        self
    }

    /// Puts where it happened before the message: `context: message`.
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// The class of the fault.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The side it came from, where known.
    pub fn get_origin(&self) -> Option<Origin> {
        self.0.origin
    }

    /// The one-line message, without hint and causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where known.
    pub fn get_hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The system's own code, where known.
    pub fn get_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The stream it belongs to, where known.
    pub fn get_stream(&self) -> Option<&str> {
        self.0.stream.as_deref()
    }

    /// How long the peer asks us to wait before another attempt, where it said so.
    pub fn asks_to_wait(&self) -> Option<Duration> {
        self.0.wait
    }

    /// Whether an unchanged later attempt may succeed.
    pub fn retryable(&self) -> bool {
        self.0.retryable.unwrap_or_else(|| self.0.kind.retryable())
    }

    /// The exit code of a run that ends with this. A cancelled one that names its signal as its code
    /// exits by it.
    pub fn exit_code(&self) -> u8 {
        match (self.0.kind, self.0.code.as_deref()) {
            (Kind::Cancelled, Some("SIGHUP")) => 129,
            (Kind::Cancelled, Some("SIGTERM")) => 143,
            _ => self.0.kind.exit_code(self.retryable()),
        }
    }

    /// The messages of the causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut next: Option<&(dyn StdError + 'static)> =
            self.0.cause.as_deref().map(|e| e as &(dyn StdError + 'static));
        while let Some(error) = next {
            out.push(error.to_string());
            next = error.source();
        }
        out
    }

    /// The form that events, summaries and JSON answers carry.
    pub fn record(&self) -> ErrorRecord {
        ErrorRecord {
            kind: self.0.kind,
            origin: self.0.origin,
            code: self.0.code.clone(),
            retryable: self.retryable(),
            message: self.0.message.clone(),
            hint: self.0.hint.clone(),
            stream: self.0.stream.clone(),
            cause: self.causes(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// An error as it is written into events, summaries and JSON answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorRecord {
    /// The class of the fault.
    pub kind: Kind,
    /// The side it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The system's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether an unchanged later attempt may succeed.
    pub retryable: bool,
    /// What and where, in one line.
    pub message: String,
    /// What to do next, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The stream it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The messages of the causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<String>,
}

impl ErrorRecord {
    /// The exit code of a run that ends with this.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code(self.retryable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_chain_is_kept_and_the_table_decides() {
        let io = std::io::Error::other("socket closed");
        let error = Error::new(Kind::Network, "connection lost")
            .cause(io)
            .code("08006")
            .origin(Origin::Source)
            .origin(Origin::Destination)
            .context("stream public.orders");
        assert_eq!(error.to_string(), "stream public.orders: connection lost");
        assert_eq!(error.causes(), ["socket closed"]);
        assert!(error.retryable());
        assert_eq!(error.exit_code(), 75);
        assert_eq!(error.get_origin(), Some(Origin::Source));
        assert_eq!(Error::new(Kind::Destination, "x").exit_code(), 1);
        assert_eq!(Error::new(Kind::Destination, "x").retry(true).exit_code(), 75);
    }
}
