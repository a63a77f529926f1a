//! Killed at every call that changes a file or reaches a server, a run loses and doubles nothing:
//! what it left is old or new, and the next run completes exactly.
//!
//! Each route moves three tables: one whole, one by appending, one by merging. The routes through
//! a server try a part of their points, each its own; `WAYBILL_KILL_ALL=1` tries all of them.

mod point;
pub mod route;
pub mod rows;
mod ties;

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;

use point::{kill, points};
use route::{From, Route, To};

use crate::fixture::shim::Call;
use crate::fixture::tell;

/// Tries every `step`-th point of a route from `offset` on.
#[track_caller]
fn every(name: &str, route: &Route, wanted: impl Fn(&Call) -> bool, step: usize, offset: usize) {
    every_of(name, &points(&route.calls, wanted), step, offset, |point| kill(route, *point));
}

/// Tries every `step`-th point from `offset` on; `kill` says whether the run lived that long.
#[track_caller]
fn every_of<P: Debug>(name: &str, all: &[P], step: usize, offset: usize, kill: impl Fn(&P) -> bool) {
    let step = if std::env::var_os("WAYBILL_KILL_ALL").is_some() { 1 } else { step.max(1) };
    let tried: Vec<&P> = all.iter().skip(offset % step).step_by(step).collect();
    let (mut reached, mut wrong) = (0, Vec::new());
    for point in &tried {
        // All of them are tried: where it goes wrong says as much as that it does.
        match std::panic::catch_unwind(AssertUnwindSafe(|| kill(point))) {
            Ok(lived) => reached += usize::from(lived),
            Err(_) => wrong.push(point),
        }
    }
    assert!(wrong.is_empty(), "wrong at {} of {} points: {wrong:?}", wrong.len(), tried.len());
    tell(&format!("killed at {reached} of {} points: {name}", all.len()));
    // A run now and then makes a call less than the one that was watched.
    assert!(reached * 20 >= tried.len() * 19, "{reached} of {} points were reached", tried.len());
}

fn any(_: &Call) -> bool {
    true
}

fn to_a_server(call: &Call) -> bool {
    call.name == "send"
}

#[test]
fn a_first_run_from_sqlite_into_sqlite_is_exact() {
    every("first, sqlite → sqlite", &Route::new("ss", From::Sqlite, To::Sqlite, false), any, 3, 0);
}

#[test]
fn a_later_run_from_sqlite_into_sqlite_is_exact() {
    every("later, sqlite → sqlite", &Route::new("ss", From::Sqlite, To::Sqlite, true), any, 3, 1);
}

#[test]
fn a_first_run_from_files_into_sqlite_is_exact() {
    every("first, files → sqlite", &Route::new("fs", From::Files, To::Sqlite, false), any, 6, 0);
}

#[test]
fn a_later_run_from_files_into_sqlite_is_exact() {
    every("later, files → sqlite", &Route::new("fs", From::Files, To::Sqlite, true), any, 6, 1);
}

#[test]
fn a_first_run_from_postgres_into_sqlite_is_exact() {
    every("first, postgres → sqlite", &Route::new("ps", From::Postgres, To::Sqlite, false), any, 13, 2);
}

#[test]
fn a_later_run_from_postgres_into_sqlite_is_exact() {
    every("later, postgres → sqlite", &Route::new("ps", From::Postgres, To::Sqlite, true), any, 13, 3);
}

#[test]
fn a_first_run_from_sqlite_into_postgres_is_exact() {
    let route = Route::new("sp", From::Sqlite, To::Postgres, false);
    every("first, sqlite → postgres", &route, to_a_server, 11, 0);
}

#[test]
fn a_later_run_from_sqlite_into_postgres_is_exact() {
    let route = Route::new("sp", From::Sqlite, To::Postgres, true);
    every("later, sqlite → postgres", &route, to_a_server, 11, 2);
}

#[test]
fn a_first_run_from_postgres_into_postgres_is_exact() {
    let route = Route::new("pp", From::Postgres, To::Postgres, false);
    every("first, postgres → postgres", &route, to_a_server, 13, 1);
}

#[test]
fn a_later_run_from_postgres_into_postgres_is_exact() {
    let route = Route::new("pp", From::Postgres, To::Postgres, true);
    every("later, postgres → postgres", &route, to_a_server, 13, 5);
}
