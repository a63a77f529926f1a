//! What goes wrong under a person's hands: Escape and Ctrl-C anywhere, another size, other hands.

use serde_json::json;

use super::{nothing, open, sized};
use crate::fixture::{Project, one_connection, script};

fn shop(project: &Project) {
    let shop = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    shop.execute_batch("CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1);").unwrap();
}

fn project() -> Project {
    let project =
        Project::new(one_connection("sqlite", json!({"path": "shop.db", "streams": [{"name": "a"}]})));
    shop(&project);
    project
}

/// The questions of the way to a connection, and what is typed there to go on.
const WAY: [(&str, &str); 6] = [
    ("Load from where?", "\r"),
    ("Address or path", "shop.db\r"),
    ("Name of the connection", "\r"),
    ("Load to where?", "\r"),
    ("Load which streams?", "\r"),
    ("Save it?", ""),
];

#[test]
fn escape_goes_one_step_back_at_every_step_and_nothing_is_saved() {
    let project = nothing();
    shop(&project);
    let screen = open(&project);
    screen.shows("no project here yet").enter();
    for (question, keys) in WAY {
        screen.shows(question).types(keys);
    }
    // Back again, all the way; the test in between is no question, so it is passed over.
    for (question, _) in WAY.iter().rev().skip(1) {
        screen.shows("Esc").escape().shows(question);
    }
    screen.escape().shows("no project here yet").escape().ends(0);
    assert!(!project.path("config.json").exists() && !project.path("secrets.toml").exists());
}

#[test]
fn control_c_leaves_at_every_step_with_the_terminal_as_it_was() {
    for stop in 0..WAY.len() {
        let project = nothing();
        shop(&project);
        let screen = open(&project);
        screen.shows("no project here yet").enter();
        for (question, keys) in &WAY[..stop] {
            screen.shows(question).types(keys);
        }
        screen.shows(WAY[stop].0).interrupt();
        screen.ends(130);
        assert!(!project.path("config.json").exists(), "saved at {}", WAY[stop].0);
    }
}

#[test]
fn signals_from_elsewhere_end_the_menu_with_their_codes() {
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let project = project();
        let screen = open(&project);
        screen.shows("What to do?");
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", screen.pid())])
            .status();
        assert!(sent.unwrap().success());
        screen.ends(code);
    }
}

#[test]
fn another_size_in_the_middle_draws_the_question_anew() {
    let project = project();
    let screen = sized(&project, 24, 80);
    screen.shows("● c").shows("Quit");
    for (rows, columns) in [(10, 40), (50, 200), (24, 80), (4, 20), (24, 80)] {
        screen.resize(rows, columns).shows("● c");
    }
    screen.shows("Quit");
    let lines: Vec<String> = screen.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("What to do?")).count(), 1, "{lines:?}");
    screen.enter().shows("What to do with it?").resize(12, 60).shows("What to do with it?").escape();
    screen.shows("What to do?").escape().ends(0);
}

#[test]
fn without_colours_nothing_is_coloured() {
    let project = project();
    let mut command = project.command(&[]);
    command.env("NO_COLOR", "1");
    let screen = crate::fixture::Screen::open(&command, 24, 80);
    screen.shows("› ● c").enter().shows("› Run").enter().shows("And now?").shows("succeeded");
    let all = screen.everything();
    assert!(!all.contains("\u{1b}[1m") && !all.contains("\u{1b}[3"), "{all:?}");
    screen.interrupt().ends(130);
}

#[test]
fn an_emptied_config_under_the_menus_feet_is_said_and_mended() {
    let project = project();
    let whole = std::fs::read_to_string(project.path("config.json")).unwrap();
    let screen = open(&project);
    screen.shows("● c").enter().shows("What to do with it?");
    project.file("config.json", "");
    screen.takes("Edit").shows("error:");
    screen.shows("the config cannot be read").shows("Try again");
    project.file("config.json", &whole);
    screen.takes("again").shows("● c").escape().ends(0);
    assert_eq!(std::fs::read_to_string(project.path("config.json")).unwrap(), whole);
}

#[test]
fn a_config_emptied_while_a_connection_is_added_loses_nothing_that_was_typed() {
    let project = project();
    let whole = std::fs::read_to_string(project.path("config.json")).unwrap();
    let screen = open(&project);
    screen.shows("● c").takes("Add a").shows("Load from where?").enter();
    screen.shows("Address or path").types("shop.db\r").shows("Name of the connection").types("other\r");
    screen.shows("Load to where?").enter().shows("Load which streams?").enter().shows("Save it?");
    project.file("config.json", "");
    screen.takes("Save").shows("error:").shows("Name of the connection");
    project.file("config.json", &whole);
    screen.enter().shows("Load to where?").enter().shows("Load which streams?").enter();
    screen.shows("Save it?").types("\u{1b}[B\r").shows("saved: other").shows("● other").escape().ends(0);
    assert_eq!(project.config()["connections"].as_array().unwrap().len(), 2);
}

#[test]
fn what_another_process_writes_while_a_dialogue_is_open_is_kept_or_the_conflict_is_shown() {
    let project = project();
    std::fs::copy(project.path("shop.db"), project.path("other.db")).unwrap();
    let change = |path: &str| {
        let screen = open(&project);
        screen
            .shows("● c")
            .enter()
            .shows("What to do with it?")
            .takes("Edit")
            .shows("Settings of the source");
        screen
            .takes("path")
            .shows("? path: ")
            .types("\u{15}")
            .types(path)
            .enter()
            .shows("Settings of the source");
        screen
    };
    // Another member: both are kept.
    let screen = change("other.db");
    project.edit(|config| config["connections"][0]["retries"] = json!(7));
    screen.takes("Save").shows("saved").shows("What to do with it?").interrupt().ends(130);
    let entry = project.config()["connections"][0].clone();
    assert_eq!((&entry["retries"], &entry["schema"]["path"]), (&json!(7), &json!("other.db")));
    // The same one: nothing is saved, and it is said.
    let screen = change("shop.db");
    project.edit(|config| config["connections"][0]["schema"]["path"] = json!("third.db"));
    screen.takes("Save").shows("was changed meanwhile").shows("third.db");
    screen.shows("What to do with it?").interrupt().ends(130);
    assert_eq!(project.config()["connections"][0]["schema"]["path"], "third.db");
    // A new connection beside one that came meanwhile under another name.
    project.edit(|config| config["connections"][0]["schema"]["path"] = json!("shop.db"));
    let screen = open(&project);
    screen.shows("● c").takes("Add a").shows("Load from where?").enter();
    screen.shows("Address or path").types("shop.db\r").shows("Name of the connection").types("mine\r");
    screen.shows("Load to where?").enter().shows("Load which streams?").enter().shows("Save it?");
    project.edit(|config| {
        let mut theirs = config["connections"][0].clone();
        theirs["name"] = json!("theirs");
        theirs.as_object_mut().unwrap().remove("id");
        config["connections"].as_array_mut().unwrap().push(theirs);
    });
    screen.types("\u{1b}[B\r").shows("saved: mine").shows("● theirs").shows("● mine").escape().ends(0);
    assert_eq!(project.config()["connections"].as_array().unwrap().len(), 3);
}

#[test]
fn control_c_in_a_run_ends_the_run_in_good_order_and_comes_back_to_the_report() {
    let held = json!([{"do": "schema"}, {"do": "table", "from": 1, "to": 30, "batch": 10}, {"do": "touch", "path": "half"},
           {"do": "wait_until_stopped"}, {"do": "table", "from": 31, "to": 60, "batch": 10}, {"do": "complete"}]);
    let project = script::source(script::by_cursor("append"), json!([held, script::whole(60)]));
    let screen = open(&project);
    screen.shows("● c").enter().shows("What to do with it?").enter().shows("$ waybill run c");
    project.wait_for_commits(3);
    screen.interrupt().shows("cancelled").shows("And now?");
    assert_eq!(project.value("SELECT count(*) FROM s"), "30");
    screen.takes("again").shows("succeeded").shows("And now?");
    assert_eq!(project.value("SELECT count(*) FROM s"), "60");
    screen.escape().shows("What to do with it?").escape().shows("● c").escape().ends(0);
}

#[test]
fn nonsense_in_every_field_is_refused_with_its_reason() {
    let project = project();
    let screen = open(&project);
    screen.shows("● c").takes("Add a").shows("Load from where?").enter().shows("Address or path");
    for (text, part) in [
        ("mysql://x@y/z", "no system that this build knows"),
        ("postgresql://u:p@h:99999/d", "port"),
        ("what is this", "nothing is known"),
        ("\t\u{1b}[C\u{1b}[99~", "an answer is needed"),
    ] {
        screen.types("\u{15}").types(text).enter().shows("✗").shows(part);
    }
    screen.types("\u{15}shop.db\r").shows("Name of the connection");
    for (text, part) in
        [("-x", "✗"), ("a b", "✗"), ("c", "there is a connection c already"), ("ü", "✗"), ("C", "already")]
    {
        screen.types("\u{15}").types(text).enter().shows(part);
    }
    screen.types("\u{15}").types(&"n".repeat(65)).enter().shows("✗").shows("64");
    screen.escape().shows("? Address or path").escape().escape().shows("● c");
    // What is typed ahead of a question is not lost.
    screen.types("Add a\r").shows("Load from where?");
    screen.takes("PostgreSQL").shows("? host").enter().shows("? port");
    for text in ["x", "-1", "99999", "1.5", "{}"] {
        screen.types("\u{15}").types(text).enter().shows("✗");
    }
    screen.types("\u{15}5432\r").shows("? database").escape().shows("? port").interrupt().ends(130);
    assert_eq!(project.config()["connections"].as_array().unwrap().len(), 1);
}

#[test]
fn long_lists_page() {
    let project = nothing();
    let shop = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    for n in 0..120 {
        shop.execute_batch(&format!("CREATE TABLE t{n:03} (id INTEGER PRIMARY KEY)")).unwrap();
    }
    let screen = open(&project);
    screen.shows("no project here yet").enter().shows("Load from where?").enter();
    screen.shows("Address or path").types("shop.db\r").shows("Name of the connection").enter();
    screen.shows("Load to where?").enter().shows("Load which streams?").shows("1 of 120").shows("0 marked");
    screen.types("\u{1b}[6~\u{1b}[6~").hides("t000").types("\u{1b}[F").shows("120 of 120").shows("t119");
    screen.types("t05").shows("t050").shows("t059").hides("t119").types("\u{1}").shows("10 marked");
    screen.types("\r").shows("Save it?").interrupt().ends(130);
}

#[test]
fn without_a_terminal_there_is_help_and_no_menu() {
    let project = project();
    let finished = project.waybill(&[]).exits(2);
    assert!(finished.err.contains("Usage: waybill"), "{}", finished.err);
}
