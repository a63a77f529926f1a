//! A hot standby as source: it does not show who is open at the primary.

use serde_json::json;

use super::{STAMPED, by, state};
use crate::fixture::postgres;
use crate::server::PgServer;

#[test]
fn a_standby_needs_a_lookback_and_finds_late_commits_within_it() {
    let primary = PgServer::start(&[]);
    let name = primary.database("primary");
    primary.psql(&name, STAMPED);
    let standby = primary.standby();
    let add = |note: &str| {
        primary.psql(&name, &format!("INSERT INTO t (note) VALUES ('{note}')"));
    };
    add("first");
    let schema = || postgres::settings(&standby, &name);
    primary.caught_up(&standby);

    let without = postgres::source_at(schema(), json!([by("public.t", "at", "append")]));
    without.run().exits(3).says(&["standby", "lookback", "2h"]);
    assert!(
        without.waybill(&["connection", "test", "c"]).out.contains("lookback"),
        "said before the run too"
    );

    for write in ["append", "merge"] {
        let mut stream = by("public.t", "at", write);
        stream["lookback"] = json!("1h");
        let project = postgres::source_at(schema(), json!([stream]));
        project.run().exits(0);
        let mut late = primary.interactive(&name);
        late.run(&format!("BEGIN; INSERT INTO t (note) VALUES ('late {write}')"));
        add(&format!("b {write}"));
        primary.caught_up(&standby);
        project.run().exits(0);
        assert_eq!(
            project.value("SELECT count(*) FROM public_t WHERE note LIKE 'late %'"),
            if write == "append" { "0" } else { "1" }
        );
        late.run("COMMIT");
        add(&format!("c {write}"));
        primary.caught_up(&standby);
        project.run().exits(0);
        project.run().exits(0);
        let all = primary.psql(&name, "SELECT note FROM t ORDER BY note COLLATE \"C\"");
        assert_eq!(project.rows("SELECT note FROM public_t ORDER BY note").join("\n"), all, "{write}");
        let held = state(&project, "public.t");
        assert!(held["floor"]["value"].as_str() < held["ceiling"]["value"].as_str(), "{held}");
        let said = project
            .log()
            .named("runtime.event")
            .iter()
            .any(|line| line.to_string().contains("at_least_once"));
        assert_eq!(said, write == "append", "{write}: what an append can promise here is said");
        assert_eq!(project.summary()["warnings"].to_string().contains("at_least_once"), write == "append");
    }
}
