//! Servers behind a tunnel: an ssh server of this machine's own, and other programs.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use super::forward::carry;
use super::{paired, tables, wait_until_closed};
use crate::fixture::postgres::{destination, settings, source_at};
use crate::fixture::{Database, Gate, Project, Sshd, wait_until};
use crate::server::PgServer;

/// A project whose source is reached so.
fn project(mut schema: Value, tunnel: Value, streams: Value) -> Project {
    schema["tunnel"] = tunnel;
    source_at(schema, streams)
}

/// A tunnel that is this very program, at the test [`forwarder`].
fn by_command() -> Value {
    let tests = std::env::current_exe().unwrap();
    let name = "connections::tunnels::forwarder";
    json!({"type": "command",
        "command": ["env", "WAYBILL_TEST_FORWARD={local_port}:{port}", tests, "--exact", name, "--nocapture"]})
}

/// Forwards a port for as long as it is let; no test unless it is told to.
#[test]
fn forwarder() {
    let Ok(ports) = std::env::var("WAYBILL_TEST_FORWARD") else { return };
    let (local, server) = ports.split_once(':').unwrap();
    let listener = TcpListener::bind(("127.0.0.1", local.parse().unwrap())).unwrap();
    eprintln!("forwards to {server}");
    for client in listener.incoming().flatten() {
        drop(carry(client, server.parse().unwrap()));
    }
}

/// The processes whose command line has this in it.
fn processes(part: &str) -> Vec<String> {
    let shown = Command::new("ps").args(["-eo", "pid=,stat=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let ours =
        |line: &&str| line.contains(part) && !line.split_whitespace().nth(1).unwrap_or("Z").starts_with('Z');
    text.lines().filter(ours).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// What marks the processes of the tunnels that this project has started, by its log.
fn marks(project: &Project) -> Vec<String> {
    let log = project.log();
    let ports = log.named("tunnel.started").into_iter().map(|line| line["data"]["local_port"].to_string());
    ports.map(|port| format!("127.0.0.1:{port}:")).collect()
}

fn wait_until_gone(project: &Project) {
    for mark in marks(project) {
        wait_until(&format!("the end of ssh -L {mark}"), || processes(&mark).is_empty());
    }
}

#[test]
fn rows_come_through_ssh_and_nothing_is_left_of_it() {
    let (from, to, sshd) = (Database::new("ssh_from"), Database::new("ssh_to"), Sshd::start());
    let streams = tables(&from, 3, 2000);
    let project = project(from.settings(), sshd.tunnel(json!({})), json!(streams));
    destination(&project, &to);
    project.edit(|config| config["destinations"]["warehouse"]["tunnel"] = sshd.tunnel(json!({})));
    project.waybill(&["connection", "test", "c"]).exits(0);
    project.run().exits(0);
    for at in 0..3 {
        assert_eq!(to.sql(&format!("SELECT count(*) FROM t{at}")), "2000");
    }
    let log = project.log();
    paired(&log, "tunnel.started", "tunnel.exited");
    paired(&log, "connection.opened", "connection.closed");
    assert_eq!(log.named("tunnel.started").len(), 2);
    assert!(log.named("tunnel.exited").iter().all(|line| line["data"]["outcome"] == "succeeded"));
    wait_until_gone(&project);
    // Another login, into another place: the config is what is wrong, and it says so before a run.
    let wrong = |more: Value, code: i32, parts: &[&str]| {
        project.edit(|config| config["connections"][0]["schema"]["tunnel"] = sshd.tunnel(more));
        project.run().exits(code).says(parts);
        assert_eq!(project.log().named("retry.scheduled").len(), 0, "{parts:?}");
        wait_until_gone(&project);
    };
    wrong(json!({"key": sshd.file("other_key")}), 1, &["does not let this key in", "ssh-add"]);
    wrong(json!({"key": sshd.file("locked_key")}), 1, &["does not let this key in", "ssh-add"]);
    wrong(json!({"known_hosts": sshd.file("nobody_known")}), 1, &["is not known here", "compare the key"]);
    wrong(json!({"key": "no-such-key"}), 3, &["tunnel.key: there is no file"]);
    // Whether a name is wrong or cannot be looked up, only a name server knows.
    project.edit(|config| {
        config["connections"][0]["schema"]["tunnel"] = sshd.tunnel(json!({"host": "no.such.host.invalid"}))
    });
    let finished = project.run();
    assert!([1, 75].contains(&finished.code), "{finished:?}");
    finished.says(&["no.such.host.invalid"]);
    let said =
        project.log().named("process.output").iter().any(|line| line.to_string().contains("not resolve"));
    assert!(said, "ssh's own words are in the record");
    wait_until_gone(&project);
    // A host key that nobody knew is taken where that was asked for.
    let taken = json!({"known_hosts": sshd.file("nobody_known"), "new_hosts": "accept"});
    project.edit(|config| config["connections"][0]["schema"]["tunnel"] = sshd.tunnel(taken));
    project.run().exits(0);
    assert!(fs::read_to_string(sshd.file("nobody_known")).unwrap().contains("ssh-ed25519"));
}

#[test]
fn what_the_far_end_cannot_reach_is_said_in_its_words() {
    let (from, sshd) = (Database::new("ssh_far"), Sshd::start());
    let mut schema = from.settings();
    schema["port"] = json!(1);
    let project = project(schema, sshd.tunnel(json!({})), json!([{"name": "public.t0"}]));
    project
        .waybill(&["connection", "test", "c"])
        .exits(4)
        .says(&["through the tunnel", "Connection refused"]);
    project.run().exits(75);
    let log = project.log();
    assert_eq!(log.named("retry.scheduled").len(), 3);
    assert!(log.named("process.output").iter().any(|line| line.to_string().contains("Connection refused")));
    paired(&log, "tunnel.started", "tunnel.exited");
}

#[test]
fn a_tunnel_that_dies_in_the_middle_is_started_again_and_the_rows_are_exact() {
    let (from, to, sshd) = (Database::new("ssh_cut_from"), Database::new("ssh_cut_to"), Sshd::start());
    let streams = tables(&from, 2, 3000);
    let gate = Gate::before(from.server.port);
    let mut schema = from.settings();
    schema["port"] = json!(gate.port);
    let project = project(schema, sshd.tunnel(json!({})), json!(streams));
    destination(&project, &to);
    gate.shut("COPY ", 0);
    let running = project.start(&["run", "c"]);
    gate.wait();
    let mark = marks(&project).remove(0);
    let pid = project.log().named("tunnel.started")[0]["data"]["pid"].to_string();
    let killed = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status().unwrap();
    assert!(killed.success());
    gate.open();
    running.wait().exits(0);
    for at in 0..2 {
        assert_eq!(to.sql(&format!("SELECT count(*) || '|' || count(DISTINCT id) FROM t{at}")), "3000|3000");
    }
    let log = project.log();
    log.check();
    let exits: Vec<&str> =
        log.named("tunnel.exited").iter().map(|line| line["data"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(exits, ["failed", "succeeded"]);
    assert_eq!(log.named("tunnel.exited")[0]["data"]["signal"], 9);
    assert!(processes(&mark).is_empty());
    wait_until_gone(&project);
}

#[test]
fn a_killed_run_leaves_no_tunnel_behind() {
    let (from, sshd) = (Database::new("ssh_kill"), Sshd::start());
    let streams = tables(&from, 1, 10);
    let gate = Gate::before(from.server.port);
    for tunnel in [sshd.tunnel(json!({})), by_command()] {
        for signal in ["KILL", "TERM"] {
            let mut schema = from.settings();
            schema["port"] = json!(gate.port);
            schema["application_name"] = json!("ssh-kill");
            let project = project(schema, tunnel.clone(), json!(streams));
            gate.shut("COPY ", 0);
            let running = project.start(&["run", "c"]);
            gate.wait();
            let pid = project.log().named("tunnel.started")[0]["data"]["pid"].to_string();
            let there = || {
                let shown = Command::new("ps").args(["-eo", "pgid=,stat="]).output().unwrap();
                let text = String::from_utf8_lossy(&shown.stdout).into_owned();
                text.lines().any(|line| {
                    let mut words = line.split_whitespace();
                    words.next() == Some(pid.as_str()) && !words.next().unwrap_or("Z").starts_with('Z')
                })
            };
            assert!(there(), "the tunnel leads a process group");
            running.signal(signal);
            if signal == "TERM" {
                project.wait_for_event("signal.received", "SIGTERM");
                gate.open();
            }
            running.wait().exits(if signal == "KILL" { 137 } else { 143 });
            wait_until("the end of the tunnel's process group", || !there());
            gate.open();
            wait_until_closed(&from, "ssh-kill");
        }
    }
}

#[test]
fn any_program_that_opens_a_port_is_a_tunnel() {
    let (from, to) = (Database::new("command_from"), Database::new("command_to"));
    let streams = tables(&from, 2, 500);
    let project = project(from.settings(), by_command(), json!(streams));
    destination(&project, &to);
    project.edit(|config| config["destinations"]["warehouse"]["tunnel"] = by_command());
    project.run().exits(0);
    assert_eq!(to.sql("SELECT (SELECT count(*) FROM t0) + (SELECT count(*) FROM t1)"), "1000");
    let log = project.log();
    paired(&log, "tunnel.started", "tunnel.exited");
    let said = log.named("process.output");
    assert!(said.iter().any(|line| line["message"].as_str().unwrap().starts_with("forwards to")), "{said:?}");
    for name in ["discover", "preview"] {
        let words = ["connection", name, "c", "public.t0"];
        project.waybill(&words[..if name == "discover" { 3 } else { 4 }]).exits(0);
    }
    // What a program says about a secret does not stand in the record.
    let told = json!({"type": "command",
        "command": ["sh", "-c", "cat secrets.toml >&2; exit 9", "{local_port}"]});
    project.edit(|config| config["connections"][0]["schema"]["tunnel"] = told);
    let finished = project.run();
    assert_eq!(finished.code, 75, "{finished:?}");
    assert!(finished.err.contains("exit code 9"), "{finished:?}");
    project.nowhere(crate::server::PASSWORD, &["secrets.toml"], &finished);
    assert!(
        project.log().named("process.output").iter().any(|line| line.to_string().contains("password = "))
    );
}

#[test]
fn tls_verifies_the_servers_own_name_through_a_tunnel() {
    let ((server, certificate), sshd) = (PgServer::with_tls(), Sshd::start());
    server.psql("postgres", "CREATE TABLE t0 AS SELECT i AS id FROM generate_series(1, 500) i");
    let verified = |host: &str, tunnel: Value| {
        let mut schema = settings(&server, "postgres");
        schema["host"] = json!(host);
        schema["tls"] = json!("verify");
        schema["ca_file"] = json!(certificate);
        project(schema, tunnel, json!([{"name": "public.t0"}]))
    };
    for tunnel in [sshd.tunnel(json!({})), by_command()] {
        let project = verified("localhost", tunnel.clone());
        project.waybill(&["connection", "test", "c"]).exits(0).says(&["TLSv1.3"]);
        project.run().exits(0);
        assert_eq!(project.value("SELECT count(*) FROM public_t0"), "500");
        // The local end is 127.0.0.1 in both cases: only the name in the settings counts.
        let project = verified("127.0.0.1", tunnel);
        project.run().exits(1).says(&["is not for the name \"127.0.0.1\""]);
        assert_eq!(project.log().named("retry.scheduled").len(), 0);
    }
}

#[test]
fn a_tunnel_that_makes_no_sense_is_refused_by_its_member() {
    let from = Database::new("tunnel_wrong");
    for (tunnel, part) in [
        (json!({"type": "ssh"}), "host"),
        (json!({"type": "ssh", "host": "-v"}), "tunnel.host: "),
        (json!({"type": "ssh", "host": "b", "port": "x"}), "tunnel"),
        (json!({"type": "command", "command": []}), "tunnel.command: names no program"),
        (json!({"type": "command", "command": ["nc"]}), "{local_port}"),
        (json!({"type": "tram"}), "tram"),
        (json!("ssh bastion"), "tunnel"),
    ] {
        let project = project(from.settings(), tunnel, json!([]));
        project.run().exits(3).says(&[part]);
    }
    let project = project(from.settings(), json!({"type": "ssh", "host": "b", "passphrase": "x"}), json!([]));
    project.waybill(&["config", "validate"]).says(&["passphrase"]);
}
