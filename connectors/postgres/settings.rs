//! The settings of a PostgreSQL connection, the same in both roles.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use waybill_protocol::{Error, Result, Secret};

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
    /// Certificates (PEM) that the server's must be signed by; checked together with its host name.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
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
    /// Always, and the certificate and host name are checked, against the system's authorities
    /// where no `ca_file` is given.
    Verify,
}

/// A stream of this system has no options beyond the common ones.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct StreamOptions {}

impl PostgresSettings {
    /// Looks for contradictions; pure.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.connect_timeout_ms == Some(0) {
            return Err(Error::config("connect_timeout_ms: must be at least 1"));
        }
        Address::resolve(self).map(drop)
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
            (json!({"user": "me", "connect_timeout_ms": 0}), "connect_timeout_ms: "),
            (json!({"user": "me", "host": ""}), "host: "),
            (json!({"url": "postgres://me@db/x?sslmode=require", "tls": "prefer"}), "tls: "),
            (json!({"url": "mysql://me@db/x"}), "url: "),
        ] {
            let error = check(settings.clone()).unwrap_err();
            assert!(error.message().starts_with(member), "{settings}: {error}");
        }
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
