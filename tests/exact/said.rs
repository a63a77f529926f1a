//! What a table of PostgreSQL says of itself beside names and types arrives too, and what it stops
//! saying stops no later run.

use serde_json::{Value, json};

use crate::fixture::{Database, Project, incremental, postgres};

const TALKATIVE: &str = "
    CREATE TABLE talk (
        id bigserial PRIMARY KEY, code character varying(12) NOT NULL DEFAULT 'it''s', letters char(3) DEFAULT 'a\\b',
        price numeric(9,3) NOT NULL DEFAULT 1.5, big numeric(1000,500), low numeric(3,-2), at timestamp(3) NOT NULL DEFAULT now(),
        day date DEFAULT CURRENT_DATE, span interval DEFAULT '1 day', doc jsonb NOT NULL DEFAULT '{}', ip inet DEFAULT '10.0.0.1',
        tags text[] DEFAULT '{}', on_it boolean DEFAULT true, below integer DEFAULT -1,
        sorted text COLLATE \"C\", word character varying(5) COLLATE \"POSIX\", made text DEFAULT upper('no'), \"Odd\" text);
    INSERT INTO talk (sorted) VALUES ('x'), ('y');
    COMMENT ON TABLE talk IS 'it''s a table\nof two lines'; COMMENT ON COLUMN talk.id IS 'the \\ key';
    COMMENT ON COLUMN talk.\"Odd\" IS 'odd'";

/// Name, type, NOT NULL, default, collation and comment of each column, in order.
const SAID: &str = "
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(l.collname, '-'), col_description(a.attrelid, a.attnum),
        CASE WHEN pg_get_expr(d.adbin, d.adrelid) !~ 'nextval|upper' THEN pg_get_expr(d.adbin, d.adrelid) END
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE a.attrelid = 'talk'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT LIKE '\\_%' ORDER BY a.attnum";

fn pair(name: &str, setup: &str, stream: &Value) -> (Database, Database, Project) {
    let (source, target) = (Database::new(&format!("{name}_in")), Database::new(&format!("{name}_out")));
    source.sql(setup);
    let project = postgres::source(&source, json!([stream]));
    postgres::destination(&project, &target);
    (source, target, project)
}

#[test]
fn a_table_says_of_itself_at_the_destination_what_it_says_at_home() {
    for stream in [json!({"name": "public.talk"}), incremental("public.talk", json!({"cursor": "id"}))] {
        let (source, target, project) = pair("said", TALKATIVE, &stream);
        for _ in 0..2 {
            project.run().exits(0);
            assert_eq!(target.sql(SAID), source.sql(SAID));
            assert_eq!(target.sql("SELECT count(*) FROM pg_attrdef WHERE adrelid = 'talk'::regclass AND pg_get_expr(adbin, adrelid) ~ 'nextval|upper'"), "0");
            let comment = "SELECT obj_description('talk'::regclass)";
            assert_eq!(target.sql(comment), source.sql(comment));
            let key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = 'talk'::regclass";
            if stream.get("mode").is_none() {
                assert_eq!(target.sql(key), source.sql(key));
            }
            // None of it keeps the table in its place.
            assert_eq!(
                project.log().lines.iter().filter(|l| l.to_string().contains("keeps its place")).count(),
                0
            );
        }
        let rows = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM (SELECT id, code, letters, price, at, doc, ip, tags FROM talk) t";
        assert_eq!(target.sql(rows), source.sql(rows));
    }
}

#[test]
fn comments_that_change_follow_and_those_of_the_destination_stay() {
    let (source, target, project) = pair("remarks", TALKATIVE, &json!({"name": "public.talk"}));
    project.run().exits(0);
    target.sql("COMMENT ON COLUMN talk.code IS 'ours'; ALTER TABLE talk ALTER sorted SET DEFAULT 'mine'");
    source.sql("COMMENT ON COLUMN talk.id IS 'changed'");
    project.run().exits(0);
    let said = "SELECT col_description('talk'::regclass, 1), col_description('talk'::regclass, 2)";
    assert_eq!(target.sql(said), "changed|ours");
    let default = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid \
        AND a.attnum = d.adnum WHERE a.attname = 'sorted' AND a.attrelid = 'talk'::regclass";
    assert_eq!(target.sql(default), "'mine'::text");
}

const ROWS: &str = "CREATE TABLE r (id bigint PRIMARY KEY, a int NOT NULL, b text NOT NULL); INSERT INTO r VALUES (1, 1, 'x')";

/// Which columns of the table say NOT NULL.
fn filled(target: &Database) -> String {
    target.sql(
        "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'r'::regclass AND attnum > 0 AND attnotnull",
    )
}

fn ways() -> [Value; 3] {
    let by = |write: &str| incremental("public.r", json!({"cursor": "id", "write": write}));
    [json!({"name": "public.r"}), by("append"), by("merge")]
}

#[test]
fn a_column_that_may_be_null_at_home_again_may_be_so_at_the_destination() {
    for stream in ways() {
        let (source, target, project) = pair("null_again", ROWS, &stream);
        project.run().exits(0);
        assert_eq!(filled(&target), "id,a,b", "{stream}");
        source.sql("ALTER TABLE r ALTER a DROP NOT NULL; INSERT INTO r VALUES (2, NULL, 'y')");
        project.run().exits(0).says(&["a was int32 not null, now int32"]);
        assert_eq!(
            (filled(&target).as_str(), target.sql("SELECT count(*) FROM r").as_str()),
            ("id,b", "2"),
            "{stream}"
        );
        project.run().exits(0);
    }
}

#[test]
fn a_column_that_is_gone_or_new_stops_no_run_by_being_not_null() {
    for stream in ways() {
        let (source, target, project) = pair("null_gone", ROWS, &stream);
        project.run().exits(0);
        source.sql("ALTER TABLE r DROP COLUMN b; ALTER TABLE r ADD COLUMN c int NOT NULL DEFAULT 5; INSERT INTO r VALUES (2, 2)");
        for _ in 0..2 {
            project.run().exits(0);
        }
        let overwritten = stream.get("mode").is_none();
        assert_eq!(filled(&target), if overwritten { "id,a,c" } else { "id,a" }, "{stream}");
        assert_eq!(target.sql("SELECT count(*), count(a) FROM r"), "2|2", "{stream}");
        source.sql("ALTER TABLE r ADD COLUMN b text; INSERT INTO r (id, a) VALUES (3, 3)");
        project.run().exits(0);
        assert_eq!(target.sql("SELECT count(*) FROM r"), "3", "{stream}");
    }
}

#[test]
fn frozen_columns_do_not_stop_being_not_null() {
    let mut stream = ways()[1].clone();
    stream["schema_policy"] = json!("freeze");
    let (source, target, project) = pair("null_frozen", ROWS, &stream);
    project.run().exits(0);
    source.sql("ALTER TABLE r ALTER a DROP NOT NULL; INSERT INTO r VALUES (2, NULL, 'y')");
    project.run().exits(1).says(&["columns changed although they are frozen: a"]);
    assert_eq!((filled(&target).as_str(), target.sql("SELECT count(*) FROM r").as_str()), ("id,a,b", "1"));
    project
        .edit(|config| config["connections"][0]["schema"]["streams"][0]["schema_policy"] = json!("ignore"));
    project.run().exits(0);
    assert_eq!((filled(&target).as_str(), target.sql("SELECT count(*) FROM r").as_str()), ("id,b", "2"));
}

#[test]
fn what_a_person_made_not_null_at_the_destination_stays_so() {
    let (source, target, project) = pair(
        "null_own",
        "CREATE TABLE r (id bigint PRIMARY KEY, a int); INSERT INTO r VALUES (1, 1)",
        &ways()[0],
    );
    project.run().exits(0);
    target.sql("ALTER TABLE r ALTER a SET NOT NULL");
    project.run().exits(0);
    assert_eq!(filled(&target), "id,a");
    source.sql("INSERT INTO r VALUES (2, NULL)");
    project.run().exits(1).says(&["wants a value in column \"a\"", "DROP NOT NULL"]);
    assert_eq!(target.sql("SELECT count(*) FROM r"), "1");
}
