//! The commands on a real project: CSV and JSONL files into SQLite.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use waybill_protocol::{Check, Error, Kind, Origin};

use super::preview::rows;
use super::session::Systems;
use super::tested::whole;
use super::{discover, list, sheet, test};
use crate::cli::args::{ColorChoice, LookFlags};
use crate::cli::terminal::Terminal;
use crate::store::config::load;
use crate::store::testing::Home;

const CONFIG: &str = r#"{
  "destinations": {"lake": {"type": "sqlite", "path": "lake.db"}},
  "connections": [
    {"name": "places", "type": "files", "schema": {"streams": [
      {"name": "places", "path": "*.csv", "types": {"code": "text", "price": "decimal(12,2)"}, "primary_key": ["id"]},
      {"name": "gone", "path": "gone.csv", "enabled": false}]}},
    {"name": "broken", "type": "files", "schema": {"streams": [{"name": "x"}]}},
    {"name": "off", "type": "sqlite", "enabled": false, "schema": {"path": "nothing.db"}}
  ]
}"#;

fn home() -> Home {
    let home = Home::new(CONFIG);
    let csv = "id,code,price,name\n1,007,1.50,Zürich\n2,008,,\"a\nb\"\n3,,2.25,\n";
    std::fs::write(home.folder.path().join("places.csv"), csv).unwrap();
    home
}

fn plain() -> Terminal {
    Terminal::new(&LookFlags { color: ColorChoice::Never, ..LookFlags::default() })
}

async fn preview(home: &Home, stream: &str, limit: u64) -> waybill_protocol::Result<Vec<String>> {
    let config = Arc::new(load(&home.project)?);
    let connection = config.connection("places")?;
    let systems = Systems::of(&home.project, &config, connection, &CancellationToken::new()).await?;
    let source = systems.source().await?;
    sheet::json_lines(&rows(source.as_ref(), connection, stream, limit).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn discover_says_how_each_column_will_be_held() {
    let home = home();
    let found = discover::found_by(&home.project, "places", &["pl*"], false).await.unwrap();
    let [places] = found.streams.as_slice() else { panic!("{}", found.streams.len()) };
    let value = places.to_value();
    let column = |name: &str| {
        let columns = value["columns"].as_array().unwrap();
        columns.iter().find(|column| column["name"] == name).unwrap().clone()
    };
    assert_eq!(column("price")["type"], "decimal(12,2)");
    assert_eq!(column("price")["held"]["native"], "DECIMAL(12,2)");
    assert_eq!(column("price")["held"]["fidelity"], "exact");
    let text = discover::render(&plain(), &found);
    assert!(text.starts_with("places  files"), "{text}");
    assert!(text.contains("DECIMAL(12,2)  exact"), "{text}");
    // What is not selected is found by its name; what is not there is said, with what is.
    let all = discover::found_by(&home.project, "places", &[], true).await.unwrap();
    assert!(all.streams.iter().any(|stream| stream.name() == "places.csv"));
    let error = discover::found_by(&home.project, "places", &["placse.csv"], false).await.err().unwrap();
    assert!(error.message().contains("did you mean \"places.csv\""), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_stops_after_the_rows_that_are_wanted() {
    let home = home();
    let two = preview(&home, "places", 2).await.unwrap();
    assert_eq!(
        two,
        [
            r#"{"id":1,"code":"007","price":"1.50","name":"Zürich"}"#,
            r#"{"id":2,"code":"008","price":null,"name":"a\nb"}"#
        ]
    );
    assert_eq!(preview(&home, "places", 100).await.unwrap().len(), 3);
    let many: String = (0..200_000).map(|n| format!("{n},x,1.00,y\n")).collect();
    std::fs::write(home.folder.path().join("places.csv"), format!("id,code,price,name\n{many}")).unwrap();
    assert_eq!(preview(&home, "places", 7).await.unwrap().len(), 7);
    let error = preview(&home, "placse", 1).await.unwrap_err();
    assert!(error.message().contains("did you mean \"places\""), "{error:?}");
    let error = preview(&home, "places.csv", 1).await.unwrap_err();
    assert!(error.message().contains("not selected"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_looks_at_both_sides_and_tells_settings_from_checks() {
    let home = home();
    let config = Arc::new(load(&home.project).unwrap());
    let cancel = CancellationToken::new();
    let places = test::one(&home.project, &config, "places", &cancel, 0).await;
    let text = whole(&plain(), &places);
    assert!(places.passed, "{text}");
    assert!(text.contains("places  files → lake (sqlite)") && text.contains("no file yet"), "{text}");
    assert!(!home.folder.path().join("lake.db").exists());
    let off = test::one(&home.project, &config, "off", &cancel, 0).await;
    assert!(!off.passed && whole(&plain(), &off).contains("nothing.db"));
    assert_eq!(test::exit_code(&[places, off]), 4);
    let broken = test::one(&home.project, &config, "broken", &cancel, 0).await;
    assert_eq!(test::exit_code(&[broken]), 3);
}

#[test]
fn the_list_has_invalid_entries_with_their_path() {
    let home = home();
    let config = load(&home.project).unwrap();
    let text = list::render(&plain(), &home.project, &list::listing(&config, &[]), chrono::Utc::now());
    assert!(text.contains("●  places  files   lake (sqlite)  1        never"), "{text}");
    assert!(text.contains("○  off"), "{text}");
    assert!(text.contains("connections[1].schema.streams[0]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_what_a_system_says() {
    let home = Home::new(
        r#"{"destinations": {"lake": {"type": "sqlite", "path": "lake.db"}}, "connections": [
          {"name": "crm", "type": "postgres", "schema": {"host": "db", "user": "me"}}]}"#,
    );
    home.secrets("[sources.crm]\npassword = \"sesame-open-1\"\n");
    let config = Arc::new(load(&home.project).unwrap());
    let crm = config.connection("crm").unwrap();
    let systems = Systems::of(&home.project, &config, crm, &CancellationToken::new()).await.unwrap();
    let echo = || {
        Error::new(Kind::Auth, "no sesame-open-1")
            .hint("not sesame%2Dopen-1")
            .cause(std::io::Error::other("url postgres://me:sesame-open-1@db"))
            .origin(Origin::Source)
    };
    let clean = systems.clean(echo());
    let all = format!("{clean} {:?} {:?}", clean.get_hint(), clean.causes());
    assert!(!all.contains("sesame") && all.contains("no [redacted]"), "{all}");
    assert_eq!((clean.kind(), clean.get_origin(), clean.exit_code()), (Kind::Auth, Some(Origin::Source), 1));
    let check = systems.clean_check(Check::failed("connect", &echo()));
    assert!(!format!("{check:?}").contains("sesame"), "{check:?}");
    let untouched = systems.clean(Error::new(Kind::Auth, "x").cause(std::io::Error::other("y")));
    assert_eq!(untouched.causes(), ["y"]);
}
