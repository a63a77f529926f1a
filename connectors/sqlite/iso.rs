//! Dates, times and intervals as the text that SQLite holds, written without allocating.

use std::fmt::Write as _;

use waybill_protocol::calendar::{self, DAY_US};

/// Microseconds of 0000-01-01 and of 10000-01-01: years of four digits lie between.
const FOUR_DIGITS: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

fn two(out: &mut String, value: i64) {
    for digit in [value / 10, value % 10] {
        out.push(char::from(b'0' + u8::try_from(digit.rem_euclid(10)).unwrap_or(0)));
    }
}

fn ymd(out: &mut String, days: i64) {
    let (year, month, day) = calendar::civil_from_days(days);
    two(out, year / 100);
    two(out, year % 100);
    out.push('-');
    two(out, i64::from(month));
    out.push('-');
    two(out, i64::from(day));
}

/// Appends `YYYY-MM-DD`.
pub(crate) fn date(out: &mut String, days: i32) {
    if FOUR_DIGITS.contains(&i64::from(days).saturating_mul(DAY_US)) {
        ymd(out, i64::from(days));
    } else {
        out.push_str(&calendar::format_date(days));
    }
}

/// Appends `HH:MM:SS`, with as many of six decimals as are needed.
pub(crate) fn time(out: &mut String, micros: i64) {
    let (seconds, mut fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    two(out, seconds / 3600);
    out.push(':');
    two(out, seconds / 60 % 60);
    out.push(':');
    two(out, seconds % 60);
    if fraction != 0 {
        let mut width = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        // Writing to a String cannot fail.
        let _ = write!(out, ".{fraction:0width$}");
    }
}

/// Appends `YYYY-MM-DD HH:MM:SS[.ffffff]`, and `+00:00` for an instant.
pub(crate) fn timestamp(out: &mut String, micros: i64, instant: bool) {
    if FOUR_DIGITS.contains(&micros) {
        ymd(out, micros.div_euclid(DAY_US));
        out.push(' ');
        time(out, micros.rem_euclid(DAY_US));
    } else {
        out.push_str(&calendar::format_timestamp(micros, false, ' '));
    }
    if instant && micros != i64::MAX && micros != i64::MIN {
        out.push_str("+00:00");
    }
}

/// Appends an interval in ISO 8601, each part with its own sign: `P1Y2M-3DT4H0.5S`.
pub(crate) fn interval(out: &mut String, months: i32, days: i32, nanos: i64) {
    let start = out.len();
    out.push('P');
    for (value, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if value != 0 {
            let _ = write!(out, "{value}{unit}");
        }
    }
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if nanos != 0 || out.len() == start + 1 {
        out.push('T');
        for (value, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if value != 0 {
                let _ = write!(out, "{value}{unit}");
            }
        }
        let seconds = seconds % 60;
        if rest != 0 {
            let sign = if nanos < 0 { "-" } else { "" };
            let fraction = format!("{:09}", rest.abs());
            let _ = write!(out, "{sign}{}.{}S", seconds.abs(), fraction.trim_end_matches('0'));
        } else if seconds != 0 || nanos == 0 {
            let _ = write!(out, "{seconds}S");
        }
    }
}

/// Reads what [`interval`] writes, and ISO 8601 durations in general (weeks too).
pub(crate) fn parse_interval(text: &str) -> Option<(i32, i32, i64)> {
    let body = text.strip_prefix('P')?;
    let (date, time) = body.split_once('T').map_or((body, ""), |(date, time)| (date, time));
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let (mut months, mut days, mut nanos) = (0i64, 0i64, 0i64);
    for (value, unit) in parts(date)? {
        let value: i64 = value.parse().ok()?;
        match unit {
            'Y' => months = months.checked_add(value.checked_mul(12)?)?,
            'M' => months = months.checked_add(value)?,
            'W' => days = days.checked_add(value.checked_mul(7)?)?,
            'D' => days = days.checked_add(value)?,
            _ => return None,
        }
    }
    for (value, unit) in parts(time)? {
        let scale = match unit {
            'H' => 3_600_000_000_000,
            'M' => 60_000_000_000,
            'S' => 1_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(value, scale)?)?;
    }
    Some((i32::try_from(months).ok()?, i32::try_from(days).ok()?, nanos))
}

/// Splits `1Y-2M` into `(1, Y)`, `(-2, M)`.
fn parts(text: &str) -> Option<Vec<(&str, char)>> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (value, tail) = rest.split_at(at);
        let unit = tail.chars().next()?;
        out.push((value, unit));
        rest = tail.get(1..)?;
    }
    Some(out)
}

/// A number with up to nine decimals, times `scale` nanoseconds.
fn scaled(text: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.is_empty() {
        return whole.parse::<i64>().ok()?.checked_mul(scale);
    }
    if scale != 1_000_000_000 || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse::<i64>().ok()?;
    let whole_nanos = whole.parse::<i64>().ok()?.checked_mul(scale)?;
    if text.starts_with('-') { whole_nanos.checked_sub(nanos) } else { whole_nanos.checked_add(nanos) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn the_fast_forms_equal_the_calendar_s() {
        for days in [0, -1, 19_844, -719_528, -719_529, 2_932_896, 2_932_897, i32::MAX, i32::MIN, -2_440_588]
        {
            assert_eq!(text(|o| date(o, days)), calendar::format_date(days));
        }
        for us in [
            0,
            -1,
            1,
            1_714_521_600_123_456,
            1_714_521_600_500_000,
            FOUR_DIGITS.start,
            FOUR_DIGITS.end - 1,
            FOUR_DIGITS.start - 1,
            FOUR_DIGITS.end,
            i64::MAX,
            i64::MIN,
        ] {
            assert_eq!(text(|o| timestamp(o, us, false)), calendar::format_timestamp(us, false, ' '));
            let instant = text(|o| timestamp(o, us, true));
            assert_eq!(calendar::parse_timestamp(&instant).map(|p| p.0), Some(us));
        }
        assert_eq!(text(|o| time(o, DAY_US)), "24:00:00");
    }

    #[test]
    fn instants_sort_as_text_as_they_sort_in_time() {
        let base = 1_714_521_600_000_000;
        let mut last = String::new();
        for us in [0, 1, 10, 500_000, 999_999, 1_000_000, 1_000_001] {
            let now = text(|o| timestamp(o, base + us, true));
            assert!(last < now, "{last} {now}");
            last = now;
        }
    }

    #[test]
    fn intervals_go_there_and_back() {
        for (months, days, nanos) in [
            (0, 0, 0),
            (14, 3, 14_706_789_000_000),
            (-14, 3, -500_000_000),
            (0, -40, 1),
            (i32::MIN, i32::MAX, i64::MIN),
            (0, 0, 86_400_000_000_000 * 3),
            (0, 0, -61_000_000_000),
            (5, 0, 0),
        ] {
            let written = text(|o| interval(o, months, days, nanos));
            assert_eq!(parse_interval(&written), Some((months, days, nanos)), "{written}");
        }
        assert_eq!(text(|o| interval(o, 14, 3, 14_706_500_000_000)), "P1Y2M3DT4H5M6.5S");
        for bad in ["", "P", "PT", "1Y", "P1", "P1X", "PT1.5H", "PT0.1234567891S", "P1Yé"] {
            assert_eq!(parse_interval(bad), None, "{bad}");
        }
    }
}
