//! The demonstration, run as a person runs it, and what it left in the database.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;
use crate::store::config;
use crate::summary::{RunStatus, Summary};

async fn ran(demo: &Demo, connection: &str) -> Summary {
    match demo.run(connection, &Stop::new()).await {
        Answer::Ran(summary) => *summary,
        other => panic!("{connection}: {other:?}"),
    }
}

fn number(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn text(database: &Connection, sql: &str) -> String {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_new_moves() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::create(&folder.path().join("a demo")).unwrap();

    let places = ran(&demo, PLACES).await;
    assert_eq!((places.status, places.rows()), (RunStatus::Succeeded, 2_188), "{:#?}", places.report);
    assert_eq!(places.warnings, [], "a newcomer should see no warning");
    let first = ran(&demo, EARTHQUAKES).await;
    assert_eq!((first.status, first.rows()), (RunStatus::Succeeded, 1_507), "{:#?}", first.report);
    assert_eq!(first.warnings, []);

    assert_eq!(demo.append_later().unwrap(), 200);
    let second = ran(&demo, EARTHQUAKES).await;
    assert_eq!((second.status, second.rows()), (RunStatus::Succeeded, 200), "{:#?}", second.report);
    assert_eq!(second.warnings, []);
    assert_eq!(second.progress_counts[EARTHQUAKES].rows_read, 200, "the known rows are not read again");
    let third = ran(&demo, EARTHQUAKES).await;
    assert_eq!((third.status, third.rows()), (RunStatus::Succeeded, 0), "{:#?}", third.report);
    assert_eq!(third.progress_counts[EARTHQUAKES].rows_read, 0);

    let database = Connection::open(demo.database()).unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM earthquakes"), 1_707);
    assert_eq!(number(&database, "SELECT count(DISTINCT id) FROM earthquakes"), 1_707);
    assert_eq!(number(&database, "SELECT count(*) FROM earthquakes WHERE felt IS NULL"), 1_580);
    assert_eq!(
        text(&database, "SELECT time || ' ' || mag FROM earthquakes WHERE id = 'nn00620859'"),
        "2018-02-06 02:12:05.695+00:00 0.8"
    );
    assert_eq!(number(&database, "SELECT count(DISTINCT _waybill_run_id) FROM earthquakes"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_codes_numbers_and_gaps_arrive_as_they_left() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::create(folder.path()).unwrap();
    for _ in 0..2 {
        assert_eq!(ran(&demo, PLACES).await.rows(), 2_188, "a full refresh loads all, every time");
    }
    let database = Connection::open(demo.database()).unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM places"), 2_188);
    assert_eq!(number(&database, "SELECT count(*) FROM places WHERE elevation IS NULL"), 1_538);
    assert_eq!(
        number(&database, "SELECT count(*) FROM places WHERE name <> asciiname AND name GLOB '*[^ -~]*'"),
        303
    );
    assert_eq!(
        text(
            &database,
            "SELECT name || '|' || admin1_code || '|' || typeof(admin1_code) || '|' || modification_date
               FROM places WHERE geonameid = 2760910"
        ),
        "Wolfsberg|02|text|2011-07-31"
    );
    assert_eq!(number(&database, "SELECT count(*) FROM places WHERE name = 'Zürich'"), 1);
    assert_eq!(
        number(&database, "SELECT count(*) FROM places WHERE geonameid = 2760910 AND latitude = 46.84056"),
        1
    );
}

#[test]
fn the_folder_is_a_project_without_a_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::create(&folder.path().join("new")).unwrap();
    let read = config::load(&demo.project).unwrap();
    assert_eq!(read.names(), [PLACES, EARTHQUAKES]);
    assert_eq!((read.findings.as_slice(), read.invalid().count()), (&[][..], 0));
    let mode = fs::metadata(&demo.project.secrets_path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let credit = fs::read_to_string(demo.project.dir.join("data/ORIGIN.md")).unwrap();
    assert!(credit.contains("© GeoNames") && credit.contains("U.S. public domain"));
}

#[test]
fn what_is_there_already_is_left_alone() {
    for taken in ["config.json", "data", ".env"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(taken), "mine").unwrap();
        let error = Demo::create(folder.path()).err().unwrap();
        assert_eq!(error.exit_code(), 3);
        assert!(error.message().contains(taken), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(folder.path().join(taken)).unwrap(), "mine");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Demo::create(&file).err().unwrap().message().contains("is not a folder"));
}

#[cfg(feature = "postgres")]
#[test]
fn the_config_and_the_secrets_of_the_readme_are_good() {
    let readme = include_str!("../../README.md");
    let block = |mark: &str| readme.split_once(mark).unwrap().1.split_once("```").unwrap().0;
    let text = format!("{{\"version\"{}", block("```json\n{\n  \"version\""));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), text).unwrap();
    write_atomic(&folder.path().join("secrets.toml"), block("```toml\n").as_bytes(), Some(0o600)).unwrap();
    let flags = Flags { project_dir: Some(folder.path().into()), ..Flags::default() };
    let project = Project::locate(&flags, Env::default(), folder.path()).unwrap();
    let read = config::load(&project).unwrap();
    assert_eq!((read.names(), read.findings.as_slice()), (vec!["crm"], &[][..]));
    assert_eq!(read.connection("crm").unwrap().streams.len(), 3);
    assert_eq!(crate::secrets::check(&project, &read).unwrap(), []);
}
