//! The numbers of a connection that say how patient and how parallel its runs are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::project::Origin;

/// Policies as they stand in a connection, or in `defaults` for all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Policies {
    /// How often a slice is attempted after a retryable error. Default: 3.
    pub retries: Option<u32>,
    /// The wait before the second attempt, milliseconds; doubled for each further one, up to 60 s. Default: 1000.
    #[serde(deserialize_with = "millis_or_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub backoff_ms: Option<u64>,
    /// Bounds every bounded query, milliseconds. Default: 30000.
    #[serde(deserialize_with = "millis")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub query_timeout_ms: Option<u64>,
    /// A bounded query slower than this is an event at warn, milliseconds. Default: 10000.
    #[serde(deserialize_with = "millis_or_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub slow_query_ms: Option<u64>,
    /// How long a bulk read or load waits for a silent peer, milliseconds. Default: 300000.
    #[serde(deserialize_with = "millis")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub stall_timeout_ms: Option<u64>,
    /// How many slices are read at once. Default: 4.
    #[serde(deserialize_with = "several")]
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: Option<u32>,
    /// How many runs of the connection keep their artifacts; all when absent.
    #[serde(deserialize_with = "several_or_more")]
    #[schemars(range(min = 1))]
    pub keep_runs: Option<u32>,
}

// The most that servers take for their own limits (a signed 32-bit number of milliseconds).
const MOST_MS: u64 = i32::MAX as u64;

fn number<'de, D: Deserializer<'de>>(
    input: D,
    least: u64,
    most: u64,
    unit: &str,
) -> Result<Option<u64>, D::Error> {
    match Value::deserialize(input)? {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                Err(serde::de::Error::custom(format!("must be a whole number{unit} from {least} to {most}")))
            }
        },
    }
}

fn millis<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    number(input, 1, MOST_MS, " of milliseconds")
}

fn millis_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    number(input, 0, MOST_MS, " of milliseconds")
}

fn several<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(number(input, 1, 256, "")?.and_then(|n| u32::try_from(n).ok()))
}

fn several_or_more<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(number(input, 1, u64::from(u32::MAX), "")?.and_then(|n| u32::try_from(n).ok()))
}

/// Policies in force, each with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// How often a slice is attempted.
    pub retries: u32,
    /// The first wait between attempts, milliseconds.
    pub backoff_ms: u64,
    /// Bounds bounded queries, milliseconds.
    pub query_timeout_ms: u64,
    /// Slower bounded queries are an event at warn, milliseconds.
    pub slow_query_ms: u64,
    /// Bounds waiting for a silent peer, milliseconds.
    pub stall_timeout_ms: u64,
    /// Slices read at once.
    pub parallelism: u32,
    /// Runs that keep their artifacts.
    pub keep_runs: Option<u32>,
    /// Name → where its value comes from.
    pub origins: BTreeMap<&'static str, Origin>,
}

impl InForce {
    /// The connection's own numbers before those of `defaults` before the built-in ones.
    pub fn of(own: &Policies, defaults: &Policies) -> InForce {
        let mut origins = BTreeMap::new();
        let mut pick = |name: &'static str, own: Option<u64>, shared: Option<u64>, built_in: u64| {
            let (value, origin) = match (own, shared) {
                (Some(value), _) => (value, Origin::Config),
                (None, Some(value)) => (value, Origin::ConfigDefaults),
                (None, None) => (built_in, Origin::Default),
            };
            origins.insert(name, origin);
            value
        };
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let wide = |value: Option<u32>| value.map(u64::from);
        let retries = small(pick("retries", wide(own.retries), wide(defaults.retries), 3));
        let backoff_ms = pick("backoff_ms", own.backoff_ms, defaults.backoff_ms, 1_000);
        let query_timeout_ms =
            pick("query_timeout_ms", own.query_timeout_ms, defaults.query_timeout_ms, 30_000);
        let slow_query_ms = pick("slow_query_ms", own.slow_query_ms, defaults.slow_query_ms, 10_000);
        let stall_timeout_ms =
            pick("stall_timeout_ms", own.stall_timeout_ms, defaults.stall_timeout_ms, 300_000);
        let parallelism = small(pick("parallelism", wide(own.parallelism), wide(defaults.parallelism), 4));
        let keep = pick("keep_runs", wide(own.keep_runs), wide(defaults.keep_runs), 0);
        InForce {
            retries,
            backoff_ms,
            query_timeout_ms,
            slow_query_ms,
            stall_timeout_ms,
            parallelism,
            keep_runs: (keep > 0).then(|| small(keep)),
            origins,
        }
    }

    /// Name → value, for the record.
    pub fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("retries", self.retries.into()),
            ("backoff_ms", self.backoff_ms.into()),
            ("query_timeout_ms", self.query_timeout_ms.into()),
            ("slow_query_ms", self.slow_query_ms.into()),
            ("stall_timeout_ms", self.stall_timeout_ms.into()),
            ("parallelism", self.parallelism.into()),
            ("keep_runs", self.keep_runs.into()),
        ]
    }
}
