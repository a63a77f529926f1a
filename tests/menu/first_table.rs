//! From an empty folder to the first loaded table, and how many keys that takes.

use std::cell::Cell;

use super::{nothing, open, sized};
use crate::fixture::tell;

#[test]
fn from_an_empty_folder_to_the_first_table_of_a_sqlite_file() {
    let project = nothing();
    let shop = rusqlite::Connection::open(project.path("shop.db")).unwrap();
    shop.execute_batch("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');").unwrap();
    // A pasted address counts as one.
    let keys = Cell::new(0);
    let screen = open(&project);
    let enter = |text: &str| {
        screen.shows(text).enter();
        keys.set(keys.get() + 1);
    };
    enter("no project here yet");
    enter("Load from where?");
    screen.shows("Address or path").types("shop.db");
    keys.set(keys.get() + 1);
    enter("Address or path: shop.db");
    enter("Name of the connection");
    enter("Load to where?");
    enter("Load which streams?");
    enter("Save it?");
    screen.shows("And now?").shows("succeeded").shows("$ waybill run shop");
    assert_eq!(project.rows("SELECT id, name FROM customers ORDER BY id"), ["1|Ada", "2|Grace"]);
    tell(&format!("keys from an empty folder to the first table, SQLite: {}", keys.get()));
    screen.escape().shows("shop").shows("succeeded just now");
    screen.escape().ends(0);
    assert_eq!(project.config()["connections"][0]["name"], "shop");
}

#[test]
fn from_an_empty_folder_to_the_first_table_of_files() {
    let project = nothing();
    project.file("data/sales.csv", "id,amount\n1,2.50\n2,3.75\n");
    let screen = sized(&project, 40, 140);
    screen.shows("no project here yet").enter().shows("Load from where?").enter();
    screen.shows("Address or path").types("data/*.csv\r").shows("Name of the connection").enter();
    screen.shows("Load to where?").enter().shows("Save it?").shows("\"path\": \"data/*.csv\"").enter();
    screen.shows("And now?").shows("succeeded");
    assert_eq!(project.rows("SELECT id FROM data ORDER BY id"), ["1", "2"]);
    screen.interrupt().ends(130);
}
