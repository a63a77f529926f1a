//! What it means that a tunnel ended before its port was open.

use waybill_protocol::{Error, Kind, SshTunnel, TunnelSettings};

use super::process::Exit;

/// The error; `words` are the last lines that it wrote.
pub(super) fn ended(settings: &TunnelSettings, exit: Exit, words: &[String]) -> Error {
    let said = words.join("; ");
    let error = match settings {
        TunnelSettings::Ssh(ssh) if exit.code != Some(127) => of_ssh(ssh, exit, &said),
        TunnelSettings::Ssh(_) => missing("ssh"),
        TunnelSettings::Command(by) => {
            let program = by.command.first().map_or("", String::as_str);
            match exit.code {
                Some(126 | 127) => missing(program),
                _ => Error::new(Kind::Network, format!("{program} ended ({exit}) before it opened its port"))
                    .hint("look at the events process.output, or run the command by hand with a port of your own"),
            }
        }
    };
    if words.is_empty() { error } else { error.cause(std::io::Error::other(said)) }
}

fn missing(program: &str) -> Error {
    Error::config(format!("the program {program:?} of the tunnel cannot be run")).hint(format!(
        "install {program}, or name it with its whole path; `command -v {program}` says where it is"
    ))
}

fn of_ssh(ssh: &SshTunnel, exit: Exit, said: &str) -> Error {
    let host = &ssh.host;
    let by_hand = by_hand(ssh);
    let has = |part: &str| said.contains(part);
    if has("IDENTIFICATION HAS CHANGED") {
        return Error::new(Kind::Auth, format!("the key of ssh host {host} is not the one that is known"))
            .hint(format!(
                "ask whoever runs {host} whether its key was changed; only then: ssh-keygen -R {host}"
            ));
    }
    if has("Host key verification failed") {
        return Error::new(Kind::Auth, format!("the key of ssh host {host} is not known here"))
            .hint(format!("run `{by_hand}` once and compare the key, or set known_hosts of the tunnel"));
    }
    if has("Permission denied") || has("Too many authentication failures") {
        let hint = match has("UNPROTECTED PRIVATE KEY") {
            true => "the key file can be read by others: chmod 600 it".to_owned(),
            false => format!(
                "try `{by_hand}`; a key with a passphrase has to be in ssh-agent (ssh-add), and the public key in authorized_keys of {host}"
            ),
        };
        return Error::new(Kind::Auth, format!("ssh host {host} does not let this key in")).hint(hint);
    }
    if has("Could not resolve hostname") && !has("Temporary failure") {
        return Error::new(Kind::NotFound, format!("there is no ssh host {host:?}"))
            .hint("correct host of the tunnel, or give it an entry in ~/.ssh/config");
    }
    if has("Bad configuration option") || has("terminating, ") {
        return Error::config("ssh refuses its configuration".to_owned())
            .hint("correct ~/.ssh/config as the cause says; waybill needs OpenSSH 8.5 or newer");
    }
    Error::new(Kind::Network, format!("ssh to {host} ended ({exit}) before it forwarded its port"))
        .hint(format!("look whether `{by_hand}` gets through, and at the events process.output"))
}

/// The command that a person tries the same with.
fn by_hand(ssh: &SshTunnel) -> String {
    let mut words = vec!["ssh".to_owned()];
    if let Some(key) = &ssh.key {
        words.push(format!("-i {}", key.display()));
    }
    if let Some(port) = ssh.port {
        words.push(format!("-p {port}"));
    }
    words.push(match &ssh.user {
        Some(user) => format!("{user}@{}", ssh.host),
        None => ssh.host.clone(),
    });
    words.join(" ")
}
