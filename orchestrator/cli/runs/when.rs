//! A moment as a person says it: a date, an exact moment, or an age.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Reads a moment; a date is its beginning, in UTC as the record is.
pub(crate) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    at(text, Utc::now())
}

fn at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    let midnight = |day: DateTime<Utc>| day.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    match text {
        "today" => return Ok(midnight(now)),
        "yesterday" => return Ok(midnight(now - TimeDelta::days(1))),
        _ => {}
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)) {
        return Ok(moment.with_timezone(&Utc));
    }
    let wrong = || {
        "write a date (2026-01-31), a moment (2026-01-31T08:00:00Z), or an age (90s, 15m, 2h, 3d, 4w)"
            .to_owned()
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).map(str::trim).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let age = number.parse::<i64>().ok().and_then(|number| number.checked_mul(seconds));
    age.and_then(TimeDelta::try_seconds)
        .and_then(|age| now.checked_sub_signed(age))
        .ok_or_else(|| "that is before the beginning of time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_moments_and_ages_are_read() {
        let now: DateTime<Utc> = "2026-03-10T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
            ("2026-01-31 08:00:00+01:00", "2026-01-31T07:00:00Z"),
            ("90s", "2026-03-10T11:58:30Z"),
            ("15m", "2026-03-10T11:45:00Z"),
            (" 2h ", "2026-03-10T10:00:00Z"),
            ("3d", "2026-03-07T12:00:00Z"),
            ("4w", "2026-02-10T12:00:00Z"),
            ("today", "2026-03-10T00:00:00Z"),
            ("yesterday", "2026-03-09T00:00:00Z"),
        ] {
            assert_eq!(at(text, now), Ok(expected.parse().unwrap()), "{text}");
        }
        for wrong in [
            "",
            "d",
            "-2h",
            "2",
            "2y",
            "é",
            "2026-02-31",
            "2026-01-31T08:00",
            "99999999999999999999d",
            "9999999999w",
        ] {
            assert!(at(wrong, now).is_err(), "{wrong}");
        }
    }
}
