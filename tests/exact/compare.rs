//! What arrived against what left, compared by the server.

use std::collections::BTreeMap;

use crate::fixture::Database;

/// How texts of values are written while they are compared.
const SETTINGS: &str = "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
    SET extra_float_digits = 3; SET xmloption = content;";

/// The columns of a table, with their types.
pub fn declared(database: &Database, schema: &str, table: &str) -> BTreeMap<String, String> {
    let sql = format!(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = '{schema}.{table}'::regclass AND attnum > 0 AND NOT attisdropped"
    );
    let rows = database.sql(&sql);
    rows.lines().filter_map(|l| l.split_once('|')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// Of the columns (name and type) of `public.<table>`, those whose values are others in
/// `<schema>.<table>`, each with how many are; rows that are missing on either side too.
pub fn differing(database: &Database, schema: &str, table: &str, columns: &[(&str, &str)]) -> String {
    let there = declared(database, schema, table);
    let mut all = vec![format!(
        "SELECT 'rows', count(*) FROM public.{table} s FULL JOIN {schema}.{table} d USING (id) \
         WHERE (s.id IS NULL) OR (d.id IS NULL)"
    )];
    for (name, kind) in columns {
        let (left, right) = sides(&format!("\"{name}\""), kind, there.get(*name).map_or("", String::as_str));
        all.push(format!(
            "SELECT '{name}', count(*) FROM public.{table} s JOIN {schema}.{table} d USING (id) \
             WHERE {left} IS DISTINCT FROM {right}"
        ));
    }
    database.sql(&format!("{SETTINGS} SELECT * FROM ({}) AS x(c, n) WHERE n > 0", all.join(" UNION ALL ")))
}

/// Both sides of a comparison: the bits of the value as the server sends them; where the column has
/// become another type, those of the value that it gives back.
fn sides(column: &str, kind: &str, there: &str) -> (String, String) {
    let sent = |value: String| format!("record_send(ROW({value}))");
    match (kind, there) {
        ("money", _) => (sent(format!("s.{column}::numeric")), sent(format!("d.{column}::numeric"))),
        // It has no binary form.
        ("aclitem", _) => (format!("s.{column}::text"), format!("d.{column}::text")),
        // A cast would fill it up again.
        (kind, "text") if kind.starts_with("character(") && !kind.ends_with("[]") => {
            (format!("bpcharsend(s.{column})"), format!("textsend(d.{column})"))
        }
        (kind, _) => (sent(format!("s.{column}")), sent(format!("d.{column}::{kind}"))),
    }
}
