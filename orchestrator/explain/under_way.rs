//! What a run that goes on is doing, and for how long.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use waybill_protocol::event::Phase;

use super::trail::{Track, Trail};
use crate::events::render::visible;
use crate::summary::Summary;
use crate::summary::units::{counted, duration, per_second};

/// How long ago a lock may have been waited for, so that it may still be.
const STILL: u64 = 2_000;
/// Things that are named.
const NAMED: usize = 12;

/// What kind of thing is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It waits for a lock of somebody else.
    Lock,
    /// It waits before another attempt.
    Wait,
    /// A query runs.
    Query,
    /// A stream is being loaded.
    Stream,
    /// A step of the run goes on.
    Step,
}

/// One thing that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct UnderWay {
    /// What kind of thing.
    pub doing: Doing,
    /// In words.
    pub text: String,
    /// For how long, milliseconds.
    pub ms: u64,
    /// Its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The step of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The query, the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What is under way `now`, the most telling first. `over`: the run is over, and this is what it was
/// doing when its log broke off.
pub(super) fn under_way(summary: &Summary, trail: &Trail, now: Option<DateTime<Utc>>) -> Vec<UnderWay> {
    let now_ms = now_ms(trail, now);
    let mut found = Vec::new();
    for moment in trail.under_way() {
        let ms = now_ms.saturating_sub(moment.t_ms);
        let (doing, text) = match moment.event.as_str() {
            "query.started" => {
                (Doing::Query, format!("query {:?} runs for {}", moment.message, duration(ms)))
            }
            "stream.started" => {
                let stream = moment.stream.as_deref();
                (Doing::Stream, stream_text(summary, trail.of(stream), stream, ms, now_ms))
            }
            "phase.started" => {
                let phase = moment.phase.map_or("a step", waybill_protocol::event::Phase::word);
                (Doing::Step, format!("phase {phase} for {}", duration(ms)))
            }
            _ => (
                Doing::Step,
                format!("{} for {}", visible(moment.message.trim_end_matches(" …")), duration(ms)),
            ),
        };
        let (stream, phase, detail) = (moment.stream, moment.phase, moment.detail);
        found.push(UnderWay { doing, text, ms, stream, phase, detail });
    }
    let queries: Vec<u64> = found.iter().filter(|w| w.doing == Doing::Query).map(|w| w.ms).collect();
    let streams: Vec<String> = summary.stats.streams.keys().cloned().collect();
    let tracks = streams.iter().map(|stream| (Some(stream.clone()), trail.of(Some(stream))));
    for (stream, track) in tracks.chain([(None, Some(&trail.run))]) {
        let Some(track) = track else { continue };
        found.extend(blocked(track, stream.clone(), now_ms, &queries));
        found.extend(waits(track, stream, now_ms));
    }
    // The longest of a kind tells most, of what stands within each other the innermost.
    found.sort_by_key(|way| (way.doing, std::cmp::Reverse(way.ms)));
    found.truncate(NAMED);
    found
}

/// Milliseconds since the start of the run, now.
fn now_ms(trail: &Trail, now: Option<DateTime<Utc>>) -> u64 {
    let age = now.zip(trail.last_at()).and_then(|(now, last)| (now - last).to_std().ok());
    trail.last_ms.saturating_add(age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(0)))
}

fn stream_text(
    summary: &Summary,
    track: Option<&Track>,
    stream: Option<&str>,
    ms: u64,
    now_ms: u64,
) -> String {
    let name = visible(stream.unwrap_or_default());
    let committed =
        summary.progress_counts.get(stream.unwrap_or_default()).map_or(0, |known| known.rows_loaded);
    let Some((at, counts)) = track.and_then(Track::progress) else {
        return format!("loading {name} for {}: {} committed", duration(ms), counted(committed, "row"));
    };
    let since = now_ms.saturating_sub(at);
    let seconds = ms.saturating_sub(since) as f64 / 1000.0;
    let rate = match seconds > 0.0 {
        true => format!(", {}", per_second(counts.rows_read as f64 / seconds, |n| counted(n, "row"))),
        false => String::new(),
    };
    format!(
        "loading {name} for {}: {} read{rate}, {} committed, last progress {} ago",
        duration(ms),
        counted(counts.rows_read, "row"),
        crate::summary::units::count(committed.max(counts.rows_loaded)),
        duration(since)
    )
}

/// A wait for a lock that may still go on: what waits is a query that is as old, or it was said a
/// moment ago.
fn blocked(track: &Track, stream: Option<String>, now_ms: u64, queries: &[u64]) -> Option<UnderWay> {
    let (moment, lock, waited) = track.blocked.as_ref()?;
    let age = now_ms.saturating_sub(moment.t_ms);
    let ms = waited.saturating_add(age);
    let good = track.last_good().is_some_and(|good| good.seq > moment.seq);
    let over = moment.message.starts_with("waited ");
    let still = age < STILL || queries.iter().any(|query| query.saturating_add(500) >= ms);
    (still && !good && !over).then(|| UnderWay {
        doing: Doing::Lock,
        text: format!("waiting {} for {}", duration(ms), visible(lock)),
        ms,
        stream: stream.or_else(|| moment.stream.clone()),
        phase: moment.phase,
        detail: Some(moment.message.clone()),
    })
}

fn waits(track: &Track, stream: Option<String>, now_ms: u64) -> Option<UnderWay> {
    let (moment, until) = track.waits.as_ref().filter(|(_, until)| *until > now_ms)?;
    let ms = now_ms.saturating_sub(moment.t_ms);
    let why = track.recent.iter().rev().find(|moment| moment.event == "stream.attempt_failed");
    let why = why.map(|failed| format!(" after: {}", visible(&failed.message))).unwrap_or_default();
    Some(UnderWay {
        doing: Doing::Wait,
        text: format!("waiting {} more before another attempt{why}", duration(until - now_ms)),
        ms,
        stream,
        phase: moment.phase,
        detail: Some(moment.message.clone()),
    })
}
