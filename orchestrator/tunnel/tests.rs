use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::*;

fn tunnel(settings: serde_json::Value) -> Arc<dyn Tunnel> {
    let settings = json!({"tunnel": settings});
    let (events, cancel) = (Events::none(), CancellationToken::new());
    let base = std::env::temp_dir();
    SessionTunnel::of(&settings, base, "source", &events, &cancel).unwrap().expect("settings of a tunnel")
}

fn words(settings: serde_json::Value, host: &str) -> Result<String> {
    let settings: TunnelSettings = serde_json::from_value(settings).unwrap();
    command::command(&settings, Path::new("/base"), 4321, host, 5432).map(|words| words.join(" "))
}

#[test]
fn ssh_is_told_everything_on_its_command_line_and_asks_nobody() {
    let plain = words(json!({"type": "ssh", "host": "bastion"}), "db.internal").unwrap();
    assert!(plain.starts_with("ssh -N -T -a -x -o BatchMode=yes -o ExitOnForwardFailure=yes"), "{plain}");
    assert!(plain.ends_with(" -L 127.0.0.1:4321:db.internal:5432 -- bastion"), "{plain}");
    assert!(!plain.contains("StrictHostKeyChecking"), "{plain}");
    let more = json!({"type": "ssh", "host": "bastion", "user": "me", "port": 2222, "key": "~/k%y",
        "known_hosts": "known hosts", "new_hosts": "accept"});
    let full = words(more, "::1").unwrap();
    for part in [
        "-o StrictHostKeyChecking=accept-new",
        "-o UserKnownHostsFile=\"/base/known hosts\"",
        "-o IdentitiesOnly=yes -i ~/k%%y",
        "-p 2222 -l me -L 127.0.0.1:4321:[::1]:5432",
    ] {
        assert!(full.contains(part), "{part:?} in {full}");
    }
    let missing = words(json!({"type": "ssh", "host": "b", "key": "none"}), "db").unwrap_err();
    assert_eq!(missing.message(), "tunnel.key: there is no file /base/none");
}

#[test]
fn a_command_is_told_the_ports_and_the_host() {
    let settings =
        json!({"type": "command", "command": ["fwd", "--to={host}:{port}", "{local_port}", "{other}"]});
    assert_eq!(words(settings, "db").unwrap(), "fwd --to=db:5432 4321 {other}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_fault_of_the_config() {
    let gone = tunnel(json!({"type": "command", "command": ["waybill-no-such-program", "{local_port}"]}));
    let error = gone.reach("db", 5432).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (Kind::Config, false), "{error}");
    assert!(error.message().contains("waybill-no-such-program"), "{error}");
}

#[tokio::test]
async fn a_program_that_ends_is_a_passing_fault_with_its_words_as_the_cause() {
    let failing = tunnel(
        json!({"type": "command", "command": ["sh", "-c", "echo no route >&2; exit 3", "{local_port}"]}),
    );
    let error = failing.reach("db", 5432).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (Kind::Network, true), "{error}");
    assert!(error.message().contains("exit code 3") && error.causes() == ["no route"], "{error:?}");
    assert_eq!(failing.last_words().as_deref(), Some("no route"));
}

#[tokio::test]
async fn a_port_that_does_not_open_meets_the_deadline_and_everything_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // A child of the program that heeds no TERM, and the program itself.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ >>{0}; while :; do sleep 9; done' & echo $$ >>{0}; wait",
        pids.display()
    );
    let stuck = tunnel(
        json!({"type": "command", "command": ["sh", "-c", script, "{local_port}"], "start_timeout_ms": 400}),
    );
    let error = stuck.reach("db", 5432).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let started = std::fs::read_to_string(&pids).unwrap();
    assert_eq!(started.lines().count(), 2, "{started}");
    for pid in started.lines() {
        let until = Instant::now() + Duration::from_secs(10);
        while alive(pid) {
            assert!(Instant::now() < until, "process {pid} is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether a process runs; one that nobody has asked about since its end does not.
fn alive(pid: &str) -> bool {
    let shown = std::process::Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&shown.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
