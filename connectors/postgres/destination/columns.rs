//! Types of columns: which one a field gets, what one can hold, and what it widens to.

use arrow_schema::Field;
use waybill_protocol::column::{POSTGRES_KEY, said, shown_as_text};
use waybill_protocol::{Fidelity, Logical, NATIVE_KEY, Result, Verdict};

use super::own;
use super::pg_type::PgType;
use crate::postgres::encode;

impl PgType {
    /// Whether every value of a column arrives in it exactly; `wanted` is the type that the column
    /// would get in a new table.
    pub(super) fn holds(&self, logical: Logical, wanted: &PgType) -> bool {
        if self == wanted {
            return true;
        }
        if !self.form().is_some_and(|form| encode::fits(logical, form)) {
            return false;
        }
        match (self, logical) {
            (PgType::Timestamp, Logical::TimestampTz) | (PgType::TimestampTz, Logical::Timestamp) => false,
            (PgType::Numeric(Some((precision, scale))), logical) => {
                let (digits, fraction) = match logical {
                    Logical::Int16 => (5, 0),
                    Logical::Int32 => (10, 0),
                    Logical::Int64 => (19, 0),
                    Logical::Decimal { precision, scale } => {
                        (i32::from(precision) - i32::from(scale), i32::from(scale))
                    }
                    _ => return false,
                };
                *scale >= fraction && precision - scale >= digits
            }
            (PgType::Varchar(None), _) => true,
            (PgType::Varchar(Some(limit)), _) => {
                matches!(wanted, PgType::Varchar(Some(other)) if other <= limit)
            }
            // Blanks at the end are no part of the value there.
            (PgType::Char(_), _) => false,
            // Texts of that type and of no other.
            (PgType::Own(_), _) => false,
            (PgType::Rounded(..), _) => false,
            (PgType::Json, logical) => logical == Logical::Json,
            (PgType::TextLike(_), logical) => logical == Logical::Text,
            _ => true,
        }
    }

    /// The type that holds what this one holds and what `wanted` holds, both exactly; `None` where
    /// this one's values have no other form that we know.
    pub(super) fn widened(&self, wanted: &PgType) -> Option<PgType> {
        match (self, wanted) {
            (PgType::Varchar(Some(a)), PgType::Varchar(Some(b))) => {
                return Some(PgType::Varchar(Some(*a.max(b))));
            }
            (PgType::Rounded(_, logical), wanted) if Some(*logical) == wanted.logical() => {
                return Some(PgType::of(*logical));
            }
            (PgType::Own(_), _) | (_, PgType::Own(_)) => return Some(PgType::Text),
            _ => {}
        }
        let (own, other) = (self.logical()?, wanted.logical()?);
        Some(PgType::of(own.widen(other)))
    }
}

/// The type that a field's column gets in a new table, on a server of that version.
pub(super) fn column_type(field: &Field, version: u32) -> Result<PgType> {
    let logical = Logical::of(field)?;
    let own = own::own_type(logical, said(field, POSTGRES_KEY), version);
    Ok(own.unwrap_or_else(|| PgType::of(logical)))
}

/// How the destination would hold a column.
pub(super) fn verdict(field: &Field, version: u32) -> Verdict {
    let wanted = match column_type(field, version) {
        Ok(wanted) => wanted,
        Err(error) => {
            return Verdict {
                fidelity: Fidelity::Lossy,
                native: "text".to_owned(),
                note: error.message().to_owned(),
            };
        }
    };
    let native = said(field, NATIVE_KEY);
    let (fidelity, note) = match (&wanted, shown_as_text(field)) {
        (PgType::Text, Some(shown)) => (Fidelity::Widened, format!("{shown} is kept as its text")),
        (PgType::Numeric(_), _) if native == "money" => (
            Fidelity::Widened,
            "money is kept as its number: how it is written depends on the database".into(),
        ),
        _ => (Fidelity::Exact, String::new()),
    };
    Verdict { fidelity, native: wanted.to_string(), note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_its_own_type_where_it_means_the_same() {
        let verdict_of = |logical: Logical, native: &str| {
            let field = logical.field("c", true, native);
            let known = if native.starts_with(char::is_uppercase) { "" } else { native };
            verdict(&waybill_protocol::column::saying(field, POSTGRES_KEY, known), 150_000)
        };
        for (logical, native, expected) in [
            (Logical::Text, "character varying(40)", "character varying(40)"),
            (Logical::Text, "VARCHAR(40)", "text"),
            (Logical::Json, "jsonb", "jsonb"),
            (Logical::Json, "", "json"),
            (Logical::Int64, "integer", "bigint"),
            (Logical::Numeric, "numeric(3,-2)", "numeric(3,-2)"),
            (Logical::Timestamp, "timestamp(3) without time zone", "timestamp(3) without time zone"),
            (Logical::Decimal { precision: 12, scale: 2 }, "numeric(12,2)", "numeric(12,2)"),
        ] {
            let verdict = verdict_of(logical, native);
            assert_eq!((verdict.native.as_str(), verdict.fidelity), (expected, Fidelity::Exact), "{native}");
        }
        let inet = verdict_of(Logical::Text, "inet");
        assert_eq!((inet.native.as_str(), inet.fidelity), ("inet", Fidelity::Exact));
        let hstore = verdict_of(Logical::Text, "hstore");
        assert_eq!((hstore.native.as_str(), hstore.fidelity), ("text", Fidelity::Widened));
        assert!(hstore.note.contains("hstore"));
    }

    #[test]
    fn a_type_holds_what_fits_and_widens_to_what_holds_both() {
        let holds =
            |have: &str, logical: Logical| PgType::parse(have, false).holds(logical, &PgType::of(logical));
        assert!(holds("bigint", Logical::Int32) && !holds("integer", Logical::Int64));
        assert!(holds("numeric", Logical::Float64) && !holds("numeric(30,2)", Logical::Float64));
        assert!(holds("numeric(21,2)", Logical::Int64) && !holds("numeric(20,2)", Logical::Int64));
        assert!(!holds("timestamp without time zone", Logical::TimestampTz));
        assert!(!holds("timestamp(3) without time zone", Logical::Timestamp));
        assert!(holds("text", Logical::Uuid) && !holds("character varying(9)", Logical::Text));
        let widened = |have: &str, want: &str| {
            PgType::parse(have, false).widened(&PgType::parse(want, false)).map(|t| t.to_string())
        };
        assert_eq!(widened("integer", "bigint").as_deref(), Some("bigint"));
        assert_eq!(widened("numeric(5,2)", "bigint").as_deref(), Some("numeric(21,2)"));
        assert_eq!(
            widened("character varying(5)", "character varying(9)").as_deref(),
            Some("character varying(9)")
        );
        assert_eq!(widened("date", "uuid").as_deref(), Some("text"));
        assert_eq!(widened("inet", "text").as_deref(), Some("text"));
        assert_eq!(
            widened("timestamp(3) without time zone", "timestamp without time zone").as_deref(),
            Some("timestamp without time zone")
        );
    }
}
