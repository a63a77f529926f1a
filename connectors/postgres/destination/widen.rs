//! Values of a column in a wider type: the `USING` expression that keeps each exactly.

use waybill_protocol::Logical;

use super::pg_type::PgType;

/// The expression that turns `column` (quoted) of type `from` into `to`.
///
/// Runs with `extra_float_digits = 1` and `IntervalStyle = iso_8601` set for the transaction.
pub(super) fn using(column: &str, from: &PgType, to: &PgType) -> String {
    match (from, to) {
        // The direct cast keeps 15 digits only; the text has all that count.
        (PgType::Float4 | PgType::Float8, PgType::Numeric(_)) => format!("{column}::text::numeric"),
        (from, PgType::Text) => as_text(column, from),
        (PgType::Char(_), to) => format!("{}::{to}", as_text(column, from)),
        (_, to) => format!("{column}::{to}"),
    }
}

/// The text form, the same as `encode` writes for a value that arrives as text.
fn as_text(column: &str, from: &PgType) -> String {
    match from {
        PgType::Date | PgType::Timestamp => moment(column, ""),
        PgType::Rounded(_, logical) if *logical != Logical::Interval => {
            as_text(column, &PgType::of(*logical))
        }
        PgType::TimestampTz => moment(&format!("({column} AT TIME ZONE 'UTC')"), "Z"),
        PgType::Bytea => format!("encode({column}, 'hex')"),
        // A cast from character(n) drops the blanks; its output function does not.
        PgType::Char(_) => format!("CASE WHEN {column} IS NOT NULL THEN concat({column}, '') END"),
        _ => format!("{column}::text"),
    }
}

/// ISO 8601 with astronomical years. `to_json` writes ISO whatever `DateStyle` says, up to the ends
/// of the range (`to_char` and `extract` do not), but years before 1 as `0044-03-15 BC`, and years
/// beyond 9999 without a sign.
fn moment(value: &str, suffix: &str) -> String {
    let text = format!("(to_json({value})#>>'{{}}')");
    let year = format!("(split_part({text}, '-', 1)::int - 1)");
    format!(
        "CASE WHEN {text} LIKE '%infinity' THEN {text} \
         WHEN {text} LIKE '% BC' THEN CASE WHEN {year} = 0 THEN '' ELSE '-' END || lpad({year}::text, 4, '0') \
         || substr({text}, strpos({text}, '-'), length({text}) - strpos({text}, '-') - 2) || '{suffix}' \
         WHEN strpos({text}, '-') > 5 THEN '+' || {text} || '{suffix}' ELSE {text} || '{suffix}' END"
    )
}
