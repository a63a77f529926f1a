//! PostgreSQL's types as a source has them, and the contract's.

use waybill_protocol::Logical;

/// Object ids of the types that are known here.
pub(super) mod oid {
    pub(in super::super) const BOOL: u32 = 16;
    pub(in super::super) const BYTEA: u32 = 17;
    pub(in super::super) const NAME: u32 = 19;
    pub(in super::super) const INT8: u32 = 20;
    pub(in super::super) const INT2: u32 = 21;
    pub(in super::super) const INT4: u32 = 23;
    pub(in super::super) const TEXT: u32 = 25;
    pub(in super::super) const OID: u32 = 26;
    pub(in super::super) const JSON: u32 = 114;
    pub(in super::super) const FLOAT4: u32 = 700;
    pub(in super::super) const FLOAT8: u32 = 701;
    pub(in super::super) const MONEY: u32 = 790;
    pub(in super::super) const BPCHAR: u32 = 1042;
    pub(in super::super) const VARCHAR: u32 = 1043;
    pub(in super::super) const DATE: u32 = 1082;
    pub(in super::super) const TIME: u32 = 1083;
    pub(in super::super) const TIMESTAMP: u32 = 1114;
    pub(in super::super) const TIMESTAMPTZ: u32 = 1184;
    pub(in super::super) const INTERVAL: u32 = 1186;
    pub(in super::super) const NUMERIC: u32 = 1700;
    pub(in super::super) const UUID: u32 = 2950;
    pub(in super::super) const JSONB: u32 = 3802;
}

/// What a value of a type looks like in binary COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// One byte.
    Bool,
    /// Two bytes.
    Int2,
    /// Four bytes.
    Int4,
    /// Eight bytes.
    Int8,
    /// Four bytes without sign.
    Oid,
    /// IEEE, four bytes.
    Float4,
    /// IEEE, eight bytes.
    Float8,
    /// Digits to the base 10000.
    Numeric,
    /// UTF-8.
    Text,
    /// A version byte, then UTF-8.
    Jsonb,
    /// Bytes as they are.
    Bytea,
    /// Sixteen bytes.
    Uuid,
    /// Days since 2000-01-01.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 2000-01-01.
    Timestamp,
    /// Microseconds, days, months.
    Interval,
}

impl Wire {
    /// Its word in a [`WireForm`](waybill_protocol::WireForm).
    pub(super) fn word(self) -> &'static str {
        match self {
            Wire::Bool => "bool",
            Wire::Int2 => "int2",
            Wire::Int4 => "int4",
            Wire::Int8 => "int8",
            Wire::Oid => "oid",
            Wire::Float4 => "float4",
            Wire::Float8 => "float8",
            Wire::Numeric => "numeric",
            Wire::Text => "text",
            Wire::Jsonb => "jsonb",
            Wire::Bytea => "bytea",
            Wire::Uuid => "uuid",
            Wire::Date => "date",
            Wire::Time => "time",
            Wire::Timestamp => "timestamp",
            Wire::Interval => "interval",
        }
    }

    /// What a column of a logical type is sent as, by its own name of the type; `None` where that is
    /// not certain.
    pub(super) fn of(logical: Logical, native: &str) -> Option<Wire> {
        Some(match logical {
            Logical::Bool => Wire::Bool,
            Logical::Int16 => Wire::Int2,
            Logical::Int32 => Wire::Int4,
            Logical::Int64 => Wire::Int8,
            Logical::Float32 => Wire::Float4,
            Logical::Float64 => Wire::Float8,
            Logical::Numeric => Wire::Numeric,
            // A column that has more digits than are asked for would be rounded where it arrives.
            Logical::Decimal { precision, scale } => {
                let fits = native == format!("numeric({precision},{scale})")
                    || matches!(native, "smallint" | "integer" | "bigint");
                return fits.then_some(Wire::Numeric);
            }
            Logical::Text => Wire::Text,
            Logical::Json if native == "jsonb" => Wire::Jsonb,
            Logical::Json if native == "json" => Wire::Text,
            // A domain over one of them.
            Logical::Json => return None,
            Logical::Uuid => Wire::Uuid,
            Logical::Bytes => Wire::Bytea,
            Logical::Date => Wire::Date,
            Logical::Time => Wire::Time,
            Logical::Timestamp | Logical::TimestampTz => Wire::Timestamp,
            Logical::Interval => Wire::Interval,
        })
    }
}

/// A column's type with domains resolved to what they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PgType {
    /// The base type.
    pub(super) oid: u32,
    /// Its modifier, -1 where it has none.
    pub(super) typmod: i32,
    /// Whether it is an enum.
    pub(super) is_enum: bool,
}

impl PgType {
    /// Its form in binary COPY; `None` for a type that is sent as `column::text`.
    pub(super) fn wire(self) -> Option<Wire> {
        if self.is_enum {
            return Some(Wire::Text);
        }
        Some(match self.oid {
            oid::BOOL => Wire::Bool,
            oid::BYTEA => Wire::Bytea,
            oid::INT2 => Wire::Int2,
            oid::INT4 => Wire::Int4,
            oid::INT8 => Wire::Int8,
            oid::OID => Wire::Oid,
            oid::FLOAT4 => Wire::Float4,
            oid::FLOAT8 => Wire::Float8,
            oid::NUMERIC => Wire::Numeric,
            // bpchar is sent with its padding; a cast to text would take it away.
            oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::JSON => Wire::Text,
            oid::JSONB => Wire::Jsonb,
            oid::UUID => Wire::Uuid,
            oid::DATE => Wire::Date,
            oid::TIME => Wire::Time,
            oid::TIMESTAMP | oid::TIMESTAMPTZ => Wire::Timestamp,
            oid::INTERVAL => Wire::Interval,
            // "char" is a byte of any value and not text of the database's encoding.
            _ => return None,
        })
    }

    /// What it is in the contract.
    pub(super) fn logical(self) -> Logical {
        match self.oid {
            _ if self.is_enum => Logical::Text,
            oid::BOOL => Logical::Bool,
            oid::BYTEA => Logical::Bytes,
            oid::INT2 => Logical::Int16,
            oid::INT4 => Logical::Int32,
            oid::INT8 | oid::OID => Logical::Int64,
            oid::FLOAT4 => Logical::Float32,
            oid::FLOAT8 => Logical::Float64,
            oid::NUMERIC => numeric(self.typmod),
            // Its text, and how many digits it has, depend on the database's lc_monetary.
            oid::MONEY => Logical::Numeric,
            oid::JSON | oid::JSONB => Logical::Json,
            oid::UUID => Logical::Uuid,
            oid::DATE => Logical::Date,
            oid::TIME => Logical::Time,
            oid::TIMESTAMP => Logical::Timestamp,
            oid::TIMESTAMPTZ => Logical::TimestampTz,
            oid::INTERVAL => Logical::Interval,
            _ => Logical::Text,
        }
    }
}

/// A numeric's type by its modifier. Since version 15 the scale has eleven bits and a sign.
fn numeric(typmod: i32) -> Logical {
    if typmod < 4 {
        return Logical::Numeric;
    }
    let bits = typmod - 4;
    let precision = (bits >> 16) & 0xffff;
    let scale = ((bits & 0x7ff) ^ 1024) - 1024;
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p @ 1..=76), Ok(scale)) if scale >= 0 && i32::from(p) >= i32::from(scale) => {
            Logical::Decimal { precision: p, scale }
        }
        _ => Logical::Numeric,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(oid: u32, typmod: i32) -> PgType {
        PgType { oid, typmod, is_enum: false }
    }

    #[test]
    fn numerics_follow_their_modifier() {
        let typmod = |p: i32, s: i32| ((p << 16) | (s & 0x7ff)) + 4;
        assert_eq!(of(oid::NUMERIC, typmod(12, 2)).logical(), Logical::Decimal { precision: 12, scale: 2 });
        assert_eq!(of(oid::NUMERIC, typmod(76, 76)).logical(), Logical::Decimal { precision: 76, scale: 76 });
        for (p, s) in [(77, 0), (3, -2), (2, 5), (1000, 500)] {
            assert_eq!(of(oid::NUMERIC, typmod(p, s)).logical(), Logical::Numeric, "{p},{s}");
        }
        assert_eq!(of(oid::NUMERIC, -1).logical(), Logical::Numeric);
    }

    #[test]
    fn a_number_with_more_digits_than_are_asked_for_is_not_sent_undecoded() {
        let asked = Logical::Decimal { precision: 12, scale: 2 };
        assert_eq!(Wire::of(asked, "numeric(12,2)"), Some(Wire::Numeric));
        assert_eq!(Wire::of(asked, "integer"), Some(Wire::Numeric));
        for wider in ["numeric", "numeric(12,4)", "numeric(14,2)", "amount"] {
            assert_eq!(Wire::of(asked, wider), None, "{wider}");
        }
        assert_eq!(Wire::of(Logical::Json, "a_domain"), None);
    }

    #[test]
    fn what_has_no_form_of_its_own_is_text() {
        for other in [869, 1266, 142, 3614, 18] {
            assert_eq!(of(other, -1).wire(), None);
            assert_eq!(of(other, -1).logical(), Logical::Text);
        }
        assert_eq!(PgType { oid: 99_999, typmod: -1, is_enum: true }.wire(), Some(Wire::Text));
    }
}
