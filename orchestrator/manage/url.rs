//! A pasted address: what it says about the settings, with its password apart.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use waybill_protocol::{Error, Result, Secret};

/// What an address says. It has no readable form of its password.
#[derive(Debug, Clone)]
pub struct FromUrl {
    /// The connector.
    pub system: String,
    /// Settings of the source.
    pub settings: Map<String, Value>,
    /// Its password, to be kept in secrets.toml under this setting.
    pub password: Option<(&'static str, Secret)>,
    /// Streams that it names: files of a path or glob.
    pub streams: Vec<Value>,
    /// A name that fits, for a connection without one.
    pub name: String,
}

const FORMS: &str = "paste postgresql://user@host:5432/database, sqlite:///path/to/file.db, or the path of files such as data/*.csv";

/// Reads `postgresql://user:pass@host:5433/db?sslmode=require`, `sqlite:///path`, `file:///path`, or
/// a plain path or glob. Errors name the part that is wrong, and never repeat a password.
pub fn parse(text: &str) -> Result<FromUrl> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::config("the address is empty").hint(FORMS));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::config("the address has a control character in it").hint(FORMS));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text.split_once(':') {
            Some((scheme @ ("sqlite" | "file"), path)) => file(path, scheme == "sqlite"),
            Some(("jdbc", _)) => Err(jdbc()),
            _ => file(text, false),
        };
    };
    match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => postgres(rest),
        "sqlite" | "sqlite3" => file(&local(rest)?, true),
        "file" => file(&local(rest)?, false),
        scheme if scheme.starts_with("jdbc:") => Err(jdbc()),
        scheme => {
            let shown = if scheme.len() <= 20
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
            {
                format!("{scheme}://")
            } else {
                "the address".to_owned()
            };
            Err(Error::config(format!("{shown} is of no system that this build knows")).hint(FORMS))
        }
    }
}

fn jdbc() -> Error {
    Error::config("a JDBC address is not read")
        .hint("leave out jdbc: and put the user before the host: postgresql://user@host:5432/database")
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::config(format!("the address: {what}")).hint(
        "write it as postgresql://user:password@host:5432/database, with special characters of the password percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23)",
    )
}

fn postgres(rest: &str) -> Result<FromUrl> {
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if database.contains(['@', '/']) {
        return Err(wrong("its database contains @ or /, which may be a part of the password"));
    }
    let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, pw)| (user, Some(pw)));
    let mut found = FromUrl {
        system: "postgres".to_owned(),
        settings: Map::new(),
        password: None,
        streams: Vec::new(),
        name: String::new(),
    };
    let (host, port) = host_port(place)?;
    for (key, text, what) in
        [("host", host, "host"), ("database", database, "database"), ("user", user, "user")]
    {
        let text = decode(text).ok_or_else(|| wrong(format!("its {what} is not UTF-8")))?;
        if !text.is_empty() {
            found.settings.insert(key.to_owned(), json!(text));
        }
    }
    if !port.is_empty() {
        found.settings.insert("port".to_owned(), json!(number(port)?));
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        let password = decode(password).ok_or_else(|| wrong("its password is not UTF-8"))?;
        found.password = Some(("password", Secret::new(password)));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or_else(|| wrong("one of its parameters is not UTF-8"))?;
        parameter(&mut found, key, value)?;
    }
    let order = [
        "host",
        "port",
        "database",
        "user",
        "tls",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "application_name",
        "connect_timeout_ms",
    ];
    let mut settings = Map::new();
    for key in order {
        settings.extend(found.settings.shift_remove(key).map(|value| (key.to_owned(), value)));
    }
    found.settings = settings;
    let named = found.settings.get("database").or_else(|| found.settings.get("user"));
    found.name = name_of(named.and_then(Value::as_str).unwrap_or("postgres"));
    Ok(found)
}

/// Host and port, each as it stands; `[::1]:5432` for addresses with colons.
fn host_port(place: &str) -> Result<(&str, &str)> {
    if place.contains(',') {
        return Err(wrong("it names several hosts: name one"));
    }
    let Some(inner) = place.strip_prefix('[') else {
        return match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                Err(wrong("an IPv6 host stands in brackets: [::1]:5432"))
            }
            Some(both) => Ok(both),
            None => Ok((place, "")),
        };
    };
    let (host, rest) = inner.split_once(']').ok_or_else(|| wrong("its host begins with [ and has no ]"))?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if rest.is_empty() => Ok((host, "")),
        None => Err(wrong("behind the ] of its host stands something else than :port")),
    }
}

/// A port. What stands in its place may be a part of a password, and is not repeated.
fn number(port: &str) -> Result<u16> {
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(wrong("its port is no number from 1 to 65535")),
    }
}

fn parameter(found: &mut FromUrl, key: &str, value: String) -> Result<()> {
    let mut set = |key: &str, value: Value| drop(found.settings.insert(key.to_owned(), value));
    match key {
        "host" | "user" | "application_name" => set(key, json!(value)),
        "dbname" => set("database", json!(value)),
        "port" => set("port", json!(number(&value)?)),
        "sslrootcert" => set("ca_file", json!(value)),
        "sslcert" => set("client_cert_file", json!(value)),
        "sslkey" => set("client_key_file", json!(value)),
        "password" => found.password = Some(("password", Secret::new(value))),
        "connect_timeout" => {
            let seconds: u64 =
                value.parse().map_err(|_| wrong("its connect_timeout is no number of seconds"))?;
            set("connect_timeout_ms", json!(seconds.clamp(1, 2_000_000) * 1_000));
        }
        "sslmode" => {
            let tls = match value.as_str() {
                "disable" => "disable",
                "allow" | "prefer" => "prefer",
                "require" => "require",
                "verify-ca" => "verify-ca",
                "verify-full" => "verify-full",
                _ => {
                    return Err(wrong(
                        "its sslmode is unknown: disable, prefer, require, verify-ca or verify-full",
                    ));
                }
            };
            set("tls", json!(tls));
        }
        _ => {
            let shown: String = key.chars().take(40).collect();
            return Err(Error::config(format!("the address: its parameter {shown:?} is not known")).hint(
                "known are host, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, application_name and connect_timeout",
            ));
        }
    }
    Ok(())
}

/// The path of a URL without a host: `///path`, `//localhost/path`, `//relative/path` (as SQLite has it).
fn local(rest: &str) -> Result<String> {
    let (path, _) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
    let path = path.strip_prefix("localhost/").map_or_else(|| path.to_owned(), |path| format!("/{path}"));
    decode(&path).ok_or_else(|| wrong("its path is not UTF-8"))
}

fn file(path: &str, sqlite: bool) -> Result<FromUrl> {
    if path.trim().is_empty() || path == ":memory:" {
        return Err(Error::config("the address names no file").hint(FORMS));
    }
    let whole = path.trim_end_matches(".gz");
    let extension = whole
        .rsplit('/')
        .next()
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, end)| end.to_ascii_lowercase());
    let stem = whole.rsplit('/').find_map(|part| {
        let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
        (!stem.is_empty() && !stem.contains(['*', '?', '['])).then_some(stem)
    });
    let name = name_of(stem.unwrap_or("files"));
    let database = ["db", "sqlite", "sqlite3", "db3"];
    if sqlite || extension.as_deref().is_some_and(|end| database.contains(&end)) {
        let settings = Map::from_iter([("path".to_owned(), json!(path))]);
        return Ok(FromUrl {
            system: "sqlite".to_owned(),
            settings,
            password: None,
            streams: Vec::new(),
            name,
        });
    }
    if !extension.as_deref().is_some_and(|end| ["csv", "jsonl", "ndjson"].contains(&end)) {
        return Err(Error::config(format!(
            "nothing is known of files such as {}",
            crate::store::nearest::shown(path)
        ))
        .hint(
            "files are .csv, .jsonl or .ndjson, each also with .gz; a SQLite file is given as sqlite:///path",
        ));
    }
    let streams = vec![json!({"name": name, "path": path})];
    Ok(FromUrl { system: "files".to_owned(), settings: Map::new(), password: None, streams, name })
}

/// A name by the rule, made of what stands there.
fn name_of(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = text.chars().take(60).map(letter).collect();
    let name = name.trim_start_matches('-').to_owned();
    if name.is_empty() { "source".to_owned() } else { name }
}

/// Percent-decoding; `None` where the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Value {
        let found = parse(text).unwrap();
        json!({"type": found.system, "settings": found.settings, "name": found.name,
               "password": found.password.map(|(_, secret)| secret.expose().to_owned())})
    }

    #[test]
    fn a_postgres_address_fills_the_fields_and_its_password_stands_apart() {
        assert_eq!(
            settings("postgresql://me%40x:p%40ss%2Fw@db.example:5433/shop?sslmode=require&connect_timeout=3"),
            json!({"type": "postgres", "name": "shop", "password": "p@ss/w", "settings": {
                "host": "db.example", "port": 5433, "database": "shop", "user": "me@x", "tls": "require",
                "connect_timeout_ms": 3000}})
        );
        assert_eq!(
            settings(" postgres://me@[::1]:99 "),
            json!({"type": "postgres", "name": "me", "password": null, "settings": {"host": "::1", "port": 99, "user": "me"}})
        );
        assert_eq!(settings("postgres://me:a@b@h/x")["password"], "a@b");
        assert_eq!(settings("postgres://me@/x?host=/run/pg")["settings"]["host"], "/run/pg");
        assert_eq!(
            settings("postgres://me@h/x?password=pw&sslmode=verify-full")["settings"]["tls"],
            "verify-full"
        );
    }

    #[test]
    fn paths_are_databases_or_files() {
        for (text, path) in [
            ("sqlite:///var/x.db", "/var/x.db"),
            ("sqlite://x.db", "x.db"),
            ("sqlite:x", "x"),
            ("my dir/x.sqlite3", "my dir/x.sqlite3"),
        ] {
            let found = parse(text).unwrap();
            assert_eq!((found.system.as_str(), &found.settings["path"]), ("sqlite", &json!(path)), "{text}");
        }
        for (text, name, path) in [
            ("data/*.csv", "data", "data/*.csv"),
            ("in/**/orders-2024.jsonl.gz", "orders-2024", "in/**/orders-2024.jsonl.gz"),
            ("file:///a/b%20c.csv", "b_c", "/a/b c.csv"),
        ] {
            let found = parse(text).unwrap();
            assert_eq!((found.system.as_str(), found.name.as_str()), ("files", name), "{text}");
            assert_eq!(found.streams, [json!({"name": name, "path": path})]);
        }
    }

    #[test]
    fn a_wrong_address_is_explained_and_no_password_repeated() {
        for (text, part) in [
            ("", "empty"),
            ("postgres://me:s3cret-word@db:port/x", "port"),
            ("postgres://me:s3cret-word@db:70000/x", "port"),
            ("postgres://me:s3cret-word@db:0/x", "port"),
            ("postgres://me:s3cret-word@a:1,b:2/x", "several hosts"),
            ("postgres://me:s3cret/word@db/x", "its database contains"),
            ("postgres://me:12/s3cret@db/x", "its database contains"),
            ("postgres://me:s3cret-word@db/x?sslmode=s3cret-word", "sslmode"),
            ("postgres://me:%ffs3cret-word@db/x", "password is not UTF-8"),
            ("postgres://me:s3cret-word@::1/x", "brackets"),
            ("postgres://me@[::1/x", "no ]"),
            ("postgres://me:s3cret-word@db/x?colour=red", "\"colour\""),
            ("mysql://me:s3cret-word@db/x", "mysql://"),
            ("jdbc:postgresql://db/x?user=me&password=s3cret-word", "JDBC"),
            ("sqlite://", "no file"),
            ("sqlite::memory:", "no file"),
            ("report.pdf", "files are .csv"),
            ("postgres://me@db/\n", ""),
            ("a\u{7}b.csv", "control"),
        ] {
            let Err(error) = parse(text) else {
                assert!(part.is_empty(), "{text}");
                continue;
            };
            let all = format!("{error} {:?}", error.get_hint());
            assert!(all.contains(part) && !all.contains("s3cret") && error.exit_code() == 3, "{text}: {all}");
        }
    }
}
