//! Why a connection could not be made, in words of our own: what is wrong, and what to do about it.
//! The server's and the driver's words are in its language and for its people: they stay the cause.

use std::io;
use std::net::IpAddr;

use waybill_protocol::{Error, Kind};

use super::error::Circumstances;
use super::explain::Found;

/// A refusal by the server: message and hint.
pub(super) fn server(code: &str, routine: &str, at: &Circumstances<'_>) -> Option<(String, String)> {
    let (server, user, database) = (at.server, &at.address.user, &at.address.database);
    let encrypted = at.address.may_encrypt();
    Some(match (code, routine) {
        ("28P01", _) if !at.address.has_password() => (
            format!("{server} asks for the password of user {user:?}, and none is set"),
            "set password in secrets.toml, in the section of this connection or destination".into(),
        ),
        ("28P01", _) => (
            format!("{server} does not accept user {user:?} with this password"),
            "correct user and password; a user that does not exist gets the same answer".into(),
        ),
        ("28000", "InitializeSessionUserId") => (
            format!("there is no user {user:?} at {server} that may log in"),
            format!("correct user, or have an administrator run CREATE ROLE or ALTER ROLE {user:?} LOGIN"),
        ),
        ("28000", _) if !encrypted => (
            format!("{server} lets user {user:?} into database {database:?} only encrypted, or not at all from here"),
            "set tls to require; if that is not enough, have a line for this user, database and address added to the server's pg_hba.conf".into(),
        ),
        ("28000", _) => (
            format!("{server} does not let user {user:?} into database {database:?} from here: its pg_hba.conf says so"),
            format!(
                "have a line for this user, database and address added to the server's pg_hba.conf, such as: hostssl {database} {user} ADDRESS/32 scram-sha-256"
            ),
        ),
        ("3D000", _) => (
            format!("there is no database {database:?} at {server}"),
            match &at.found {
                Some(Found::Databases(names)) if !names.is_empty() => {
                    format!("set database to one of those that there are: {}", names.join(", "))
                }
                _ => "correct the setting database, or create the database".into(),
            },
        ),
        ("42501", "CheckMyDatabase") => (
            format!("user {user:?} may not connect to database {database:?} at {server}"),
            format!("have an administrator run: GRANT CONNECT ON DATABASE {database:?} TO {user:?}"),
        ),
        ("53300", _) => (
            format!("{server} has no connection left for user {user:?}"),
            "lower pool.max or parallelism of the connection, or raise max_connections of the server; it is tried again by itself".into(),
        ),
        ("57P03", _) => (
            format!("{server} takes no connections now: it is starting, stopping or recovering"),
            "wait until the server is ready; a standby needs hot_standby = on to be read".into(),
        ),
        _ => return None,
    })
}

/// TLS that did not come about; never tried again.
pub(super) fn tls(why: &str, at: &Circumstances<'_>) -> Error {
    let (server, host) = (at.server, &at.address.host);
    let refused = |kind: Kind, what: String, hint: &str| Error::new(kind, what).retry(false).hint(hint);
    if why.contains("does not support TLS") {
        return refused(
            Kind::Config,
            format!("{server} offers no TLS, and the settings demand it"),
            "turn ssl on at the server, or set tls to prefer or disable where the way there is safe",
        );
    }
    let name = why.contains("NotValidForName") || why.contains("not valid for name");
    if name {
        return refused(
            Kind::Auth,
            format!("TLS with {server} failed: its certificate is not for the name {host:?}"),
            "set host to a name that the certificate is for; the cause lists them",
        );
    }
    if why.contains("xpired") || why.contains("NotValidYet") || why.contains("not valid yet") {
        return refused(
            Kind::Auth,
            format!("TLS with {server} failed: its certificate is not valid now"),
            "have the server's certificate renewed, or set the clock of this machine",
        );
    }
    // Of an unknown authority, or of one that has a known one's name and another key.
    if why.contains("peer certificate") {
        return refused(
            Kind::Auth,
            format!("TLS with {server} failed: its certificate is signed by nobody who is trusted here"),
            "set ca_file to the file (PEM) of the authority that signed it; a managed database offers it for download",
        );
    }
    // What the server says about a certificate of ours comes as an alert.
    if why.contains("fatal alert") && (why.contains("ertificate") || why.contains("UnknownCA")) {
        return refused(
            Kind::Auth,
            format!("TLS with {server} failed: the server does not accept the certificate of this side"),
            "set client_cert_file and client_key_file to a certificate that the server's ssl_ca_file has signed",
        );
    }
    refused(
        Kind::Network,
        format!("TLS with {server} failed"),
        "look at the settings tls and ca_file, and whether host and port are those of a PostgreSQL server",
    )
}

/// Whether TLS is what did not come about.
pub(super) fn is_tls(error: &Error) -> bool {
    error.get_code().is_none()
        && (error.message().contains("TLS with ") || error.message().contains(" offers no TLS"))
}

/// A connection that the network did not make, or lost.
pub(super) fn socket(io: io::Error, at: &Circumstances<'_>) -> Error {
    use io::ErrorKind;
    let (server, host, port) = (at.server, &at.address.host, at.address.port);
    if let Some(Found::NoSuchHost { passing }) = at.found {
        return match passing {
            true => Error::new(Kind::Network, format!("the name {host:?} could not be looked up"))
                .hint("look whether this machine reaches its name server (DNS), or set host to an address"),
            false => Error::new(Kind::NotFound, format!("there is no host {host:?}"))
                .hint("correct host; `getent hosts NAME` says what this machine knows about a name"),
        }
        .cause(io);
    }
    let (tried, answers) = match &at.found {
        Some(Found::Addresses { tried, answers }) => (tried.as_slice(), *answers),
        _ => (&[][..], None),
    };
    let shown = shown(host, tried);
    if let Some(instead) = answers {
        let message =
            format!("nothing listens at {server}{shown}, but something does at {}", place(instead, port));
        return Error::new(Kind::Network, message).hint(format!("set host to {instead}")).cause(io);
    }
    let (message, hint) = match io.kind() {
        ErrorKind::ConnectionRefused => (
            format!("{server} refuses connections: nothing listens there{shown}"),
            format!("start the server, or correct host and port: nothing listens at {server}"),
        ),
        ErrorKind::NotFound => {
            (format!("there is no socket {server}"), "start the server, or correct host and port".to_owned())
        }
        ErrorKind::PermissionDenied => (
            format!("the socket {server} may not be used"),
            "give this user the right to the folder of the socket, or set host to the server's name"
                .to_owned(),
        ),
        ErrorKind::TimedOut => (
            format!("{server} does not answer{shown}"),
            format!("look whether {server} can be reached from here (firewall, VPN)"),
        ),
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::BrokenPipe
        | ErrorKind::ConnectionAborted => (
            format!("the connection to {server} was lost"),
            "look into the server's log; the run may simply be tried again".to_owned(),
        ),
        _ => (
            format!("{server} cannot be reached{shown}"),
            format!("look whether the host name is right and {server} can be reached from here"),
        ),
    };
    Error::new(Kind::Network, message).hint(hint).cause(io)
}

/// What a name stands for here, where it is a name.
fn shown(host: &str, tried: &[IpAddr]) -> String {
    if tried.is_empty() || host.parse::<IpAddr>().is_ok() {
        return String::new();
    }
    let tried: Vec<String> = tried.iter().map(IpAddr::to_string).collect();
    format!(" ({host} is {} here)", tried.join(", "))
}

fn place(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}
