//! The history of a connection's runs: rows, seconds and rate, and which of them fall out of line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::history::RunEntry;
use crate::summary::RunStatus;
use crate::summary::units::{count, duration, per_second};

/// Version of the answer's form.
pub const TREND_VERSION: u32 = 1;
/// Runs that succeeded, below which nothing can be said to be out of line.
const ENOUGH: usize = 5;
/// Robust standard deviations from the median beyond which a run is out of line.
const FAR: f64 = 3.5;
/// What makes a median absolute deviation comparable to a standard deviation.
const SCALE: f64 = 1.4826;

/// What is measured of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Rows loaded.
    Rows,
    /// Seconds from start to end.
    Seconds,
    /// Rows a second.
    Rate,
}

impl Measure {
    const ALL: [Measure; 3] = [Measure::Rows, Measure::Seconds, Measure::Rate];

    /// The word used on screens.
    pub fn word(self) -> &'static str {
        match self {
            Measure::Rows => "rows",
            Measure::Seconds => "seconds",
            Measure::Rate => "rate",
        }
    }

    /// The least difference from the median that is worth a word.
    fn least(self, median: f64) -> f64 {
        match self {
            Measure::Rows => (median * 0.1).max(10.0),
            Measure::Seconds => (median * 0.1).max(1.0),
            Measure::Rate => (median * 0.1).max(1.0),
        }
    }

    /// A value as people read it.
    pub fn shown(self, value: f64) -> String {
        match self {
            Measure::Rows => count(value.round() as u64),
            Measure::Seconds => duration((value * 1000.0).round() as u64),
            Measure::Rate => per_second(value, count),
        }
    }
}

/// The middle of a measure over the runs that succeeded, and how far they lie from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    /// Runs that it is made from.
    pub runs: usize,
    /// The median.
    pub median: f64,
    /// The median of the distances from it.
    pub mad: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// A measure of a run that is out of line.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Outlier {
    /// Which.
    pub measure: Measure,
    /// How many times the median it is.
    pub times: f64,
    /// In words.
    pub text: String,
}

/// One run of the history.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Sample {
    /// The run.
    pub run_id: String,
    /// When it began: UTC.
    pub started_at: String,
    /// How it stands or ended.
    pub status: RunStatus,
    /// What the process exited with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// Rows loaded.
    pub rows: u64,
    /// Seconds from start to end, or to the last event.
    pub seconds: f64,
    /// Rows a second; absent where it lasted too short to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<f64>,
    /// In what it is out of line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outliers: Vec<Outlier>,
}

/// The history of a connection's runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Trend {
    /// Version of this form.
    pub version: u32,
    /// The connection.
    pub connection: String,
    /// Its runs, oldest first.
    pub runs: Vec<Sample>,
    /// How many ended how: status → runs.
    pub statuses: BTreeMap<String, usize>,
    /// The middle of each measure; absent where too few runs succeeded.
    pub spreads: BTreeMap<String, Spread>,
}

/// The history of `connection`: the newest `limit` of its runs. `entries` are newest first.
pub fn trend(connection: &str, entries: &[RunEntry], limit: usize) -> Trend {
    let newest = entries.iter().filter(|run| run.connection == connection).take(limit);
    let mut runs: Vec<Sample> = newest.map(sample).collect();
    runs.reverse();
    let mut statuses = BTreeMap::new();
    for run in &runs {
        *statuses.entry(run.status.word().to_owned()).or_insert(0) += 1;
    }
    let mut spreads = BTreeMap::new();
    for measure in Measure::ALL {
        if let Some(spread) = spread(&runs, measure) {
            mark(&mut runs, measure, &spread);
            spreads.insert(measure.word().to_owned(), spread);
        }
    }
    Trend { version: TREND_VERSION, connection: connection.to_owned(), runs, statuses, spreads }
}

fn sample(run: &RunEntry) -> Sample {
    let rate = (run.seconds >= 0.1 && run.rows > 0).then(|| run.rows as f64 / run.seconds);
    Sample {
        run_id: run.run_id.clone(),
        started_at: run.started_at.clone(),
        status: run.status,
        exit_code: run.exit_code,
        rows: run.rows,
        seconds: run.seconds,
        rows_per_second: rate.map(|rate| (rate * 10.0).round() / 10.0),
        outliers: Vec::new(),
    }
}

fn value(run: &Sample, measure: Measure) -> Option<f64> {
    match measure {
        _ if run.status != RunStatus::Succeeded => None,
        Measure::Rows => Some(run.rows as f64),
        Measure::Seconds => Some(run.seconds),
        // Of what took no second the rate says more about the start than about the rows.
        Measure::Rate => run.rows_per_second.filter(|_| run.seconds >= 1.0),
    }
}

fn spread(runs: &[Sample], measure: Measure) -> Option<Spread> {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| value(run, measure)).collect();
    if values.len() < ENOUGH {
        return None;
    }
    let middle = median(&mut values);
    let (least, most) = (*values.first()?, *values.last()?);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some(Spread { runs: values.len(), median: middle, mad: median(&mut distances), least, most })
}

/// The median; sorts the values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(odd / 2),
        even => (at(even / 2 - 1) + at(even / 2)) / 2.0,
    }
}

fn mark(runs: &mut [Sample], measure: Measure, spread: &Spread) {
    for run in runs {
        let Some(value) = value(run, measure) else { continue };
        let distance = (value - spread.median).abs();
        // Where most runs are alike the deviation is nothing, and anything would be far.
        let limit = (FAR * SCALE * spread.mad).max(measure.least(spread.median));
        if distance <= limit {
            continue;
        }
        let times = if spread.median > 0.0 { value / spread.median } else { 0.0 };
        let how = match (measure, value > spread.median) {
            (Measure::Rows, true) => "many rows",
            (Measure::Rows, false) => "few rows",
            (Measure::Seconds, true) => "long",
            (Measure::Seconds, false) => "short",
            (Measure::Rate, true) => "fast",
            (Measure::Rate, false) => "slow",
        };
        let text = format!("{how}: {}, usually {}", measure.shown(value), measure.shown(spread.median));
        run.outliers.push(Outlier { measure, times: (times * 100.0).round() / 100.0, text });
    }
}

/// The bars of a sparkline, one a value, and a dot where there is none.
pub fn sparkline(values: &[Option<f64>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = values.iter().flatten();
    let (least, most) = known.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let bar = |value: f64| {
        // What never changes is a line in the middle.
        let share = if most > least { (value - least) / (most - least) } else { 0.5 };
        let at = (share * (BARS.len() - 1) as f64).round() as usize;
        BARS.get(at).copied().unwrap_or('█')
    };
    values.iter().map(|value| value.map_or('·', bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: usize, status: RunStatus, rows: u64, seconds: f64) -> RunEntry {
        RunEntry {
            run_id: format!("r{number}"),
            connection: "c".to_owned(),
            connection_id: "1".to_owned(),
            status,
            presumed: false,
            started_at: format!("2026-01-{:02}T00:00:00Z", number + 1),
            seconds,
            rows,
            exit_code: Some(0),
            host: "h".to_owned(),
            summary_path: None,
            log_path: None,
        }
    }

    fn history(values: &[(u64, f64)]) -> Vec<RunEntry> {
        let runs = values.iter().enumerate();
        runs.map(|(at, (rows, seconds))| run(at, RunStatus::Succeeded, *rows, *seconds)).rev().collect()
    }

    fn marked(trend: &Trend) -> Vec<(String, &'static str)> {
        let outliers = |run: &Sample| {
            run.outliers
                .iter()
                .map(|outlier| (run.run_id.clone(), outlier.measure.word()))
                .collect::<Vec<_>>()
        };
        trend.runs.iter().flat_map(outliers).collect()
    }

    #[test]
    fn one_run_that_is_out_of_line_is_marked_and_does_not_move_the_middle() {
        let values =
            [(1000, 10.0), (1010, 10.2), (990, 9.9), (1005, 10.1), (1000, 95.0), (995, 10.0), (4, 2.0)];
        let trend = trend("c", &history(&values), 20);
        assert_eq!(
            marked(&trend),
            [
                ("r4".to_owned(), "seconds"),
                ("r4".to_owned(), "rate"),
                ("r6".to_owned(), "rows"),
                ("r6".to_owned(), "seconds"),
                ("r6".to_owned(), "rate")
            ]
        );
        assert_eq!(trend.spreads["rows"].median, 1000.0);
        assert_eq!(trend.runs[4].outliers[0].text, "long: 1 m 35 s, usually 10.0 s");
        assert_eq!(trend.runs[6].outliers[0].text, "few rows: 4, usually 1 000");
    }

    #[test]
    fn runs_that_are_all_alike_or_few_have_no_outliers() {
        assert!(marked(&trend("c", &history(&[(5, 0.1); 9]), 20)).is_empty());
        let nearly = [(5, 0.1), (5, 0.1), (5, 0.1), (5, 0.1), (6, 0.9), (5, 0.1)];
        assert!(marked(&trend("c", &history(&nearly), 20)).is_empty(), "a few rows and ms are nothing");
        let few = trend("c", &history(&[(1, 1.0), (1, 1.0), (1000, 100.0)]), 20);
        assert!(marked(&few).is_empty() && few.spreads.is_empty());
        assert!(trend("other", &history(&[(1, 1.0)]), 20).runs.is_empty());
    }

    #[test]
    fn only_the_newest_count_and_what_did_not_succeed_is_no_measure() {
        let mut runs = history(&[(10, 1.0); 8]);
        runs.insert(0, run(9, RunStatus::Failed, 0, 500.0));
        let trend = trend("c", &runs, 6);
        assert_eq!(trend.runs.len(), 6);
        assert_eq!(trend.runs.last().unwrap().run_id, "r9");
        assert_eq!((trend.statuses["succeeded"], trend.statuses["failed"]), (5, 1));
        assert!(marked(&trend).is_empty());
    }

    #[test]
    fn a_sparkline_shows_least_most_and_what_failed() {
        assert_eq!(sparkline(&[Some(0.0), Some(50.0), None, Some(100.0)]), "▁▅·█");
        assert_eq!(sparkline(&[Some(7.0), Some(7.0)]), "▅▅");
        assert_eq!(sparkline(&[]), "");
    }
}
