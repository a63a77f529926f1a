//! The values of a column in the making, and the exact parsing of each type.

use arrow_buffer::i256;
use waybill_protocol::{Logical, calendar};

use super::cell::Cell;
use super::jsonl;
use super::{moment, number};

/// Values so far, in the form that Arrow wants at the end.
#[derive(Debug)]
pub(super) enum Values {
    Bool(Vec<bool>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    D128(Vec<i128>),
    D256(Vec<i256>),
    /// Texts one after the other, and where each ends.
    Text(Vec<u8>, Vec<i32>),
}

impl Values {
    /// The empty form of a type; `None` for a type that files do not hold.
    pub(super) fn of(logical: Logical) -> Option<Values> {
        Some(match logical {
            Logical::Bool => Values::Bool(Vec::new()),
            Logical::Int16 => Values::I16(Vec::new()),
            Logical::Int32 | Logical::Date => Values::I32(Vec::new()),
            Logical::Int64 | Logical::Time | Logical::Timestamp | Logical::TimestampTz => {
                Values::I64(Vec::new())
            }
            Logical::Float32 => Values::F32(Vec::new()),
            Logical::Float64 => Values::F64(Vec::new()),
            Logical::Decimal { precision, .. } if precision <= 38 => Values::D128(Vec::new()),
            Logical::Decimal { .. } => Values::D256(Vec::new()),
            Logical::Numeric | Logical::Text | Logical::Json | Logical::Uuid => {
                Values::Text(Vec::new(), Vec::new())
            }
            Logical::Bytes | Logical::Interval => return None,
        })
    }

    /// Adds the place of a NULL.
    pub(super) fn push_null(&mut self) {
        match self {
            Values::Bool(v) => v.push(false),
            Values::I16(v) => v.push(0),
            Values::I32(v) => v.push(0),
            Values::I64(v) => v.push(0),
            Values::F32(v) => v.push(0.0),
            Values::F64(v) => v.push(0.0),
            Values::D128(v) => v.push(0),
            Values::D256(v) => v.push(i256::ZERO),
            Values::Text(bytes, ends) => ends.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX)),
        }
    }

    /// Takes everything after the first `rows` back.
    pub(super) fn truncate(&mut self, rows: usize) {
        match self {
            Values::Bool(v) => v.truncate(rows),
            Values::I16(v) => v.truncate(rows),
            Values::I32(v) => v.truncate(rows),
            Values::I64(v) => v.truncate(rows),
            Values::F32(v) => v.truncate(rows),
            Values::F64(v) => v.truncate(rows),
            Values::D128(v) => v.truncate(rows),
            Values::D256(v) => v.truncate(rows),
            Values::Text(bytes, ends) => {
                ends.truncate(rows);
                bytes.truncate(ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0));
            }
        }
    }

    /// Adds a value that is no NULL; `None`, and nothing added, where it is not exactly of type
    /// `logical`. A `declared` type also takes what people write for it (`007`, `yes`).
    pub(super) fn push(&mut self, logical: Logical, declared: bool, cell: &Cell<'_>) -> Option<()> {
        match self {
            Values::Bool(v) => v.push(match cell {
                Cell::Bool(text) | Cell::Field(text) => boolean(text, declared)?,
                Cell::Number(text) | Cell::Text { text, .. } if declared => boolean(text, true)?,
                _ => return None,
            }),
            Values::I16(v) => v.push(i16::try_from(whole(cell, declared)?).ok()?),
            Values::I32(v) if logical == Logical::Date => v.push(date(cell.words()?, declared)?),
            Values::I32(v) => v.push(i32::try_from(whole(cell, declared)?).ok()?),
            Values::I64(v) => v.push(match logical {
                Logical::Int64 => whole(cell, declared)?,
                Logical::Time => calendar::parse_time(std::str::from_utf8(cell.words()?).ok()?)?,
                _ => clock(cell.words()?, logical == Logical::TimestampTz, declared)?,
            }),
            Values::F32(v) => {
                let text = cell.number(declared)?;
                v.push(match number::special(text) {
                    Some(special) => special as f32,
                    None => number::single(text, &scan(text, declared)?, declared)?,
                });
            }
            Values::F64(v) => {
                let text = cell.number(declared)?;
                v.push(match number::special(text) {
                    Some(special) => special,
                    None => number::double(text, &scan(text, declared)?, declared)?,
                });
            }
            Values::D128(v) => {
                let Logical::Decimal { precision, scale } = logical else { return None };
                v.push(scan(cell.number(declared)?, declared)?.unscaled(precision, scale)?);
            }
            Values::D256(v) => {
                let Logical::Decimal { precision, scale } = logical else { return None };
                v.push(scan(cell.number(declared)?, declared)?.unscaled_wide(precision, scale)?);
            }
            Values::Text(bytes, ends) => {
                let before = bytes.len();
                let end = text(bytes, logical, declared, cell).and_then(|()| i32::try_from(bytes.len()).ok());
                if end.is_none() {
                    bytes.truncate(before);
                }
                ends.push(end?);
            }
        }
        Some(())
    }
}

fn scan(text: &[u8], declared: bool) -> Option<number::Number<'_>> {
    number::scan(text).filter(|number| declared || number.tidy)
}

fn whole(cell: &Cell<'_>, declared: bool) -> Option<i64> {
    let text = cell.number(declared)?;
    number::integer(text).or_else(|| {
        let number = number::scan(text).filter(|_| declared)?;
        i64::try_from(number.unscaled(19, 0)?).ok()
    })
}

/// `true` and `false` in lower, upper or title case; where it was declared, also what people write.
pub(super) fn boolean(text: &[u8], declared: bool) -> Option<bool> {
    match text {
        b"true" | b"True" | b"TRUE" => Some(true),
        b"false" | b"False" | b"FALSE" => Some(false),
        _ if declared && text.len() <= 5 => match text.to_ascii_lowercase().as_slice() {
            b"1" | b"t" | b"y" | b"yes" | b"true" => Some(true),
            b"0" | b"f" | b"n" | b"no" | b"false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn date(text: &[u8], declared: bool) -> Option<i32> {
    moment::date(text).or_else(|| {
        let text = std::str::from_utf8(text).ok().filter(|_| declared)?;
        calendar::parse_date(text)
    })
}

/// A wall clock, or an instant. An instant needs its offset, unless it was declared: then UTC.
fn clock(text: &[u8], instant: bool, declared: bool) -> Option<i64> {
    let (wall, offset) = match moment::timestamp(text) {
        Some(found) => found,
        None if declared => calendar::parse_timestamp(std::str::from_utf8(text).ok()?)
            .or_else(|| Some((i64::from(moment::date(text)?) * calendar::DAY_US, None)))?,
        None => return None,
    };
    match (instant, offset) {
        (true, Some(offset)) => Some(moment::instant(wall, offset)),
        (true, None) if declared => Some(wall),
        (false, None) => Some(wall),
        _ => None,
    }
}

fn text(out: &mut Vec<u8>, logical: Logical, declared: bool, cell: &Cell<'_>) -> Option<()> {
    match logical {
        Logical::Numeric => {
            let text = cell.number(declared)?;
            if number::special(text).is_some() {
                out.extend_from_slice(text);
            } else if !scan(text, declared)?.plain(out) {
                return None;
            }
        }
        Logical::Uuid => {
            let text = cell.words().filter(|t| t.len() == 36)?;
            let uuid = uuid::Uuid::try_parse_ascii(text).ok()?;
            out.extend_from_slice(uuid.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
        }
        Logical::Json => match cell {
            Cell::Field(text) => out.extend_from_slice(jsonl::document(text)?),
            Cell::Text { raw, .. } => out.extend_from_slice(raw),
            other => out.extend_from_slice(other.text()),
        },
        _ => out.extend_from_slice(cell.text()),
    }
    Some(())
}
