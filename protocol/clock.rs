//! How far the end of a stream may be trusted, where its cursor is a time.

use crate::calendar::DAY_US;
use crate::cursor::CursorValue;
use crate::value::Logical;
use crate::{Error, Kind, Result};

/// How long before its transaction can be seen a time may have been taken, microseconds.
pub const CLOCK_MARGIN_US: i64 = 5_000_000;

/// The end up to which a stream may be trusted: a moment before the source's clock, in UTC, for
/// cursors that are times; `None` for others. A transaction's `now()` is fixed before the
/// transaction can be seen, and rows may be stamped in the future. Refuses a highest value that
/// says nothing about what is new: a UUID that is no time, a number that is none.
pub fn clock_bound(logical: Logical, clock_us: i64, top: &CursorValue) -> Result<Option<CursorValue>> {
    let us = clock_us.saturating_sub(CLOCK_MARGIN_US);
    Ok(match (logical, top) {
        (Logical::Timestamp, _) => Some(CursorValue::Timestamp(us)),
        (Logical::TimestampTz, _) => Some(CursorValue::TimestampTz(us)),
        (Logical::Date, _) => {
            let days = i32::try_from(us.div_euclid(DAY_US)).unwrap_or(i32::MAX - 1);
            Some(CursorValue::Date(days))
        }
        (Logical::Uuid, CursorValue::Uuid(text)) => {
            if uuid_ms(text).is_none() {
                return Err(Error::config(
                    "the cursor holds UUIDs that are not of version 7: new rows may get lower ones",
                )
                .hint("choose another cursor, or full_refresh"));
            }
            Some(uuid_at(u64::try_from(us / 1000).unwrap_or(0)))
        }
        (Logical::Decimal { .. } | Logical::Numeric, CursorValue::Decimal(text))
            if text.ends_with("NaN") || text.ends_with("Infinity") =>
        {
            return Err(Error::new(
                Kind::Data,
                format!("the cursor column holds {text}, above which nothing is new"),
            )
            .hint("correct that row, or leave it out with `where`"));
        }
        _ => None,
    })
}

/// The millisecond of a UUID of version 7; `None` for any other.
pub(crate) fn uuid_ms(text: &str) -> Option<u64> {
    let parsed: uuid::Uuid = text.parse().ok()?;
    let ms = u64::try_from(parsed.as_u128() >> 80).ok()?;
    (parsed.get_version_num() == 7).then_some(ms)
}

/// The lowest UUID of version 7 of a millisecond.
pub(crate) fn uuid_at(ms: u64) -> CursorValue {
    let time = u128::from(ms & 0xffff_ffff_ffff) << 80;
    let marks = 0x7 << 76 | 0x8 << 60;
    CursorValue::Uuid(uuid::Uuid::from_u128(time | marks).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_bounded_by_their_time_and_random_ones_refused() {
        let now = 1_700_000_000_000_000;
        let seven = CursorValue::Uuid("018bcfe5-6800-7abc-8def-0123456789ab".into());
        let bound = clock_bound(Logical::Uuid, now, &seven).unwrap().unwrap();
        assert_eq!(bound.order(&seven), Some(std::cmp::Ordering::Less));
        assert_eq!(bound.to_string(), "018bcfe5-5478-7000-8000-000000000000");
        let four = CursorValue::Uuid("f47ac10b-58cc-4372-a567-0e02b2c3d479".into());
        assert_eq!(clock_bound(Logical::Uuid, now, &four).unwrap_err().kind(), Kind::Config);
        let nan = CursorValue::Decimal("NaN".into());
        assert_eq!(clock_bound(Logical::Numeric, now, &nan).unwrap_err().kind(), Kind::Data);
    }

    #[test]
    fn dates_end_with_the_day_of_the_clock() {
        let top = CursorValue::Date(i32::MAX);
        let at = |us| clock_bound(Logical::Date, us, &top).unwrap().unwrap().to_string();
        assert_eq!(at(1_714_521_600_000_000), "2024-04-30", "five seconds after midnight is the day");
        assert_eq!(at(1_714_521_605_000_000), "2024-05-01");
    }
}
