//! Rule 5: the destination is the truth about what it holds.

use std::fs;

use serde_json::json;

use super::{crosswise, everywhere};
use crate::fixture::{Database, Project, postgres, script};
use crate::server::PgServer;

#[test]
fn a_first_run_that_was_killed_between_its_commit_and_the_config_is_adopted() {
    for write in ["append", "merge"] {
        let project = script::source(script::by_cursor(write), json!([script::whole(30)]));
        let last =
            json!({"at": "commit", "nth": 3, "after": true, "touch": "here", "wait_for_file": "never"});
        script::faults(&project, json!([last]));
        let running = project.start(&["run", "c"]);
        project.wait_for_file("here");
        running.signal("KILL");
        running.wait();
        assert!(project.state("s").is_null());
        project.run().exits(0);
        assert_eq!(project.log().named("state.reconciled")[0]["data"]["rule"], "5");
        assert_eq!(project.value("SELECT count(*) || '|' || count(DISTINCT id) FROM s"), "30|30");
        assert_eq!(project.state("s")["cursor"], 30);
    }
}

#[test]
fn a_config_from_an_old_checkout_moves_nothing_back() {
    everywhere("checkout", |ground| {
        let config = || fs::read_to_string(ground.project.path("config.json")).unwrap();
        let without = {
            // As it was before anything was loaded, but with its id.
            ground.project.edit(|config| {
                config["connections"][0]["id"] = json!("0199aaaa-bbbb-7ccc-8ddd-eeeeffff0001");
            });
            config()
        };
        ground.runs_by("3");
        let older = config();
        ground.add(11, 20);
        ground.runs_by("5");
        ground.exactly(20);
        let newest = ground.entry();
        for old in [older, without] {
            ground.project.file("config.json", &old);
            ground.runs_by("5");
            ground.exactly(20);
            assert_eq!(ground.entry(), newest, "{}: the config is brought up again", ground.name);
        }
        ground.add(21, 25);
        ground.runs_by("5");
        ground.exactly(25);
    });
}

#[test]
fn a_destination_restored_from_a_backup_loads_the_gap_again() {
    everywhere("restored", |ground| {
        ground.runs_by("3");
        let backup = Backup::of(ground.target.as_ref(), &ground.project);
        ground.add(11, 20);
        ground.runs_by("5");
        ground.exactly(20);
        backup.restore(ground.target.as_ref(), &ground.project);
        ground.exactly(10);
        assert_eq!(ground.entry()["cursor"], 20, "the config is ahead now");
        ground.add(21, 25);
        ground.runs_by("5");
        ground.exactly(25);
        assert_eq!(ground.entry()["cursor"], 25);
    });
}

/// A copy of everything a destination holds.
struct Backup;

impl Backup {
    fn of(target: Option<&Database>, project: &Project) -> Backup {
        match target {
            Some(target) => copy(&target.name, &format!("{}_backup", target.name)),
            None => {
                let conn = rusqlite::Connection::open(project.path("waybill.db")).unwrap();
                let into = project.path("backup.db").display().to_string();
                conn.execute("VACUUM INTO ?1", [into]).unwrap();
            }
        }
        Backup
    }

    fn restore(&self, target: Option<&Database>, project: &Project) {
        if let Some(target) = target {
            return copy(&format!("{}_backup", target.name), &target.name);
        }
        for file in ["waybill.db-wal", "waybill.db-shm"] {
            let _ = fs::remove_file(project.path(file));
        }
        fs::copy(project.path("backup.db"), project.path("waybill.db")).unwrap();
    }
}

fn copy(from: &str, to: &str) {
    let server = PgServer::shared();
    server.psql("postgres", &format!("DROP DATABASE IF EXISTS \"{to}\" WITH (FORCE)"));
    server.psql("postgres", &format!("CREATE DATABASE \"{to}\" TEMPLATE \"{from}\""));
}

#[test]
fn a_destination_that_is_changed_for_another_and_back_goes_on_where_it_was() {
    crosswise("swap", |ground| {
        ground.runs_by("3");
        ground.add(11, 15);
        let home = ground.project.config();
        let other = Database::new(&format!("{}_b", ground.name));
        postgres::destination_named(&ground.project, "other", &other);
        // The new one holds nothing, and the config says 10: somebody must say what that means.
        ground.project.run().exits(1).says(&[
            "accept: continues from 10",
            "reset: loads everything again",
            "waybill state reset c --stream t",
        ]);
        ground.set_entry(json!({"reset": "for-b"}));
        ground.runs_by("1");
        assert_eq!(other.sql("SELECT count(*), count(DISTINCT id) FROM t"), "15|15");
        assert_eq!(ground.entry()["cursor"], 15);
        // Back to the first: it holds 10, whatever the config mirrors.
        ground.add(16, 20);
        ground.project.edit(|config| {
            config["destination"] = home["destination"].clone();
        });
        ground.runs_by("5");
        ground.exactly(20);
        ground.project.edit(|config| config["destination"] = json!("other"));
        ground.runs_by("5");
        assert_eq!(other.sql("SELECT count(*), count(DISTINCT id) FROM t"), "20|20");
    });
}
