//! Numbers as people read them.

/// A count in groups of three digits, from a million on in short: `41 200`, `1.2 M`.
pub fn count(number: u64) -> String {
    match number {
        0..1_000_000 => grouped(number),
        1_000_000..1_000_000_000 => format!("{} M", short(number, 1_000_000)),
        _ => format!("{} bn", short(number, 1_000_000_000)),
    }
}

/// A count with its noun: `1 row`, `41 200 rows`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes with a decimal unit: `812 B`, `3.4 MB`.
pub fn bytes(number: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{} {unit}", short(number, size)),
        None => format!("{number} B"),
    }
}

/// A rate, rounded to a whole number of units.
pub fn per_second(rate: f64, unit: fn(u64) -> String) -> String {
    // A rate is never negative, and a float saturates when it is cast.
    format!("{}/s", unit(rate.round() as u64))
}

/// A duration: `850 ms`, `4.2 s`, `2 m 13 s`, `1 h 04 m`, `2 d 03 h`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A moment of a run: `0.007`, `1:05.123`, `2:01:05.123`.
pub fn clock(ms: u64) -> String {
    let (seconds, fraction) = (ms / 1000, ms % 1000);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (h, m) {
        (0, 0) => format!("{s}.{fraction:03}"),
        (0, m) => format!("{m}:{s:02}.{fraction:03}"),
        (h, m) => format!("{h}:{m:02}:{s:02}.{fraction:03}"),
    }
}

/// Three digits at most: `1.2`, `34.5`, `340`; cut, not rounded, so that nothing looks reached
/// before it is.
fn short(number: u64, unit: u64) -> String {
    let whole = number / unit;
    if whole >= 100 { whole.to_string() } else { format!("{whole}.{}", number % unit / (unit / 10)) }
}

fn grouped(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{} {:03}", grouped(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 999, 41_200, 999_999, 1_234_567, 12_345_678, 999_999_999, 1_200_000_000, u64::MAX];
        assert_eq!(
            counts.map(count),
            ["0", "999", "41 200", "999 999", "1.2 M", "12.3 M", "999 M", "1.2 bn", "18446744073 bn"]
        );
        assert_eq!(counted(1, "row") + &counted(2_005, "row"), "1 row2 005 rows");
        assert_eq!(
            [999, 1_000, 3_450_000, 340_000_000, 2_000_000_000_000].map(bytes),
            ["999 B", "1.0 kB", "3.4 MB", "340 MB", "2.0 TB"]
        );
        assert_eq!(
            [7, 4_250, 133_000, 3_840_000, 183_600_000].map(duration),
            ["7 ms", "4.2 s", "2 m 13 s", "1 h 04 m", "2 d 03 h"]
        );
        assert_eq!([7, 65_123, 7_265_123].map(clock), ["0.007", "1:05.123", "2:01:05.123"]);
        assert_eq!(per_second(9_000.4, count), "9 000/s");
        assert_eq!(per_second(f64::INFINITY, bytes), "18446744 TB/s");
    }
}
