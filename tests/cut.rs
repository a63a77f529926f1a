//! The connection to a server is cut at any message, or the answer to a commit is lost: a run tries
//! again by itself, or ends with 75 and the next one completes; nothing is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::fixture::proxy::{Fault, Proxy, Trap, Way};
use crate::fixture::{Project, tell, wait_until};
use crate::kill_anywhere::route::{From, Route, To};
use crate::kill_anywhere::rows::TABLES;
use crate::server::PgServer;

/// A route of which one side is reached through a proxy.
struct Cut {
    name: &'static str,
    route: Route,
    /// `connections` or `destinations`: whose port is the proxy's.
    side: &'static str,
    server: &'static PgServer,
    /// How long anything may be silent, where that is tried.
    patience: Option<u64>,
    /// The first wait before another attempt, where it has to be long enough for a server to come back.
    backoff: Option<u64>,
}

impl Cut {
    fn source(name: &'static str, later: bool) -> Cut {
        let route = Route::new(name, From::Postgres, To::Sqlite, later);
        Cut { name, route, side: "connections", server: PgServer::shared(), patience: None, backoff: None }
    }

    fn destination(name: &'static str, later: bool) -> Cut {
        let route = Route::new(name, From::Sqlite, To::Postgres, later);
        Cut { name, route, side: "destinations", server: PgServer::shared(), patience: None, backoff: None }
    }

    fn through(&self, project: &Project, port: u16) {
        project.edit(|config| {
            match self.side {
                "connections" => config["connections"][0]["schema"]["port"] = json!(port),
                _ => config["destinations"]["warehouse"]["port"] = json!(port),
            }
            if let Some(ms) = self.backoff {
                config["connections"][0]["backoff_ms"] = json!(ms);
            }
            if let Some(ms) = self.patience {
                config["connections"][0]["query_timeout_ms"] = json!(ms);
                config["connections"][0]["stall_timeout_ms"] = json!(ms);
            }
        });
    }

    /// How many messages a run exchanges that way.
    fn count(&self, way: Way) -> u64 {
        let project = self.route.start();
        let proxy = Proxy::new(self.server.port, None);
        self.through(&project, proxy.port);
        project.run().exits(0);
        proxy.count(way)
    }

    /// Springs a trap; says whether the run came to it, and whether it needed another run.
    fn spring(&self, trap: Trap, what: &str) -> (bool, bool) {
        let project = self.route.start();
        let proxy = Proxy::new(self.server.port, Some(trap));
        self.through(&project, proxy.port);
        let cut = project.run();
        let sprung = proxy.sprung();
        wait_until("the server to be back", || !proxy.acting());
        let place = format!("{}: {what}", self.name);
        // Where some streams had their rows already, the others' failure makes the run partial.
        assert!([0, 5, 75].contains(&cut.code), "{place}: {cut:?}");
        if cut.code != 0 {
            let error = &project.summary()["error"];
            let kind = error["kind"].as_str().unwrap_or_default();
            let passing = ["network", "timeout"].contains(&kind) && error["retryable"] == true;
            assert!(passing && error["hint"].is_string(), "{place}: {error}");
        } else {
            self.whole(&project, &place);
        }
        let port = self.server.port;
        self.through(&project, port);
        let next = project.run();
        assert_eq!(next.code, 0, "{place}: the next run: {next:?}\n{cut:?}");
        self.whole(&project, &place);
        assert_eq!(project.summary()["status"], "succeeded", "{place}");
        (sprung, cut.code != 0)
    }

    fn whole(&self, project: &Project, place: &str) {
        for table in TABLES {
            let found = self.route.target.rows(project, table);
            assert_eq!(found.as_deref(), Some(&self.route.expected(table)[..]), "{place}: {table}");
        }
        let left = self.route.target.leftovers(project);
        assert!(left.is_empty(), "{place}: left behind: {left:?}");
    }

    /// Every `step`-th message one way, from `offset` on.
    fn sweep(&self, word: &str, way: Way, step: u64, offset: u64, fault: &Fault) {
        let all = std::env::var_os("WAYBILL_KILL_ALL").is_some();
        let step = if all { 1 } else { step };
        let messages = self.count(way);
        let (mut tried, mut again, mut wrong) = (0, 0, Vec::new());
        for nth in (1 + offset % step..=messages).step_by(step as usize) {
            let trap = Trap { way, nth, fault: fault.clone() };
            let what = format!("{word} at message {nth} of {messages} ({way:?})");
            let sprung = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.spring(trap, &what)));
            match sprung {
                Ok((sprung, next)) => {
                    tried += u64::from(sprung);
                    again += u64::from(next);
                }
                Err(_) => wrong.push(nth),
            }
        }
        assert!(wrong.is_empty(), "{}: {word} ({way:?}): wrong at {wrong:?}", self.name);
        assert!(tried > 0, "{}: {word} ({way:?}) was never reached", self.name);
        let name = self.name;
        tell(&format!(
            "cut at {tried} of {messages} messages ({way:?}), {word}, {again} left to the next run: {name}"
        ));
    }
}

#[test]
fn a_source_that_is_cut_off_is_read_exactly() {
    for (name, later) in [("cut_source_first", false), ("cut_source_later", true)] {
        let cut = Cut::source(name, later);
        cut.sweep("reset", Way::Out, 9, 1, &Fault::Reset);
        cut.sweep("all reset", Way::In, 89, 5, &Fault::ResetAll);
        cut.sweep("closed", Way::In, 97, 17, &Fault::Close);
        cut.sweep("half", Way::In, 113, 23, &Fault::Half);
    }
}

#[test]
fn a_destination_that_is_cut_off_is_loaded_exactly() {
    for (name, later) in [("cut_destination_first", false), ("cut_destination_later", true)] {
        let cut = Cut::destination(name, later);
        cut.sweep("reset", Way::Out, 37, 1, &Fault::Reset);
        cut.sweep("all reset", Way::Out, 53, 5, &Fault::ResetAll);
        cut.sweep("closed", Way::In, 131, 17, &Fault::Close);
        cut.sweep("half", Way::Out, 61, 23, &Fault::Half);
    }
}

#[test]
fn a_commit_whose_answer_is_lost_took_place_or_not() {
    for (name, later) in [("cut_commit_first", false), ("cut_commit_later", true)] {
        let cut = Cut::destination(name, later);
        cut.sweep("answer lost", Way::Commit, 1, 0, &Fault::LoseAnswer);
        cut.sweep("reset", Way::Commit, 2, 0, &Fault::Reset);
    }
}

#[test]
fn a_commit_that_is_still_on_its_way_is_waited_for() {
    for (name, later) in [("cut_late_first", false), ("cut_late_later", true)] {
        let cut = Cut::destination(name, later);
        cut.sweep("delivered late", Way::Commit, 1, 0, &Fault::Late(Duration::from_millis(700)));
    }
}

#[test]
fn a_silent_server_is_given_up() {
    let source = Cut { patience: Some(700), ..Cut::source("cut_silent_source", true) };
    source.sweep("silent", Way::In, 120, 31, &Fault::Silent);
    source.sweep("silent", Way::Out, 30, 11, &Fault::Silent);
    let destination = Cut { patience: Some(700), ..Cut::destination("cut_silent_destination", true) };
    destination.sweep("silent", Way::In, 190, 31, &Fault::Silent);
    destination.sweep("silent", Way::Out, 90, 11, &Fault::Silent);
    destination.sweep("silent", Way::Commit, 4, 1, &Fault::Silent);
}

#[test]
fn a_server_that_is_killed_keeps_what_it_acknowledged() {
    // A killed process loses nothing that it gave to the system: without fsync it is as exact.
    let server: &'static PgServer = Box::leak(Box::new(PgServer::start(&[])));
    let through = |name, side, from, to| {
        let route = Route::on(server, name, from, to, true);
        Cut { name, route, side, server, patience: None, backoff: Some(300) }
    };
    let crash = |signal: &'static str| Arc::new(move || server.crash(signal));
    let cut = through("cut_crash_destination", "destinations", From::Sqlite, To::Postgres);
    cut.sweep("killed before", Way::Out, 60, 41, &Fault::Before(crash("KILL")));
    cut.sweep("stopped before", Way::Commit, 3, 1, &Fault::Before(crash("QUIT")));
    cut.sweep("killed after", Way::Commit, 3, 2, &Fault::After(crash("KILL")));
    let cut = through("cut_crash_source", "connections", From::Postgres, To::Sqlite);
    cut.sweep("killed before", Way::Out, 9, 4, &Fault::Before(crash("KILL")));
    cut.sweep("stopped before", Way::In, 130, 70, &Fault::Before(crash("QUIT")));
    server.stop();
}
