//! Streams that are read by cursor: what makes such a read slow, or lets it miss rows (pure).

use waybill_protocol::{Errand, Finding, StreamSelection, SyncMode};

use super::facts::Facts;
use super::tables::{Column, Table, selection};
use super::{STREAMS, some};
use crate::postgres::sql::ident;

/// Every finding.
pub(super) fn findings(tables: &[Table], errand: &Errand, facts: &Facts) -> Vec<Finding> {
    let by_cursor: Vec<(&Table, &StreamSelection, &str)> = tables
        .iter()
        .filter_map(|table| Some((table, selection(errand, table)?)))
        .filter(|(_, selection)| selection.mode == SyncMode::Incremental)
        .filter_map(|(table, selection)| Some((table, selection, selection.cursor.as_deref()?)))
        .collect();
    if by_cursor.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut indexed = 0;
    for (table, selection, cursor) in &by_cursor {
        match unindexed(table, cursor) {
            None => indexed += 1,
            Some(finding) => found.push(finding),
        }
        let column = table.columns.iter().find(|column| column.name == *cursor);
        if selection.lookback.is_none() {
            found.extend(column.and_then(|column| cached(table, column)));
            found.extend(late(table, facts.standby));
            found.extend(column.and_then(|column| zoneless(table, column, &facts.zone)));
        }
    }
    if indexed > 0 {
        let detail = format!("{indexed} of {} cursor columns have one", by_cursor.len());
        found.insert(0, Finding::pass(STREAMS, "cursor index", detail));
    }
    let names: Vec<String> = by_cursor.iter().map(|(table, ..)| table.stream()).collect();
    found.push(
        Finding::warn(
            STREAMS,
            "deleted rows",
            format!("a read by cursor does not see that rows are gone: {}", some(&names)),
        )
        .remedy("where rows are deleted: mode full_refresh; `waybill state verify` finds those that stayed"),
    );
    found
}

fn unindexed(table: &Table, cursor: &str) -> Option<Finding> {
    if table.indexed.iter().any(|column| column == cursor) {
        return None;
    }
    let warn = |detail: String| Finding::warn(STREAMS, "cursor index", detail).stream(table.stream());
    Some(match table.kind.as_str() {
        "v" => warn(format!("{} is a view: nothing is known of an index behind {cursor}", table.stream()))
            .remedy("if reading it takes long: an index on the column of the table behind the view"),
        "f" => warn(format!("{} is a foreign table: each read may fetch all of it", table.stream())),
        _ => warn(format!("{cursor} of {} has none: each read scans the table", table.stream()))
            .remedy(format!("CREATE INDEX CONCURRENTLY ON {} ({})", table.sql(), ident(cursor))),
    })
}

fn cached(table: &Table, column: &Column) -> Option<Finding> {
    let cache = column.cache.filter(|cache| *cache > 1)?;
    let detail = format!(
        "the sequence of {} of {} hands out {cache} values at once: lower ones may be committed later",
        column.name,
        table.stream()
    );
    Some(Finding::warn(STREAMS, "cached sequence", detail).stream(table.stream()).remedy(format!(
        "set a lookback for the stream of several times {cache}, or the sequence to CACHE 1"
    )))
}

/// Where open transactions cannot be seen, a run refuses to read by cursor without a lookback.
fn late(table: &Table, standby: bool) -> Option<Finding> {
    let why = if standby {
        "the server is a replica, which does not show the primary's open transactions"
    } else if table.subscribed {
        "the table is filled by a subscription, which commits in the publisher's order"
    } else if table.kind == "f" {
        "the table is a foreign one, and the other server's open transactions are not seen"
    } else {
        return None;
    };
    Some(
        Finding::fail(STREAMS, "lookback", format!("{} needs one: {why}", table.stream()))
            .stream(table.stream())
            .remedy("set lookback for the stream: a duration for times (\"2h\"), a number for numbers"),
    )
}

fn zoneless(table: &Table, column: &Column, zone: &str) -> Option<Finding> {
    let utc = ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Zulu", "Etc/Zulu"].contains(&zone);
    if !column.zoneless || utc {
        return None;
    }
    let detail = format!(
        "{} of {} has no zone and is taken as UTC, and the server's zone is {zone}",
        column.name,
        table.stream()
    );
    Some(Finding::warn(STREAMS, "cursor zone", detail).stream(table.stream()).remedy(
        "if local times are written there: set a lookback that spans the difference, or use timestamptz",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::Status;

    fn table() -> Table {
        let column =
            |name: &str, cache, zoneless| Column { name: name.into(), readable: true, cache, zoneless };
        Table {
            schema: "public".into(),
            name: "orders".into(),
            kind: "r".into(),
            usage: true,
            indexed: vec!["id".into()],
            columns: vec![column("id", Some(32), false), column("at", None, true)],
            ..Table::default()
        }
    }

    fn found(table: Table, cursor: &str, lookback: bool, facts: &Facts) -> Vec<(String, Status)> {
        let selection = StreamSelection {
            mode: SyncMode::Incremental,
            cursor: Some(cursor.into()),
            lookback: lookback.then(|| serde_json::from_value(serde_json::json!(100)).unwrap()),
            ..StreamSelection::named("public.orders")
        };
        let errand = Errand { streams: vec![selection], ..Errand::default() };
        findings(&[table], &errand, facts).into_iter().map(|f| (f.name, f.status)).collect()
    }

    #[test]
    fn what_a_cursor_would_miss_is_said() {
        let facts = |standby, zone: &str| Facts { standby, zone: zone.into(), ..Facts::default() };
        let named = |found: &[(String, Status)]| -> Vec<String> {
            found.iter().map(|(name, status)| format!("{name} {status:?}")).collect()
        };
        let berlin = facts(false, "Europe/Berlin");
        assert_eq!(
            named(&found(table(), "id", false, &berlin)),
            ["cursor index Pass", "cached sequence Warn", "deleted rows Warn"]
        );
        assert_eq!(named(&found(table(), "id", true, &berlin)), ["cursor index Pass", "deleted rows Warn"]);
        assert_eq!(
            named(&found(table(), "at", false, &berlin)),
            ["cursor index Warn", "cursor zone Warn", "deleted rows Warn"]
        );
        assert_eq!(
            named(&found(table(), "at", false, &facts(true, "UTC"))),
            ["cursor index Warn", "lookback Fail", "deleted rows Warn"]
        );
        let subscribed = Table { subscribed: true, ..table() };
        assert!(named(&found(subscribed, "id", false, &berlin)).contains(&"lookback Fail".to_owned()));
    }
}
