//! What differs between two runs: settings, columns, windows, rows; and what cannot be compared.

use serde_json::{Value, json};

use super::json as answer;
use crate::fixture::{Project, incremental, one_connection, script};

fn diff(project: &Project, words: &[&str]) -> Value {
    project.waybill(&[&["runs", "diff"], words, &["--output", "json"]].concat()).exits(0).json()
}

fn texts(comparison: &Value, notable: bool) -> Vec<String> {
    let all = comparison["differences"].as_array().unwrap();
    let wanted = all.iter().filter(|difference| difference["notable"] == notable);
    wanted.map(|d| format!("{}: {}", d["area"].as_str().unwrap(), d["text"].as_str().unwrap())).collect()
}

fn sql(project: &Project, sql: &str) {
    rusqlite::Connection::open(project.path("source.db")).unwrap().execute_batch(sql).unwrap();
}

fn of_sqlite() -> Project {
    let streams = json!([incremental("t", json!({"cursor": "id"})), {"name": "u"}]);
    let project = Project::new(one_connection("sqlite", json!({"path": "source.db", "streams": streams})));
    sql(
        &project,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO t VALUES (1, 'a'), (2, 'b');
         CREATE TABLE u (id INTEGER PRIMARY KEY, n INTEGER);
         WITH RECURSIVE a(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM a WHERE i < 100) INSERT INTO u SELECT i, i FROM a",
    );
    project
}

#[test]
fn two_runs_of_the_same_differ_in_nothing_of_note() {
    let project = of_sqlite();
    project.run().exits(0);
    project.run().exits(0);
    let comparison = diff(&project, &[]);
    assert!(texts(&comparison, true).is_empty(), "{comparison}");
    let usual = texts(&comparison, false).join("\n");
    assert!(usual.contains("window: t: read from 2, before from the beginning"), "{usual}");
    // What is compared with itself differs in nothing at all.
    let same = project.waybill(&["runs", "diff", "last", "last"]).exits(0);
    same.says(&["these are the same run", "nothing differs"]);
}

#[test]
fn changed_settings_columns_and_rows_are_named_one_by_one() {
    let project = of_sqlite();
    project.run().exits(0);
    sql(
        &project,
        "ALTER TABLE t ADD COLUMN colour TEXT; DELETE FROM u WHERE id > 20; INSERT INTO t VALUES (3, 'c', 'red')",
    );
    project.edit(|config| {
        config["connections"][0]["parallelism"] = json!(2);
        config["connections"][0]["schema"]["streams"][1]["where"] = json!("id > 0");
    });
    project.waybill(&["run", "c", "--timeout", "90s"]).exits(0);
    let comparison = diff(&project, &["-2", "-1"]);
    let notable = texts(&comparison, true);
    for text in [
        "settings: parallelism: 4 → 2",
        "settings: streams.u.where: not set → id > 0",
        "options: timeout_ms: not set → 90000",
        "schema: t.colour: is new (text",
        "rows: u: 20 rows, before 100 (−80 %)",
    ] {
        assert!(notable.iter().any(|known| known.starts_with(text)), "no {text:?} in {notable:#?}");
    }
    assert!(texts(&comparison, false).iter().any(|text| text.contains("t: read from 2")), "{comparison}");
    assert_eq!(
        (&comparison["before"]["status"], comparison["unknown"].is_null()),
        (&json!("succeeded"), true)
    );
    // The one answer about a run that succeeded names the same as unusual.
    let said = super::explained(&project, "succeeded-changed", "succeeded", &["unusual:", "more below"]);
    assert!(said.contains("option: timeout_ms: not set → 90000"), "{said}");
}

#[test]
fn what_a_run_did_not_come_to_is_not_compared() {
    let project = of_sqlite();
    project.run().exits(0);
    project.edit(|config| config["connections"][0]["schema"]["path"] = json!("elsewhere/source.db"));
    project.run();
    let said = super::failed(&project, "path-changed", "not_found", &["elsewhere/source.db"]);
    assert!(said.contains("setting: source.path: source.db → elsewhere/source.db"), "{said}");
    let comparison = answer(&project)["comparison"].clone();
    assert!(comparison["unknown"][0].as_str().unwrap().contains("did not come to discovery"), "{comparison}");
    assert!(!texts(&comparison, true).iter().any(|text| text.contains("no longer loaded")), "{comparison}");
}

#[test]
fn without_the_log_of_the_good_run_the_digest_tells_whether_settings_differ() {
    let project = of_sqlite();
    project.run().exits(0);
    std::fs::remove_file(project.log().path).unwrap();
    project.edit(|config| config["connections"][0]["schema"]["streams"][1]["where"] = json!("nonsense ("));
    project.run();
    let comparison = answer(&project)["comparison"].clone();
    assert!(
        texts(&comparison, true).iter().any(|text| text.starts_with("settings: digest: ")),
        "{comparison}"
    );
    assert!(comparison["unknown"].to_string().contains("is gone (the settings differ"), "{comparison}");
}

#[test]
fn more_attempts_than_before_are_of_note() {
    let lost = json!([{"do": "schema"}, {"do": "fail", "kind": "network", "message": "the line is dead"}]);
    let project = script::source(
        script::by_cursor("append"),
        json!([script::whole(10), lost, lost, script::whole(20)]),
    );
    project.run().exits(0);
    project.run().exits(0);
    let notable = texts(&diff(&project, &[]), true).join("\n");
    assert!(notable.contains("streams: s: 3 attempts, before 1"), "{notable}");
    let said = super::explained(
        &project,
        "succeeded-after-retries",
        "succeeded",
        &["it took 3 attempts", "more below"],
    );
    assert!(said.contains("the line is dead"), "{said}");
}

#[test]
fn a_run_that_is_not_there_is_said_with_what_there_is() {
    let project = of_sqlite();
    project.waybill(&["runs", "diff"]).exits(1).says(&["there are no runs yet"]);
    project.waybill(&["runs", "explain"]).exits(1).says(&["there are no runs yet"]);
    project.run().exits(0);
    project.waybill(&["runs", "diff"]).exits(1).says(&["there are only 1 runs"]);
    project.waybill(&["runs", "explain", "nobody"]).exits(1).says(&["no run is meant by \"nobody\""]);
}
