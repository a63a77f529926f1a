//! The words of a tunnel's command.

use std::path::{Path, PathBuf};

use waybill_protocol::{Error, NewHosts, Result, SshTunnel, TunnelSettings};

/// The program and its arguments.
pub(super) fn command(
    settings: &TunnelSettings,
    base_dir: &Path,
    local_port: u16,
    host: &str,
    port: u16,
) -> Result<Vec<String>> {
    Ok(match settings {
        TunnelSettings::Ssh(tunnel) => ssh(tunnel, base_dir, local_port, host, port)?,
        TunnelSettings::Command(tunnel) => {
            let fill = |word: &String| {
                let word = word.replace("{local_port}", &local_port.to_string());
                word.replace("{port}", &port.to_string()).replace("{host}", host)
            };
            tunnel.command.iter().map(fill).collect()
        }
    })
}

/// `ssh` that only forwards, asks nobody anything, and ends when it cannot forward or its server is
/// silent. It is no part of a connection that others share: ending it must end the forwarding.
fn ssh(tunnel: &SshTunnel, base_dir: &Path, local_port: u16, host: &str, port: u16) -> Result<Vec<String>> {
    let mut words: Vec<String> = ["ssh", "-N", "-T", "-a", "-x"].map(str::to_owned).to_vec();
    let mut option = |text: String| words.extend(["-o".to_owned(), text]);
    for fixed in [
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
        "ControlMaster=no",
        "ControlPath=none",
        "ForkAfterAuthentication=no",
        "PermitLocalCommand=no",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
        "ConnectTimeout=15",
    ] {
        option(fixed.to_owned());
    }
    if let Some(new_hosts) = tunnel.new_hosts {
        let word = match new_hosts {
            NewHosts::Refuse => "yes",
            NewHosts::Accept => "accept-new",
        };
        option(format!("StrictHostKeyChecking={word}"));
    }
    if let Some(file) = &tunnel.known_hosts {
        option(format!("UserKnownHostsFile=\"{}\"", path("known_hosts", file, base_dir)?));
    }
    if let Some(key) = &tunnel.key {
        option("IdentitiesOnly=yes".to_owned());
        words.extend(["-i".to_owned(), path("key", key, base_dir)?]);
    }
    if let Some(port) = tunnel.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = &tunnel.user {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    let far = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    words.extend(["-L".to_owned(), format!("127.0.0.1:{local_port}:{far}:{port}")]);
    words.extend(["--".to_owned(), tunnel.host.clone()]);
    Ok(words)
}

/// A path as `ssh` reads it: relative ones start at the config's folder, `~/` is left to `ssh`, and
/// `%` does not stand for anything.
fn path(member: &str, path: &Path, base_dir: &Path) -> Result<String> {
    let wrong = |what: &str| Error::config(format!("tunnel.{member}: {what}"));
    let whole: PathBuf = if path.starts_with("~") { path.to_path_buf() } else { base_dir.join(path) };
    if !path.starts_with("~") && !whole.exists() && member == "key" {
        return Err(wrong(&format!("there is no file {}", whole.display()))
            .hint("name the private key, such as ~/.ssh/id_ed25519; a relative path starts at the folder of config.json"));
    }
    let text = whole.to_str().ok_or_else(|| wrong("is no UTF-8"))?;
    if text.contains(['"', '\n']) {
        return Err(wrong("contains a quote or a line break, which ssh cannot be told"));
    }
    Ok(text.replace('%', "%%"))
}
