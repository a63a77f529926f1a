//! Where a server is: read from a URL or from separate members, and said again without secrets.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use waybill_protocol::{Error, Result, Secret};

use super::settings::{PostgresSettings, Tls};

/// A complete address. It has no debug form: it holds the password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    password: Option<Secret>,
    tls: Option<Tls>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    application_name: String,
    pub(super) connect_timeout: Duration,
}

const URL_FORM: &str = "write it as postgres://user:password@host:5432/database, with special characters of the password percent-encoded (@ as %40, / as %2F)";

impl Address {
    /// Reads the settings; errors name the member and never its value.
    pub(super) fn resolve(settings: &PostgresSettings) -> Result<Address> {
        let mut address = Address {
            host: "localhost".into(),
            port: 5432,
            database: String::new(),
            user: String::new(),
            password: None,
            tls: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            application_name: "waybill".into(),
            connect_timeout: Duration::from_millis(10_000),
        };
        match &settings.url {
            Some(url) => {
                if let Some(member) = settings.separate_member() {
                    return Err(Error::config(format!("{member}: cannot be given together with url")));
                }
                address.read_url(url.expose())?;
            }
            None => address.read_members(settings)?,
        }
        address.read_rest(settings)?;
        Ok(address)
    }

    fn read_members(&mut self, settings: &PostgresSettings) -> Result<()> {
        if let Some(host) = &settings.host {
            self.host = host.clone();
        }
        self.port = settings.port.unwrap_or(self.port);
        self.user = settings.user.clone().unwrap_or_default();
        self.database = settings.database.clone().unwrap_or_default();
        self.password = settings.password.clone();
        Ok(())
    }

    fn read_rest(&mut self, settings: &PostgresSettings) -> Result<()> {
        if settings.tls.is_some() {
            if self.tls.is_some() {
                return Err(Error::config("tls: cannot be given together with sslmode in the url"));
            }
            self.tls = settings.tls;
        }
        for (own, given) in [
            (&mut self.ca_file, &settings.ca_file),
            (&mut self.client_cert_file, &settings.client_cert_file),
            (&mut self.client_key_file, &settings.client_key_file),
        ] {
            if given.is_some() {
                own.clone_from(given);
            }
        }
        if let Some((member, _)) = self.files().next()
            && self.tls == Some(Tls::Disable)
        {
            return Err(Error::config(format!("{member}: has no use with tls disable")));
        }
        let missing = match (&self.client_cert_file, &self.client_key_file) {
            (Some(_), None) => Some("client_key_file"),
            (None, Some(_)) => Some("client_cert_file"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(Error::config(format!("{missing}: missing"))
                .hint("a client's certificate and its private key are given together"));
        }
        if let Some(ms) = settings.connect_timeout_ms {
            self.connect_timeout = Duration::from_millis(ms);
        }
        if let Some(name) = &settings.application_name {
            self.application_name.clone_from(name);
        }
        if self.user.is_empty() {
            return Err(Error::config(if settings.url.is_some() {
                "url: has no user"
            } else {
                "user: missing"
            })
            .hint("name the database user to log in as"));
        }
        if self.host.is_empty() {
            return Err(Error::config("host: must not be empty"));
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        Ok(())
    }

    fn read_url(&mut self, url: &str) -> Result<()> {
        let wrong = |what: &str| Error::config(format!("url: {what}")).hint(URL_FORM);
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| wrong("does not start with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains(['@', '/']) {
            // A password with an unencoded slash: what stands here may be part of it.
            return Err(wrong("its database contains @ or /"));
        }
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let decoded =
            |text: &str, part: &str| decode(text).ok_or_else(|| wrong(&format!("its {part} is not UTF-8")));
        self.user = decoded(user, "user")?;
        self.database = decoded(database, "database")?;
        if let Some(password) = password {
            self.password = Some(Secret::new(decoded(password, "password")?));
        }
        let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').unwrap_or("")),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        if !host.is_empty() {
            self.host = decoded(host, "host")?;
        }
        if !port.is_empty() {
            self.port = port.parse().map_err(|_| wrong("its port is no number from 0 to 65535"))?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.read_parameter(key, decoded(value, "parameter")?)?;
        }
        Ok(())
    }

    fn read_parameter(&mut self, key: &str, value: String) -> Result<()> {
        let number = |value: &str| {
            value.parse::<u64>().map_err(|_| Error::config(format!("url: its parameter {key} is no number")))
        };
        match key {
            "host" => self.host = value,
            "port" => {
                self.port = u16::try_from(number(&value)?)
                    .map_err(|_| Error::config("url: its port is no number from 0 to 65535"))?;
            }
            "dbname" => self.database = value,
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "application_name" => self.application_name = value,
            "connect_timeout" => self.connect_timeout = Duration::from_secs(number(&value)?.max(1)),
            "sslrootcert" => self.ca_file = Some(PathBuf::from(value)),
            "sslcert" => self.client_cert_file = Some(PathBuf::from(value)),
            "sslkey" => self.client_key_file = Some(PathBuf::from(value)),
            "sslmode" => {
                self.tls = Some(match value.as_str() {
                    "disable" => Tls::Disable,
                    "allow" | "prefer" => Tls::Prefer,
                    "require" => Tls::Require,
                    "verify-ca" => Tls::VerifyCa,
                    "verify-full" => Tls::VerifyFull,
                    _ => {
                        return Err(Error::config("url: its sslmode is unknown")
                            .hint("use disable, prefer, require, verify-ca or verify-full"));
                    }
                });
            }
            _ => {
                return Err(Error::config(format!("url: the parameter {key:?} is not known")).hint(
                    "known are host, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, application_name and connect_timeout",
                ));
            }
        }
        Ok(())
    }

    /// Whether a password is set.
    pub(super) fn has_password(&self) -> bool {
        self.password.as_ref().is_some_and(|password| !password.expose().is_empty())
    }

    /// The password, for a role that is to be made with it.
    pub(super) fn password(&self) -> Option<&Secret> {
        self.password.as_ref().filter(|password| !password.expose().is_empty())
    }

    /// The settings that lead to another database of the same server.
    pub(super) fn settings(&self, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: Some(self.host.clone()),
            port: Some(self.port),
            database: Some(database.to_owned()),
            user: Some(self.user.clone()),
            password: self.password.clone(),
            tls: self.tls,
            ca_file: self.ca_file.clone(),
            client_cert_file: self.client_cert_file.clone(),
            client_key_file: self.client_key_file.clone(),
            ..PostgresSettings::default()
        }
    }

    /// Takes over how another address is encrypted, where this one says nothing of it.
    pub(super) fn encrypted_as(mut self, other: &Address) -> Address {
        if self.tls.is_none() && self.files().next().is_none() {
            self.tls = other.tls;
            self.ca_file.clone_from(&other.ca_file);
        }
        self
    }

    /// The files that TLS needs, by their settings.
    fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let files = [
            ("ca_file", &self.ca_file),
            ("client_cert_file", &self.client_cert_file),
            ("client_key_file", &self.client_key_file),
        ];
        files.into_iter().filter_map(|(member, file)| file.as_ref().map(|file| (member, file)))
    }

    /// Looks into the files that TLS needs: the driver's words about them name none.
    pub(super) fn look_at_files(&self, base_dir: &std::path::Path) -> Result<()> {
        for (member, file) in self.files() {
            let path = base_dir.join(file);
            let wrong = |what: String| {
                let hint = format!("set {member} to a file (PEM) that this user can read");
                Err(Error::config(format!("{member}: {} {what}", path.display())).hint(hint))
            };
            let word =
                if member == "client_key_file" { "PRIVATE KEY-----" } else { "BEGIN CERTIFICATE-----" };
            match std::fs::read_to_string(&path) {
                Ok(text) if text.contains(word) => {}
                Ok(_) => return wrong(format!("has no line with {word}")),
                Err(e) => return wrong(format!("cannot be read: {e}")),
            }
        }
        Ok(())
    }

    /// What is asked of TLS, in words.
    pub(super) fn asked_tls(&self) -> &'static str {
        match (self.tls.unwrap_or_default(), &self.ca_file) {
            (Tls::Disable, _) => "disable",
            (Tls::VerifyCa, _) => "verify-ca: the certificate was checked, not the host name",
            (_, Some(_)) | (Tls::VerifyFull, None) => "verify: certificate and host name were checked",
            (Tls::Prefer, None) => "prefer: the certificate was not checked",
            (Tls::Require, None) => "require: the certificate was not checked",
        }
    }

    /// Whether the connection may be encrypted.
    pub(super) fn may_encrypt(&self) -> bool {
        self.tls != Some(Tls::Disable)
    }

    /// `host:port/database`, without user and password.
    pub(super) fn target(&self) -> String {
        format!("{}/{}", self.host_port(), self.database)
    }

    /// `host:port`, or the path of the Unix socket.
    pub(super) fn host_port(&self) -> String {
        if self.host.starts_with('/') {
            format!("{}/.s.PGSQL.{}", self.host, self.port)
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The driver's form. Everything that the driver would otherwise take from the environment
    /// and can be set is set.
    pub(super) fn options(&self, base_dir: &std::path::Path, pooler: bool) -> PgConnectOptions {
        let tls = self.tls.unwrap_or_default();
        let mode = match (tls, &self.ca_file) {
            (Tls::Disable, _) => PgSslMode::Disable,
            (Tls::VerifyCa, _) => PgSslMode::VerifyCa,
            (_, Some(_)) | (Tls::VerifyFull, None) => PgSslMode::VerifyFull,
            (Tls::Prefer, None) => PgSslMode::Prefer,
            (Tls::Require, None) => PgSslMode::Require,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .password(self.password.as_ref().map_or("", Secret::expose))
            .database(&self.database)
            .application_name(&self.application_name)
            .ssl_mode(mode)
            .disable_statement_logging();
        if let Some(file) = &self.ca_file {
            options = options.ssl_root_cert(base_dir.join(file));
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert_file, &self.client_key_file) {
            options = options.ssl_client_cert(base_dir.join(certificate)).ssl_client_key(base_dir.join(key));
        }
        if pooler {
            // PgBouncer refuses start-up parameters that it does not know.
            options = options.extra_float_digits(None);
        }
        options
    }
}

/// Percent-decoding; `None` where the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<Address> {
        Address::resolve(&PostgresSettings { url: Some(Secret::new(text)), ..Default::default() })
    }

    #[test]
    fn a_url_is_read_whole() {
        let address =
            url("postgresql://a%40b:p%40ss%2Fw@db.example:6432/my%20db?sslmode=require&connect_timeout=3")
                .unwrap();
        assert_eq!(address.user, "a@b");
        assert_eq!(address.password.as_ref().unwrap().expose(), "p@ss/w");
        assert_eq!(address.target(), "db.example:6432/my db");
        assert_eq!(address.tls, Some(Tls::Require));
        assert_eq!(address.connect_timeout, Duration::from_secs(3));
        assert_eq!(url("postgres://me@[::1]:99").unwrap().target(), "[::1]:99/me");
        assert_eq!(url("postgres://me@/x?host=/run/pg").unwrap().target(), "/run/pg/.s.PGSQL.5432/x");
        assert_eq!(url("postgres://me@%2Frun%2Fpg/x").unwrap().target(), "/run/pg/.s.PGSQL.5432/x");
    }

    #[test]
    fn no_error_repeats_the_password() {
        for text in [
            "postgres://me:s3cret-word@db:port/x",
            "postgres://me:s3cret/word@db/x",
            "postgres://me:12/s3cret@db/x",
            "postgres://me:s3cret-word@db/x?sslmode=s3cret-word",
            "s3cret-word",
            "postgres://:s3cret-word@db/x",
            "postgres://me:%ffs3cret-word@db/x",
        ] {
            let error = url(text).map(|a| a.target()).unwrap_err();
            let all = format!("{error:?} {}", serde_json::to_string(&error.record()).unwrap());
            assert!(!all.contains("s3cret"), "{all}");
        }
    }
}
