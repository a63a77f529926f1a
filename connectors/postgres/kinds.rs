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
    fn what_has_no_form_of_its_own_is_text() {
        for other in [869, 1266, 142, 3614, 18] {
            assert_eq!(of(other, -1).wire(), None);
            assert_eq!(of(other, -1).logical(), Logical::Text);
        }
        assert_eq!(PgType { oid: 99_999, typmod: -1, is_enum: true }.wire(), Some(Wire::Text));
    }
}
