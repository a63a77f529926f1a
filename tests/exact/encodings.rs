//! Databases that are not UTF-8: a byte that is no character is refused, and never replaced.

use serde_json::json;

use crate::fixture::{Database, postgres};
use crate::server::PgServer;

fn encoded(name: &str, encoding: &str) -> Database {
    let server = PgServer::shared();
    server.psql("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
    let sql = format!(
        "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    server.psql("postgres", &sql);
    Database { server, name: name.to_owned() }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_column_and_nothing_is_replaced() {
    let source = encoded("ascii_in", "SQL_ASCII");
    source.sql(
        r"SET client_encoding = 'SQL_ASCII';
        CREATE TABLE good (id int PRIMARY KEY, t text); INSERT INTO good VALUES (1, 'caf\303\251'), (2, E'caf\303\251');
        CREATE TABLE bad (id int PRIMARY KEY, fine text, torn text); INSERT INTO bad VALUES (1, 'a', 'b'), (2, 'c', E'caf\351');
        COMMENT ON TABLE good IS E'caf\351'; COMMENT ON COLUMN good.t IS E'\377';
        ALTER TABLE good ALTER t SET DEFAULT E'\351'",
    );
    let target = Database::new("ascii_out");
    for lite in [true, false] {
        let project = postgres::source(&source, json!([{"name": "public.good"}, {"name": "public.bad"}]));
        if !lite {
            postgres::destination(&project, &target);
        }
        let finished =
            project.run().exits(5).says(&["public.bad", "column \"torn\"", "not UTF-8", "SQL_ASCII"]);
        assert!(!finished.out.contains('\u{fffd}') && !finished.err.contains('\u{fffd}'), "{finished:?}");
        let good = "SELECT count(*) FROM public.good WHERE octet_length(t) = 5";
        match lite {
            true => {
                assert_eq!(project.value("SELECT count(*) FROM public_good WHERE t = 'café'"), "1");
                let bad = "SELECT count(*) FROM sqlite_schema WHERE name = 'public_bad'";
                assert_eq!(project.value(bad), "0");
            }
            false => {
                assert_eq!(target.sql(good), "1");
                assert_eq!(target.sql("SELECT to_regclass('public.bad') IS NULL"), "t");
            }
        }
    }
}

#[test]
fn latin_letters_are_converted_and_what_latin_has_not_is_refused() {
    let latin = encoded("latin_db", "LATIN1");
    let (unicode, other) = (Database::new("latin_utf"), encoded("latin_to", "LATIN1"));
    latin.sql("CREATE TABLE t (id int, w text); INSERT INTO t VALUES (1, 'Gr' || chr(246) || chr(223) || 'e'), (2, chr(255))");
    let project = postgres::source(&latin, json!([{"name": "public.t"}]));
    postgres::destination(&project, &unicode);
    project.run().exits(0);
    assert_eq!(unicode.sql("SELECT string_agg(w, ',' ORDER BY id) FROM t"), "Größe,ÿ");
    let back = postgres::source(&unicode, json!([{"name": "public.t"}]));
    postgres::destination(&back, &other);
    back.run().exits(0);
    assert_eq!(other.sql("SELECT string_agg(octet_length(w)::text, ',' ORDER BY id) FROM t"), "5,1");
    unicode.sql("INSERT INTO t VALUES (3, '中')");
    back.run().exits(1).says(&["public.t", "LATIN1"]);
    assert_eq!(other.sql("SELECT count(*) FROM t"), "2", "the table is as it was");
}
