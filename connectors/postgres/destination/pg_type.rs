//! Column types as the server names them, and what each means.

use std::fmt;

use waybill_protocol::Logical;

use super::own;
use crate::postgres::encode::Form;

/// A column type as `format_type` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// With precision and scale, or unconstrained.
    Numeric(Option<(i32, i32)>),
    Text,
    /// `character varying`, with its limit.
    Varchar(Option<u32>),
    /// `character(n)`, filled up with blanks.
    Char(u32),
    Json,
    Jsonb,
    Uuid,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    /// One of the server's own types that is written as its text: an address, a range, an array.
    Own(String),
    /// A date or time type that rounds: its name, and what it would be without the limit.
    Rounded(String, Logical),
    /// A type that reads and writes text of certain values only: an enumeration, `citext`, `name`.
    TextLike(String),
    /// Anything else.
    Other(String),
}

impl PgType {
    /// Reads a type's name. `textual` says that its receive function takes any text as it is.
    pub(super) fn parse(name: &str, textual: bool) -> PgType {
        match name {
            "boolean" => PgType::Bool,
            "smallint" => PgType::Int2,
            "integer" => PgType::Int4,
            "bigint" => PgType::Int8,
            "real" => PgType::Float4,
            "double precision" => PgType::Float8,
            "numeric" => PgType::Numeric(None),
            "text" => PgType::Text,
            "character varying" => PgType::Varchar(None),
            "json" => PgType::Json,
            "jsonb" => PgType::Jsonb,
            "uuid" => PgType::Uuid,
            "bytea" => PgType::Bytea,
            "date" => PgType::Date,
            "time without time zone" => PgType::Time,
            "timestamp without time zone" => PgType::Timestamp,
            "timestamp with time zone" => PgType::TimestampTz,
            "interval" => PgType::Interval,
            _ => PgType::parse_limited(name, textual),
        }
    }

    fn parse_limited(name: &str, textual: bool) -> PgType {
        let split = name.split_once('(').and_then(|(base, rest)| {
            let (limit, tail) = rest.split_once(')')?;
            Some((base, limit, tail))
        });
        if let Some((base, limit, tail)) = split {
            match (base, tail, limit.parse::<u32>()) {
                ("character varying", "", Ok(limit)) => return PgType::Varchar(Some(limit)),
                ("character", "", Ok(limit)) => return PgType::Char(limit),
                ("timestamp", " without time zone", Ok(_)) => {
                    return PgType::Rounded(name.to_owned(), Logical::Timestamp);
                }
                ("timestamp", " with time zone", Ok(_)) => {
                    return PgType::Rounded(name.to_owned(), Logical::TimestampTz);
                }
                ("time", " without time zone", Ok(_)) => {
                    return PgType::Rounded(name.to_owned(), Logical::Time);
                }
                _ => {}
            }
            let parts = limit.split_once(',').map(|(p, s)| (p.trim().parse(), s.trim().parse()));
            if let ("numeric", "", Some((Ok(precision), Ok(scale)))) = (base, tail, parts) {
                return PgType::Numeric(Some((precision, scale)));
            }
        }
        if own::is_own(name) {
            return PgType::Own(name.to_owned());
        }
        if name.starts_with("interval") {
            return PgType::Rounded(name.to_owned(), Logical::Interval);
        }
        if textual { PgType::TextLike(name.to_owned()) } else { PgType::Other(name.to_owned()) }
    }

    /// The type that holds a logical type as itself.
    pub(super) fn of(logical: Logical) -> PgType {
        match logical {
            Logical::Bool => PgType::Bool,
            Logical::Int16 => PgType::Int2,
            Logical::Int32 => PgType::Int4,
            Logical::Int64 => PgType::Int8,
            Logical::Float32 => PgType::Float4,
            Logical::Float64 => PgType::Float8,
            Logical::Decimal { precision, scale } => {
                PgType::Numeric(Some((i32::from(precision), i32::from(scale))))
            }
            Logical::Numeric => PgType::Numeric(None),
            Logical::Text => PgType::Text,
            Logical::Json => PgType::Json,
            Logical::Uuid => PgType::Uuid,
            Logical::Bytes => PgType::Bytea,
            Logical::Date => PgType::Date,
            Logical::Time => PgType::Time,
            Logical::Timestamp => PgType::Timestamp,
            Logical::TimestampTz => PgType::TimestampTz,
            Logical::Interval => PgType::Interval,
        }
    }

    /// What it means, as far as there is a logical type for it.
    pub(super) fn logical(&self) -> Option<Logical> {
        Some(match self {
            PgType::Bool => Logical::Bool,
            PgType::Int2 => Logical::Int16,
            PgType::Int4 => Logical::Int32,
            PgType::Int8 => Logical::Int64,
            PgType::Float4 => Logical::Float32,
            PgType::Float8 => Logical::Float64,
            PgType::Numeric(Some((precision, scale))) if *scale >= 0 && scale <= precision => {
                match (u8::try_from(*precision), i8::try_from(*scale)) {
                    (Ok(precision), Ok(scale)) if precision <= 76 => Logical::Decimal { precision, scale },
                    _ => Logical::Numeric,
                }
            }
            PgType::Numeric(_) => Logical::Numeric,
            PgType::Text | PgType::Varchar(_) | PgType::Char(_) | PgType::TextLike(_) | PgType::Own(_) => {
                Logical::Text
            }
            PgType::Json | PgType::Jsonb => Logical::Json,
            PgType::Uuid => Logical::Uuid,
            PgType::Bytea => Logical::Bytes,
            PgType::Date => Logical::Date,
            PgType::Time => Logical::Time,
            PgType::Timestamp => Logical::Timestamp,
            PgType::TimestampTz => Logical::TimestampTz,
            PgType::Interval => Logical::Interval,
            PgType::Rounded(_, logical) => *logical,
            PgType::Other(_) => return None,
        })
    }

    /// The binary form that it takes, if it is one that we write.
    pub(super) fn form(&self) -> Option<Form> {
        Some(match self {
            PgType::Bool => Form::Bool,
            PgType::Int2 => Form::Int2,
            PgType::Int4 => Form::Int4,
            PgType::Int8 => Form::Int8,
            PgType::Float4 => Form::Float4,
            PgType::Float8 => Form::Float8,
            PgType::Numeric(_) => Form::Numeric,
            PgType::Text | PgType::Varchar(_) | PgType::Char(_) | PgType::TextLike(_) | PgType::Json => {
                Form::Text
            }
            PgType::Jsonb => Form::Jsonb,
            PgType::Uuid => Form::Uuid,
            PgType::Bytea => Form::Bytea,
            PgType::Date => Form::Date,
            PgType::Time => Form::Time,
            PgType::Timestamp | PgType::TimestampTz => Form::Timestamp,
            PgType::Interval => Form::Interval,
            PgType::Own(_) => Form::Typed,
            PgType::Rounded(_, logical) => return PgType::of(*logical).form(),
            PgType::Other(_) => return None,
        })
    }
}

impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PgType::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            PgType::Varchar(Some(limit)) => write!(f, "character varying({limit})"),
            PgType::Char(limit) => write!(f, "character({limit})"),
            PgType::Rounded(name, _) | PgType::TextLike(name) | PgType::Own(name) | PgType::Other(name) => {
                f.write_str(name)
            }
            plain => f.write_str(match plain {
                PgType::Bool => "boolean",
                PgType::Int2 => "smallint",
                PgType::Int4 => "integer",
                PgType::Int8 => "bigint",
                PgType::Float4 => "real",
                PgType::Float8 => "double precision",
                PgType::Numeric(_) => "numeric",
                PgType::Varchar(_) => "character varying",
                PgType::Json => "json",
                PgType::Jsonb => "jsonb",
                PgType::Uuid => "uuid",
                PgType::Bytea => "bytea",
                PgType::Date => "date",
                PgType::Time => "time without time zone",
                PgType::Timestamp => "timestamp without time zone",
                PgType::TimestampTz => "timestamp with time zone",
                PgType::Interval => "interval",
                _ => "text",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "real",
            "double precision",
            "numeric",
            "numeric(12,2)",
            "text",
            "character varying",
            "character varying(40)",
            "character(5)",
            "json",
            "jsonb",
            "uuid",
            "bytea",
            "date",
            "time without time zone",
            "timestamp without time zone",
            "timestamp with time zone",
            "interval",
            "timestamp(3) with time zone",
            "inet",
            "integer[]",
            "numeric(10,2)[]",
            "numeric(3,-2)",
        ] {
            assert_eq!(PgType::parse(name, false).to_string(), name);
        }
        assert_eq!(PgType::parse("numeric(10,2)[]", false), PgType::Own("numeric(10,2)[]".into()));
        assert_eq!(PgType::parse("mood", true), PgType::TextLike("mood".into()));
    }
}
