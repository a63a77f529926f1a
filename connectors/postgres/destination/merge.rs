//! Rows that are inserted or updated by key: through a temporary table of the transaction.

use waybill_protocol::{RUN_ID_COLUMN, StreamLoad};

use super::copy::ORDINAL;
use super::names::{Place, hash8, idents};
use super::prepare::Ready;
use crate::postgres::sql::ident;

/// The statements of a merge.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    /// The temporary table.
    pub temp: Place,
    /// Creates it; it goes with the transaction.
    pub create: String,
    /// Moves its rows into the table: of each key the one with the highest cursor, then the last.
    /// Answers how many keys were new, where the server tells.
    pub apply: String,
}

impl Merge {
    pub(super) fn of(load: &StreamLoad, ready: &Ready) -> Merge {
        let temp =
            Place { schema: "pg_temp".into(), name: format!("_waybill_merge_{}", hash8(&[&load.stream])) };
        let columns = idents(ready.plan.iter().map(|column| column.name.as_str()));
        let key = idents(load.key.iter().map(String::as_str));
        let create = format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {columns}, 0::bigint AS {} FROM {} WITH NO DATA",
            ident(&temp.name),
            ident(ORDINAL),
            ready.place.sql()
        );
        let cursor =
            load.cursor.iter().map(|c| format!("{} DESC NULLS LAST, ", ident(c))).collect::<String>();
        let mut updates: Vec<String> = ready
            .plan
            .iter()
            .filter(|column| !load.key.contains(&column.name))
            .map(|column| format!("{0} = excluded.{0}", ident(&column.name)))
            .collect();
        if load.metadata {
            updates.push(format!("{0} = excluded.{0}", ident(RUN_ID_COLUMN)));
        }
        let action = match updates.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", updates.join(", ")),
        };
        let table = temp.sql();
        let rows = match load.distinct {
            true => format!("SELECT {columns} FROM {table}"),
            false => format!(
                "SELECT DISTINCT ON ({key}) {columns} FROM {table} ORDER BY {key}, {cursor}{} DESC",
                ident(ORDINAL)
            ),
        };
        let merge =
            format!("INSERT INTO {} ({columns}) {rows} ON CONFLICT ({key}) DO {action}", ready.place.sql());
        let apply = match ready.partitioned {
            // A row of a partition does not show its system columns here.
            true => merge,
            // A row that was there is locked before it is updated, and its new version shows that.
            false => format!(
                "WITH merged AS ({merge} RETURNING xmax = 0 AS fresh) \
                 SELECT (count(*) FILTER (WHERE fresh))::text FROM merged"
            ),
        };
        Merge { temp, create, apply }
    }
}
