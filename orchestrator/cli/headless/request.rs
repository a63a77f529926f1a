//! What a backend asks for: one JSON document, or the same by flags.

use std::io::Read;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::{Error, Result};

use crate::cli::run::LONGEST_S;
use crate::run::Options;

/// Bytes of a request, at most.
const LARGEST: u64 = 1 << 20;

/// What a backend asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Request of waybill headless")]
pub(crate) struct Request {
    /// The connection's name.
    pub(crate) connection: String,
    /// Only these streams; all selected ones when empty or absent.
    #[serde(default)]
    pub(crate) streams: Vec<String>,
    /// Load everything again, whatever was loaded before.
    #[serde(default)]
    pub(crate) full_refresh: bool,
    /// Only rows with this cursor or a higher one; never moves state.
    pub(crate) from: Option<String>,
    /// Only rows with a lower cursor; never moves state.
    pub(crate) to: Option<String>,
    /// At most this many rows of each stream; never moves state.
    #[schemars(range(min = 1))]
    pub(crate) limit: Option<u64>,
    /// The run's id; an id that has already finished is not run again: its recorded answer is given.
    pub(crate) run_id: Option<String>,
    /// Time budget, seconds: the run ends on a commit once it is used up.
    #[schemars(range(min = 1, max = LONGEST_S))]
    pub(crate) timeout_s: Option<u64>,
    /// How long to wait for another run of the connection to end, seconds; else a held lock is refused.
    #[schemars(range(min = 0, max = LONGEST_S))]
    pub(crate) wait_lock_s: Option<u64>,
}

impl Request {
    /// Reads a request from a file, or from stdin for `-`.
    pub(crate) fn read(place: &str) -> Result<Request> {
        let (name, bytes) = match place {
            "-" => ("standard input", read_limited(std::io::stdin().lock())),
            path => (path, std::fs::File::open(path).and_then(read_limited)),
        };
        let bytes = bytes
            .map_err(|e| Error::config(format!("the request cannot be read from {name}: {e}")).cause(e))?;
        if bytes.len() as u64 > LARGEST {
            return Err(bad(format!("the request from {name} is larger than {LARGEST} bytes")));
        }
        Request::parse(&bytes).map_err(|e| e.context(format!("the request from {name}")))
    }

    /// Reads a request's text. Its own values are named by place, not repeated.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Request> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(bad("it is empty".to_owned()));
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let request: Request = serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let (place, what) = (e.path().to_string(), e.inner().to_string());
            // An unknown field names itself.
            if place == "." || what.starts_with("unknown field") {
                bad(what)
            } else {
                bad(format!("{place}: {what}"))
            }
        })?;
        json.end().map_err(|e| bad(format!("something follows the document: {e}")).cause(e))?;
        request.checked()
    }

    fn checked(self) -> Result<Request> {
        let within = |name: &str, value: Option<u64>, least: u64, most: u64| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(bad(format!("{name}: {value} is not between {least} and {most}")))
            }
            _ => Ok(()),
        };
        within("limit", self.limit, 1, u64::MAX)?;
        within("timeout_s", self.timeout_s, 1, LONGEST_S)?;
        within("wait_lock_s", self.wait_lock_s, 0, LONGEST_S)?;
        Ok(self)
    }

    /// The same, as the engine takes it.
    pub(crate) fn options(&self) -> Options {
        Options {
            streams: self.streams.clone(),
            full_refresh: self.full_refresh,
            from: self.from.clone(),
            to: self.to.clone(),
            limit: self.limit,
            run_id: self.run_id.clone(),
            timeout: self.timeout_s.map(Duration::from_secs),
            wait_lock: self.wait_lock_s.map(Duration::from_secs),
        }
    }
}

fn read_limited(input: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn bad(message: String) -> Error {
    Error::config(message).hint("waybill schema headless-request prints the form of a request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_whole() {
        let text = br#" {"connection": "crm", "streams": ["a"], "full_refresh": true, "from": "1", "to": "9",
            "limit": 5, "run_id": "r-1", "timeout_s": 90, "wait_lock_s": 0} "#;
        let request = Request::parse(text).unwrap();
        assert_eq!(request.connection, "crm");
        let options = request.options();
        assert_eq!(options.streams, ["a"]);
        assert!(options.full_refresh);
        assert_eq!((options.from.as_deref(), options.to.as_deref()), (Some("1"), Some("9")));
        assert_eq!((options.limit, options.run_id.as_deref()), (Some(5), Some("r-1")));
        assert_eq!(options.timeout, Some(Duration::from_secs(90)));
        assert_eq!(options.wait_lock, Some(Duration::ZERO));
        let least = Request::parse(br#"{"connection":"crm","limit":null}"#).unwrap();
        assert_eq!(least, Request { connection: "crm".to_owned(), ..Request::default() });
    }

    #[test]
    fn a_wrong_request_says_where() {
        for (text, words) in [
            ("", "empty"),
            ("{", "EOF"),
            ("[]", "struct Request"),
            ("{}", "missing field `connection`"),
            (r#"{"connection":"c","stream":["a"]}"#, "unknown field `stream`"),
            (r#"{"connection":"c","streams":["a",7]}"#, "streams[1]"),
            (r#"{"connection":"c","limit":0}"#, "limit: 0"),
            (r#"{"connection":"c","limit":-1}"#, "limit"),
            (r#"{"connection":"c","timeout_s":1.5}"#, "timeout_s"),
            (r#"{"connection":"c","timeout_s":99999999999}"#, "timeout_s: 99999999999"),
            (r#"{"connection":"c"} {"#, "follows"),
        ] {
            let error = Request::parse(text.as_bytes()).unwrap_err();
            assert!(error.message().contains(words), "{text}: {error}");
            assert!(error.get_hint().is_some());
        }
        let deep = "[".repeat(100_000);
        assert!(Request::parse(deep.as_bytes()).is_err());
        assert!(Request::parse(format!(r#"{{"connection":{deep}"#).as_bytes()).is_err());
    }
}
