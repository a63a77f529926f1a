//! Dates and times as text over the whole range that 32-bit days and 64-bit microseconds span.
//!
//! chrono ends at the year 262143; Postgres does not. Years are astronomical (0000 is 1 BC); years
//! beyond four digits carry a sign (`+12024-01-01`, `-0043-03-15`), as ISO 8601 has it.

/// Microseconds in a day.
pub const DAY_US: i64 = 86_400_000_000;

/// Year, month and day of a day number since 1970-01-01, proleptic Gregorian.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number since 1970-01-01 of a date that exists.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let doy = (153 * mp + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// `2024-05-01`; `infinity` and `-infinity` for the two ends of `i32`.
pub fn format_date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".to_owned(),
        i32::MIN => "-infinity".to_owned(),
        days => date_text(i64::from(days)),
    }
}

fn date_text(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// `12:34:56`, with as many of six decimals as are needed; 24:00:00 included.
pub fn format_time(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 {
        return format!("{h:02}:{m:02}:{s:02}");
    }
    let text = format!("{h:02}:{m:02}:{s:02}.{fraction:06}");
    text.trim_end_matches('0').to_owned()
}

/// `2024-05-01T12:34:56.5`, with a final `Z` for an instant; `infinity` for the ends of `i64`.
/// `separator` is `T` or a space.
pub fn format_timestamp(micros: i64, instant: bool, separator: char) -> String {
    match micros {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let date = date_text(micros.div_euclid(DAY_US));
    let time = format_time(micros.rem_euclid(DAY_US));
    format!("{date}{separator}{time}{}", if instant { "Z" } else { "" })
}

/// Reads `YYYY-MM-DD` (more year digits with a sign) strictly; `None` for anything else and for
/// dates that do not exist.
pub fn parse_date(text: &str) -> Option<i32> {
    match text {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    i32::try_from(parse_days(text)?).ok()
}

fn parse_days(text: &str) -> Option<i64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = body.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || (year.len() > 4 && body.len() == text.len()) {
        return None;
    }
    let year = sign * digits(year, 4..=7)?;
    let month = digits(month, 2..=2)? as u32;
    let day = digits(day, 2..=2)? as u32;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn digits(text: &str, len: std::ops::RangeInclusive<usize>) -> Option<i64> {
    if !len.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Reads `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f` (one to six decimals) strictly, up to 24:00:00.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = digits(parts.next()?, 2..=2)?;
    let minutes = digits(parts.next()?, 2..=2)?;
    let (seconds, micros) = match parts.next() {
        None => (0, 0),
        Some(rest) => match rest.split_once('.') {
            None => (digits(rest, 2..=2)?, 0),
            Some((whole, fraction)) => {
                let value = digits(fraction, 1..=6)?;
                (digits(whole, 2..=2)?, value * 10_i64.pow(6 - fraction.len() as u32))
            }
        },
    };
    let total = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + micros;
    (minutes < 60 && seconds < 60 && total <= DAY_US).then_some(total)
}

/// Reads a date, `T` or a space, and a time, strictly. The second value is the offset from UTC in
/// seconds when the text has one (`Z`, `+02:00`, `+02`, `+0200`); the first is the wall clock.
pub fn parse_timestamp(text: &str) -> Option<(i64, Option<i32>)> {
    match text {
        "infinity" => return Some((i64::MAX, None)),
        "-infinity" => return Some((i64::MIN, None)),
        _ => {}
    }
    let split = text.find(['T', ' '])?;
    let days = parse_days(&text[..split])?;
    let rest = &text[split + 1..];
    let (time, offset) = match rest.find(['Z', '+', '-']) {
        None => (rest, None),
        Some(at) => (&rest[..at], Some(parse_offset(&rest[at..])?)),
    };
    let micros = days.checked_mul(DAY_US)?.checked_add(parse_time(time)?)?;
    Some((micros, offset))
}

fn parse_offset(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let body = text[1..].replace(':', "");
    if !body.is_ascii() || (body.len() != 2 && body.len() != 4) {
        return None;
    }
    let hours = digits(&body[..2], 2..=2)?;
    let minutes = if body.len() == 4 { digits(&body[2..], 2..=2)? } else { 0 };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_there_and_back_over_the_whole_range() {
        for days in [0, -1, 1, 19_844, -719_468, -2_440_588, 2_145_031_948, -719_529, i32::MAX, i32::MIN] {
            assert_eq!(parse_date(&format_date(days)), Some(days), "{}", format_date(days));
        }
        assert_eq!(format_date(19_844), "2024-05-01");
        assert_eq!(format_date(-719_529), "-0001-12-31");
        for bad in ["2023-02-29", "2024-5-1", "20240501", "2024-13-01", "12024-01-01", "2024-01-01x", "", "é"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_and_instants() {
        assert_eq!(format_timestamp(-1, true, 'T'), "1969-12-31T23:59:59.999999Z");
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.999999Z"), Some((-1, Some(0))));
        assert_eq!(parse_timestamp("1970-01-01 02:00:00+02:00"), Some((7_200_000_000, Some(7200))));
        assert_eq!(parse_timestamp("1970-01-01 00:00"), Some((0, None)));
        assert_eq!(parse_time("24:00:00"), Some(DAY_US));
        for bad in [
            "1970-01-01T00:00:00+aéb",
            "1970-01-01",
            "1970-01-01T25:00:00",
            "1970-01-01T00:00:00+2",
            "1970-01-01T00:00:60",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }
}
