//! What is asked of a run beyond its connection: flags, shared by `run` and `headless`.

use std::time::Duration;

use clap::Args;

use crate::run::Options;

/// The longest budget or wait: ten years. Longer ones are slips, and overflow clocks.
pub const LONGEST_S: u64 = 10 * 365 * 86_400;

/// What is asked of a run.
#[derive(Debug, Clone, Default, Args)]
pub struct WhatFlags {
    /// Only this stream; may be given several times
    #[arg(long = "stream", value_name = "NAME", help_heading = "What to load")]
    pub streams: Vec<String>,
    /// Load everything again, whatever was loaded before
    #[arg(long, help_heading = "What to load")]
    pub full_refresh: bool,
    /// Only rows with this cursor or a higher one; never moves state
    #[arg(long, value_name = "CURSOR", help_heading = "What to load")]
    pub from: Option<String>,
    /// Only rows with a lower cursor; never moves state
    #[arg(long, value_name = "CURSOR", help_heading = "What to load")]
    pub to: Option<String>,
    /// At most this many rows of each stream; never moves state
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "What to load")]
    pub limit: Option<u64>,
    /// The run's id instead of a fresh one; an id that has already finished is not run again
    #[arg(long, value_name = "ID", help_heading = "How to run")]
    pub run_id: Option<String>,
    /// Time budget, such as 90s, 10m or 1h30m: the run ends on a commit once it is used up
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "How to run")]
    pub timeout: Option<Duration>,
    /// Wait this many seconds for another run of the connection to end, instead of giving up at once
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=LONGEST_S), help_heading = "How to run")]
    pub wait_lock: Option<u64>,
}

impl WhatFlags {
    /// The same, as the engine takes it.
    pub fn options(&self) -> Options {
        Options {
            streams: self.streams.clone(),
            full_refresh: self.full_refresh,
            from: self.from.clone(),
            to: self.to.clone(),
            limit: self.limit,
            run_id: self.run_id.clone(),
            timeout: self.timeout,
            wait_lock: self.wait_lock.map(Duration::from_secs),
        }
    }
}

/// Reads a duration: numbers with a unit (`ms`, `s`, `m`, `h`, `d`), one after another.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number with a unit, such as 90s, 10m or 1h30m".to_owned();
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().map_err(|_| wrong())?.checked_mul(unit);
        total = part.and_then(|part| total.checked_add(part)).ok_or("that is longer than ten years")?;
        rest = after;
    }
    match total {
        0 if text.trim().is_empty() => Err(wrong()),
        0 => Err("a duration is more than nothing".to_owned()),
        _ if total > LONGEST_S * 1_000 => Err("that is longer than ten years".to_owned()),
        _ => Ok(Duration::from_millis(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let read = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("90s"), Ok(90_000));
        assert_eq!(read("10m"), Ok(600_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("2d"), Ok(172_800_000));
        for wrong in
            ["", "90", "s", "-1s", "1.5s", "1x", "1s 2", "10 m", "0s", "99999999999999999999s", "9999d", "é"]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
