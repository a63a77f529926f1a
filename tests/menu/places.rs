//! Destinations, secrets, streams and previews from the menu.

use serde_json::json;

use super::{nothing, open};
use crate::fixture::{Database, Project, one_connection, wait_until};
use crate::server::{PASSWORD, USER};

#[test]
fn a_destination_is_added_on_the_way_and_the_old_default_stays() {
    let project =
        Project::new(one_connection("sqlite", json!({"path": "shop.db", "streams": [{"name": "a"}]})));
    let shop = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    shop.execute_batch("CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1);").unwrap();
    let screen = open(&project);
    screen.shows("● c").takes("Add a").shows("Load from where?").enter();
    screen.shows("Address or path").types("shop.db\r").shows("Name of the connection").types("d\r");
    screen.shows("Load to where?").takes("another").shows("Which system?").takes("SQLite");
    screen.shows("Name of the destination").types("local\r").shows("there is a destination local already");
    screen.types("\u{15}lake\r").shows("? path").types("\r").shows("an answer is needed");
    screen.types("lake.db\r").shows("Settings of the destination").shows("lake.db").enter();
    screen.shows("saved: lake").shows("Load to where?").takes("lake");
    screen
        .shows("Load which streams?")
        .enter()
        .shows("Save it?")
        .enter()
        .shows("succeeded")
        .shows("And now?");
    let config = project.config();
    assert_eq!(config["destination"], "local", "{config}");
    assert_eq!(config["destinations"]["local"], json!({"type": "sqlite", "path": "waybill.db"}));
    assert_eq!(config["connections"][1]["destination"], "lake");
    assert_eq!(crate::fixture::project::sqlite_rows(&project.path("lake.db"), "SELECT id FROM a"), ["1"]);
    screen
        .escape()
        .shows("● d")
        .takes("Destinations")
        .shows("* local")
        .takes("lake")
        .shows("What to do with lake?");
    screen.takes("Edit").shows("Settings of the destination").takes("path").shows("? path: lake.db");
    screen
        .types("\u{15}pond.db\r")
        .shows("pond.db")
        .takes("Save")
        .shows("saved")
        .shows("What to do with lake?");
    assert_eq!(project.config()["destinations"]["lake"], json!({"type": "sqlite", "path": "pond.db"}));
    screen.interrupt().ends(130);
}

#[test]
fn a_secret_is_entered_unseen_and_streams_are_chosen_later() {
    let database = Database::new("menu_places");
    database.sql(
        "CREATE TABLE one (id int PRIMARY KEY, name text); INSERT INTO one VALUES (1, 'Ada');
         CREATE TABLE two (id int PRIMARY KEY);",
    );
    let mut schema = database.settings();
    schema["streams"] = json!([{"name": "public.two", "where": "id > 0"}]);
    let project = Project::new(one_connection("postgres", schema));
    let screen = open(&project);
    screen
        .shows("● c")
        .takes("Secrets")
        .shows("sources.c.password")
        .takes("c.password")
        .shows("Enter it")
        .enter();
    screen
        .shows("? sources.c.password")
        .types(PASSWORD)
        .enter()
        .shows("saved")
        .shows("in secrets.toml")
        .escape();
    // The list remembers where it was: at the secrets.
    screen.shows("What to do?").takes("● c").shows("What to do with it?").takes("Streams");
    screen.shows("Load which streams?").shows("1 marked").types("one ").shows("2 marked").enter();
    // How one of them is loaded is changed before it is saved.
    screen.shows("Save, or change").takes("public.one").shows("How is public.one loaded?").takes("Columns");
    screen.shows("Load which columns?").shows("2 marked").types("name ").shows("1 marked").enter();
    screen.shows("How is public.one loaded?").takes("Done").shows("Save, or change").takes("Save");
    let wanted =
        json!([{"name": "public.two", "where": "id > 0"}, {"name": "public.one", "columns": ["id"]}]);
    wait_until("the streams are saved", || project.config()["connections"][0]["schema"]["streams"] == wanted);
    screen
        .shows("What to do with it?")
        .takes("Preview")
        .shows("The first rows")
        .takes("public.one")
        .shows("$ waybill connection preview c -- public.one");
    screen
        .shows("The first rows")
        .escape()
        .shows("What to do with it?")
        .takes("Rename")
        .shows("? New name: c");
    screen.types("2\r").shows("c2 · postgres").takes("Disable").shows("$ waybill connection disable c2");
    screen.shows("Enable").takes("Remove").shows("Remove c2?").types("\u{1b}[B\r").shows("0 connections");
    screen.interrupt().ends(130);
    assert!(!screen.everything().contains(PASSWORD));
}

#[test]
fn settings_are_asked_one_by_one() {
    let database = Database::new("menu_one_by_one");
    database.sql("CREATE TABLE one (id int PRIMARY KEY)");
    let project = nothing();
    let screen = open(&project);
    screen.shows("no project here yet").enter().shows("Load from where?").takes("Postgre");
    screen.shows("? host").types("127.0.0.1\r").shows("? port").types(&format!("{}\r", database.server.port));
    screen.shows("? database").types(&database.name).enter().shows("? user").types(USER).enter();
    screen.shows("? password").types(PASSWORD).enter().shows("Name of the connection").enter();
    screen.shows("Load to where?").enter().shows("Load which streams?").enter().shows("Save it?").enter();
    screen.shows("And now?").shows("succeeded").interrupt().ends(130);
    assert_eq!(project.config()["connections"][0]["schema"]["database"], database.name);
}
