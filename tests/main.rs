//! End-to-end tests: the real program against real files and servers.
//!
//! `fixture` holds what they share; each other module is one promise. Whoever runs the program
//! through the fixture has its record checked too: each log, and each summary against its log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_input;
mod bundle;
mod conformance;
mod connections;
mod cursors;
mod cut;
mod deadlines;
mod destinations;
mod disk;
mod doctor;
mod exact;
mod faces;
mod files_to_sqlite;
mod fixture;
mod gate;
mod headless;
mod history;
mod kill_anywhere;
mod killed;
mod late_commits;
mod leak;
mod manage;
mod menu;
mod model;
mod overwrite;
mod passthrough;
mod postgres;
mod preflight;
mod query;
mod record;
mod records;
mod retries;
mod run_ids;
mod schema_change;
mod secret_tools;
mod secrets;
mod state_file;
mod state_rules;
mod state_tools;
mod stopping;
mod together;

#[path = "../connectors/postgres/server.rs"]
mod server;
