//! The whole of it against a real server: add, a wrong password, mend it, choose, run, look, leave.

use super::{nothing, open};
use crate::fixture::{Database, tell};
use crate::server::{PASSWORD, USER};

fn shop(name: &str) -> Database {
    let database = Database::new(name);
    database.sql(
        "CREATE TABLE orders (id int PRIMARY KEY, total numeric(8,2), updated_at timestamptz);
         CREATE INDEX ON orders (updated_at);
         INSERT INTO orders SELECT n, n * 1.5, now() - interval '1 hour' FROM generate_series(1, 20) n;
         CREATE TABLE notes (line text);
         INSERT INTO notes VALUES ('a');",
    );
    database
}

#[test]
fn a_connection_is_added_mended_run_and_looked_at() {
    let database = shop("menu_dialogue");
    let project = nothing();
    let screen = open(&project);
    let url = |password: &str| {
        format!(
            "postgresql://{USER}:{password}@127.0.0.1:{}/{}?sslmode=disable",
            database.server.port, database.name
        )
    };
    screen.shows("no project here yet").enter().shows("Load from where?").enter();
    screen.shows("Address or path").types(&url("wrong-password")).types("\r");
    screen.shows("Name of the connection").types("crm\r").shows("Load to where?").enter();
    // The test fails for the password, and entering it again is what is proposed first.
    screen.shows("The test failed. What now?").shows("› Enter the secret again");
    screen.takes("full error").shows("kind: auth").shows("The test failed. What now?");
    assert!(!project.path("config.json").exists(), "saved before it was asked for");
    screen.enter().shows("? password").types(PASSWORD).shows("••••••••").enter();
    screen.shows("Load which streams?").shows("public.orders").shows("incremental by updated_at");
    // Only one of the two.
    screen.types("\u{1}").shows("0 marked").types("orders ").shows("1 marked").enter();
    screen.shows("Save it?").shows("sources.crm.password").enter();
    screen.shows("And now?").shows("succeeded");
    assert_eq!(project.value("SELECT count(*) FROM public_orders"), "20");
    screen.takes("events").shows("run succeeded: 20 rows loaded").shows("And now?");
    screen.takes("again").shows("$ waybill run crm").shows("And now?");
    screen.escape().shows("● crm").takes("quit").ends(0);
    let config = project.config();
    let entry = &config["connections"][0];
    assert_eq!(entry["schema"]["streams"][0]["cursor"], "updated_at", "{entry}");
    assert!(entry["schema"].get("password").is_none() && entry["schema"]["user"] == USER, "{entry}");
    let secrets = std::fs::read_to_string(project.path("secrets.toml")).unwrap();
    assert!(secrets.contains(PASSWORD));
    tell("a whole dialogue: add, wrong password, mend, select, run, events, run again, leave");
}

#[test]
fn no_password_is_ever_on_the_screen() {
    let database = shop("menu_unseen");
    let project = nothing();
    let screen = open(&project);
    let url =
        format!("postgresql://{USER}:hunter-twenty-2@127.0.0.1:{}/{}", database.server.port, database.name);
    screen.shows("no project here yet").enter().shows("Load from where?").enter();
    screen.shows("Address or path").types(&url).shows("•@127.0.0.1").enter();
    screen.shows("Name of the connection").enter().shows("Load to where?").enter();
    screen.shows("The test failed").takes("full error").shows("kind: auth");
    screen.takes("Enter the secret").shows("? password").types("also-wrong-33\r").shows("The test failed");
    let all = screen.everything();
    for secret in ["hunter-twenty-2", "unter-tw", "also-wrong-33", "lso-wron"] {
        assert!(!all.contains(secret), "{secret} was on the screen");
    }
    screen.takes("Give up").shows("nothing was saved").shows("no project here yet").interrupt().ends(130);
    assert!(!project.path("config.json").exists() && !project.path("secrets.toml").exists());
}
