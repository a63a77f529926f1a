//! Dates and times in the one strict form that is inferred: it prints back to an equal value.

use waybill_protocol::calendar::{DAY_US, days_from_civil};

/// `YYYY-MM-DD`, a day that exists.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let year = pair(*y1, *y2)? * 100 + pair(*y3, *y4)?;
    let (month, day) = (pair(*m1, *m2)?, pair(*d1, *d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    i32::try_from(days_from_civil(i64::from(year), month, day)).ok()
}

/// A date, `T` or a space, `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f` (one to six decimals), and `Z`,
/// `±HH`, `±HHMM` or `±HH:MM`, or none of these. The wall clock in microseconds, and the offset
/// from UTC in seconds where there is one.
pub(super) fn timestamp(text: &[u8]) -> Option<(i64, Option<i32>)> {
    let (day, rest) = text.split_at_checked(10)?;
    let days = date(day)?;
    let (b'T' | b' ', rest) = rest.split_first()? else { return None };
    let at = rest.iter().position(|b| matches!(b, b'Z' | b'+' | b'-'));
    let (clock, zone) = rest.split_at(at.unwrap_or(rest.len()));
    let offset = if at.is_some() { Some(offset(zone)?) } else { None };
    Some((i64::from(days) * DAY_US + time(clock)?, offset))
}

/// The instant in microseconds of what [`timestamp`] found with an offset.
pub(super) fn instant(wall: i64, offset: i32) -> i64 {
    wall - i64::from(offset) * 1_000_000
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f`, below 24 hours.
fn time(text: &[u8]) -> Option<i64> {
    let (h, m, rest) = match text {
        [h1, h2, b':', m1, m2, rest @ ..] => (pair(*h1, *h2)?, pair(*m1, *m2)?, rest),
        _ => return None,
    };
    let (s, fraction) = match rest {
        [] => (0, 0),
        [b':', s1, s2] => (pair(*s1, *s2)?, 0),
        [b':', s1, s2, b'.', digits @ ..] if (1..=6).contains(&digits.len()) => {
            let mut micros = 0u32;
            for place in 0..6 {
                let digit = digits.get(place).map_or(0, |d| d.wrapping_sub(b'0'));
                if digit > 9 {
                    return None;
                }
                micros = micros * 10 + u32::from(digit);
            }
            (pair(*s1, *s2)?, micros)
        }
        _ => return None,
    };
    let seconds = i64::from(h) * 3600 + i64::from(m) * 60 + i64::from(s);
    (h < 24 && m < 60 && s < 60).then_some(seconds * 1_000_000 + i64::from(fraction))
}

fn offset(text: &[u8]) -> Option<i32> {
    let (sign, h, m) = match text {
        [b'Z'] => return Some(0),
        [sign, h1, h2] => (sign, pair(*h1, *h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, pair(*h1, *h2)?, pair(*m1, *m2)?),
        _ => return None,
    };
    let seconds = i32::try_from(h * 3600 + m * 60).ok()?;
    (h <= 18 && m < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
}

fn pair(a: u8, b: u8) -> Option<u32> {
    let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
    (a <= 9 && b <= 9).then_some(u32::from(a) * 10 + u32::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waybill_protocol::calendar;

    #[test]
    fn the_strict_forms_agree_with_the_calendar() {
        for text in ["2024-02-29", "1970-01-01", "0001-01-01", "9999-12-31", "1900-02-28"] {
            assert_eq!(date(text.as_bytes()), calendar::parse_date(text), "{text}");
        }
        for text in [
            "2024-05-01T10:00",
            "2024-05-01 10:00:59.5",
            "2024-05-01T10:00:00.123456Z",
            "2024-05-01T10:00:00-02:30",
            "2024-05-01T10:00:00+0530",
            "1969-12-31 23:59:59+02",
        ] {
            assert_eq!(timestamp(text.as_bytes()), calendar::parse_timestamp(text), "{text}");
            assert!(timestamp(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn what_would_not_print_back_is_no_date() {
        for bad in ["2023-02-29", "2024-5-1", "infinity", "+2024-01-01", "2024-01-01x", "1900-02-29"] {
            assert_eq!(date(bad.as_bytes()), None, "{bad}");
        }
        for bad in [
            "2024-05-01T24:00",
            "2024-05-01T10:00:60",
            "2024-05-01T10:00:00.1234567",
            "2024-05-01T10:00:00.",
            "2024-05-01t10:00",
            "2024-05-01T10",
            "2024-05-01",
            "2024-05-01T10:00 Z",
            "2024-05-01T10:00:00+2",
        ] {
            assert_eq!(timestamp(bad.as_bytes()), None, "{bad}");
        }
    }
}
