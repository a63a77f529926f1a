//! A way to a server that cannot be reached directly: its settings, and what a connector sees of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, Result};

/// The settings of a tunnel: a member `tunnel` of a source or destination that is reached by host
/// and port. The program starts it; a connector only dials its local end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum TunnelSettings {
    /// The system's `ssh`, in batch mode: it never asks for a password or a passphrase.
    Ssh(SshTunnel),
    /// Any program that opens a local port, such as a cloud session manager's port forwarding.
    Command(CommandTunnel),
}

/// A tunnel by `ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshTunnel {
    /// The host to log in at, or its name in the ssh configuration.
    pub host: String,
    /// The user to log in as. Default: what the ssh configuration says.
    #[serde(default)]
    pub user: Option<String>,
    /// The port of the ssh server. Default: what the ssh configuration says, else 22.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The private key (a path). Default: ssh-agent and the ssh configuration. A key with a
    /// passphrase has to be in ssh-agent.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The file of known host keys. Default: what the ssh configuration says.
    #[serde(default)]
    pub known_hosts: Option<PathBuf>,
    /// What becomes of a host that is not known yet. Default: what the ssh configuration says,
    /// which without a person to ask is `refuse`.
    #[serde(default)]
    pub new_hosts: Option<NewHosts>,
    /// How long it may take until the local port is open. Default: 30000.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub start_timeout_ms: Option<u64>,
}

/// What becomes of an ssh host whose key is not known yet. A key that has changed is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NewHosts {
    /// It is refused.
    Refuse,
    /// Its key is taken at the first connection and kept.
    Accept,
}

/// A tunnel by another program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandTunnel {
    /// The program and its arguments, run without a shell. `{local_port}`, `{host}` and `{port}`
    /// stand for the port to open on 127.0.0.1, and for the server's host and port.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// How long it may take until the local port is open. Default: 30000.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub start_timeout_ms: Option<u64>,
}

impl TunnelSettings {
    /// Looks for contradictions; pure. Errors name the member.
    pub fn validate(&self) -> Result<()> {
        let wrong = |member: &str, what: &str| Err(Error::config(format!("tunnel.{member}: {what}")));
        let timeout = match self {
            TunnelSettings::Ssh(ssh) => {
                for (member, text) in [("host", Some(&ssh.host)), ("user", ssh.user.as_ref())] {
                    if let Some(text) = text
                        && (text.is_empty()
                            || text.starts_with('-')
                            || text.contains(|c: char| c.is_whitespace() || c.is_control()))
                    {
                        return wrong(member, "must not be empty, begin with - or contain blanks");
                    }
                }
                if ssh.port == Some(0) {
                    return wrong("port", "must be from 1 to 65535");
                }
                ssh.start_timeout_ms
            }
            TunnelSettings::Command(by) => {
                if by.command.first().is_none_or(|program| program.trim().is_empty()) {
                    return wrong("command", "names no program");
                }
                if by.command.iter().any(|word| word.contains('\0')) {
                    return wrong("command", "must not contain a NUL");
                }
                if !by.command.iter().any(|word| word.contains("{local_port}")) {
                    return Err(Error::config("tunnel.command: has no {local_port}").hint(
                        "the program is told by {local_port} which port to open on 127.0.0.1; {host} and {port} stand for the server",
                    ));
                }
                by.start_timeout_ms
            }
        };
        if timeout == Some(0) {
            return wrong("start_timeout_ms", "must be at least 1");
        }
        Ok(())
    }
}

/// The local end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEnd {
    /// What to dial in the place of the server's own address. TLS still verifies the server's name.
    pub address: SocketAddr,
    /// A folder that only this user may enter and that goes with the tunnel: for a socket that a
    /// driver needs.
    pub folder: PathBuf,
}

/// What is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A tunnel as the connector of one session sees it.
pub trait Tunnel: Send + Sync {
    /// The local end of a way to this server: starts the tunnel, and starts it again when it has
    /// ended since. Errors say what the tunnel itself said.
    fn reach<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, Result<LocalEnd>>;

    /// What the tunnel said last about a connection that failed: for the cause of an error.
    fn last_words(&self) -> Option<String>;

    /// Ends it, with everything that it started; waits until that is done.
    fn close(&self) -> Pending<'_, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> std::result::Result<TunnelSettings, String> {
        let read: TunnelSettings = serde_json::from_value(value).map_err(|e| e.to_string())?;
        read.validate().map(|()| read).map_err(|e| e.to_string())
    }

    #[test]
    fn a_tunnel_is_of_one_kind_and_knows_its_members() {
        let ssh =
            read(json!({"type": "ssh", "host": "bastion", "user": "me", "new_hosts": "accept"})).unwrap();
        assert!(matches!(ssh, TunnelSettings::Ssh(ssh) if ssh.new_hosts == Some(NewHosts::Accept)));
        read(json!({"type": "command", "command": ["fwd", "{local_port}"]})).unwrap();
        for (wrong, part) in [
            (json!({"type": "ssh"}), "host"),
            (json!({"type": "ssh", "host": "-oProxyCommand=x"}), "tunnel.host: "),
            (json!({"type": "ssh", "host": "a b"}), "tunnel.host: "),
            (json!({"type": "ssh", "host": "a", "user": ""}), "tunnel.user: "),
            (json!({"type": "ssh", "host": "a", "port": 0}), "tunnel.port: "),
            (json!({"type": "ssh", "host": "a", "port": 70000}), "70000"),
            (json!({"type": "ssh", "host": "a", "start_timeout_ms": 0}), "tunnel.start_timeout_ms: "),
            (json!({"type": "ssh", "host": "a", "passphrase": "x"}), "passphrase"),
            (json!({"type": "command", "command": []}), "tunnel.command: "),
            (json!({"type": "command", "command": [""]}), "tunnel.command: "),
            (json!({"type": "command", "command": ["fwd", "5432"]}), "{local_port}"),
            (json!({"type": "command", "command": "fwd {local_port}"}), "sequence"),
            (json!({"type": "vpn"}), "vpn"),
            (json!({}), "type"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
