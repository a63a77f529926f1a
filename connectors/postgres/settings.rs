//! The settings of a PostgreSQL connection, the same in both roles.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::{Error, Result, Secret, TunnelSettings};

use super::address::Address;

/// How a PostgreSQL database is reached: either `url`, or `host`, `port`, `database`, `user`, `password`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct PostgresSettings {
    /// The address in one: `postgres://user:password@host:5432/database?sslmode=require`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// Name or address of the server, or the folder of its Unix socket. Default: `localhost`.
    #[serde(default)]
    pub host: Option<String>,
    /// Default: 5432.
    #[serde(default)]
    pub port: Option<u16>,
    /// The database. Default: the name of the user.
    #[serde(default)]
    pub database: Option<String>,
    /// The user to log in as.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Whether the connection is encrypted. Default: `prefer`.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Certificates (PEM) of the authority that signed the server's, beside those that the system
    /// trusts. Where it is given the certificate and the host name are always checked, with
    /// `verify-ca` the certificate alone.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The certificate (PEM) that this side shows the server, for servers that ask for one.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// Whether a pooler in transaction mode (PgBouncer, Supavisor, …) stands in between: nothing
    /// relies on session settings then.
    #[serde(default)]
    pub pooler: bool,
    /// How long connecting may take. Default: 10000.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub connect_timeout_ms: Option<u64>,
    /// What the server shows in `pg_stat_activity`. Default: `waybill`.
    #[serde(default)]
    pub application_name: Option<String>,
    /// How many connections a run keeps open in this role.
    #[serde(default)]
    pub pool: Option<PoolSettings>,
    /// A tunnel that the server is reached through: `ssh`, or a command that opens a local port.
    #[serde(default)]
    pub tunnel: Option<TunnelSettings>,
}

/// How many connections a run opens for its work in one role. What watches over a silent server or
/// cancels a query there may open one more for a moment.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
pub struct PoolSettings {
    /// Connections opened at the start, instead of when they are first needed. Default: 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub min: Option<u32>,
    /// Connections open at once, at most; what needs one more waits. At a destination it also limits
    /// how many slices are loaded at once. Default: one more than `parallelism`, or `min` where that is more.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max: Option<u32>,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always; the server's certificate is checked only where `ca_file` is given.
    Require,
    /// Always, and the certificate is checked, but not whose name it is for.
    #[serde(rename = "verify-ca")]
    VerifyCa,
    /// Always, and the certificate and host name are checked, against the system's authorities
    /// where no `ca_file` is given.
    #[serde(rename = "verify-full", alias = "verify")]
    VerifyFull,
}

/// A stream of this system has no options beyond the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct StreamOptions {}

impl PoolSettings {
    fn validate(self) -> Result<()> {
        for (member, value) in [("min", self.min), ("max", self.max)] {
            if value == Some(0) {
                return Err(Error::config(format!("pool.{member}: must be at least 1")));
            }
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min > max => {
                Err(Error::config(format!("pool.min: {min} is more than pool.max, which is {max}"))
                    .hint("lower pool.min, or raise pool.max"))
            }
            _ => Ok(()),
        }
    }

    /// Connections at the start and at most, where so many slices are read at once.
    pub(super) fn limits(self, parallelism: usize) -> (usize, usize) {
        let min = self.min.map_or(1, |min| min as usize);
        // One for what a run asks beside its slices.
        let max = self.max.map_or_else(|| parallelism.saturating_add(1).max(min), |max| max as usize);
        (min.max(1), max.max(1))
    }
}

impl PostgresSettings {
    /// Looks for contradictions; pure.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.connect_timeout_ms == Some(0) {
            return Err(Error::config("connect_timeout_ms: must be at least 1"));
        }
        self.pool.unwrap_or_default().validate()?;
        let address = Address::resolve(self)?;
        if let Some(tunnel) = &self.tunnel {
            tunnel.validate()?;
            if address.host.starts_with('/') {
                return Err(Error::config(
                    "tunnel: leads to a host and port, and host is the folder of a socket",
                )
                .hint(
                    "set host to what the server is called at the far end of the tunnel, such as localhost",
                ));
            }
        }
        Ok(())
    }

    /// The first of the separate members that is set; they exclude `url`.
    pub(super) fn separate_member(&self) -> Option<&'static str> {
        [
            ("host", self.host.is_some()),
            ("port", self.port.is_some()),
            ("database", self.database.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use waybill_protocol::{Connector, Erased, Kind, Role};

    fn check(settings: serde_json::Value) -> Result<()> {
        Erased::<super::super::Postgres>::new().validate(Role::Source, &settings)
    }

    #[test]
    fn url_and_separate_members_exclude_each_other() {
        check(json!({"url": "postgres://me:pw@db/x"})).unwrap();
        check(json!({"host": "/run/postgresql", "user": "me"})).unwrap();
        let both = check(json!({"url": "postgres://me@db/x", "port": 5433})).unwrap_err();
        assert_eq!(both.kind(), Kind::Config);
        assert_eq!(both.message(), "port: cannot be given together with url");
        assert_eq!(check(json!({})).unwrap_err().message(), "user: missing");
        let wrong = check(json!({"user": "me", "port": "x"})).unwrap_err();
        assert!(wrong.message().starts_with("port: "), "{wrong}");
    }

    #[test]
    fn contradictions_are_found_and_name_their_member() {
        for (settings, member) in [
            (json!({"user": "me", "tls": "disable", "ca_file": "ca.pem"}), "ca_file: "),
            (json!({"user": "me", "client_cert_file": "c.pem"}), "client_key_file: "),
            (json!({"user": "me", "client_key_file": "k.pem"}), "client_cert_file: "),
            (
                json!({"user": "me", "tls": "disable", "client_cert_file": "c", "client_key_file": "k"}),
                "client_cert_file: ",
            ),
            (json!({"user": "me", "connect_timeout_ms": 0}), "connect_timeout_ms: "),
            (json!({"user": "me", "host": ""}), "host: "),
            (json!({"url": "postgres://me@db/x?sslmode=require", "tls": "prefer"}), "tls: "),
            (json!({"url": "mysql://me@db/x"}), "url: "),
            (json!({"user": "me", "pool": {"max": 0}}), "pool.max: "),
            (json!({"user": "me", "pool": {"min": 0}}), "pool.min: "),
            (json!({"user": "me", "pool": {"max": -1}}), "pool.max: "),
            (json!({"user": "me", "pool": {"max": 1.5}}), "pool.max: "),
            (json!({"user": "me", "pool": {"min": 3, "max": 2}}), "pool.min: "),
            (json!({"user": "me", "tunnel": {"type": "ssh", "host": ""}}), "tunnel.host: "),
            (json!({"user": "me", "tunnel": {"type": "tram"}}), "tunnel"),
            (json!({"user": "me", "host": "/run/pg", "tunnel": {"type": "ssh", "host": "b"}}), "tunnel: "),
        ] {
            let error = check(settings.clone()).unwrap_err();
            assert!(error.message().starts_with(member), "{settings}: {error}");
        }
    }

    #[test]
    fn the_pool_fits_what_is_read_at_once() {
        let limits = |min, max| PoolSettings { min, max }.limits(4);
        assert_eq!(limits(None, None), (1, 5));
        assert_eq!(limits(None, Some(1)), (1, 1));
        assert_eq!(limits(Some(8), None), (8, 8));
        assert_eq!(limits(Some(2), Some(3)), (2, 3));
    }

    #[test]
    fn the_schema_marks_the_secrets() {
        let spec = Erased::<super::super::Postgres>::new().spec();
        let schema = serde_json::to_value(&spec.source).unwrap();
        for (name, secret) in [("url", true), ("password", true), ("user", false)] {
            let text = schema["properties"][name].to_string();
            assert_eq!(text.contains("writeOnly"), secret, "{name}: {text}");
        }
    }
}
