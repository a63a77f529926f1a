//! The words of progress: pure functions from where a run stands to a line of text.

use waybill_protocol::event::{Outcome, Phase};

use super::board::{Board, Standing, StreamBoard};
use crate::events::render::visible;
use crate::summary::units::{bytes, count, counted, duration, per_second};

/// Letters of a stream's name that are shown.
const NAME: usize = 40;
/// Cells of a bar.
const CELLS: usize = 20;

/// What a phase does, for people.
fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Load => "starting",
        Phase::Resolve => "resolving secrets",
        Phase::Check => "checking source and destination",
        Phase::Discover => "discovering streams",
        Phase::Plan => "reconciling state and planning",
        Phase::Read => "loading",
        Phase::Publish => "publishing",
        Phase::Merge => "saving state",
        Phase::Summary => "writing the summary",
    }
}

/// The run's own line: connection, step, streams done, warnings.
pub(super) fn run_line(connection: &str, board: &Board) -> String {
    let now = board.phase.map_or("starting", doing);
    let stopping = if board.stopping { "stopping, " } else { "" };
    let mut line = format!("{}: {stopping}{now}", visible(connection));
    let (ended, all) = board.done();
    if all > 1 && board.phase == Some(Phase::Read) {
        line.push_str(&format!(", {ended} of {}", counted(all as u64, "stream")));
    }
    if board.warnings > 0 {
        line.push_str(&format!(" · {}", counted(board.warnings, "warning")));
    }
    line
}

/// A stream's name as it is shown.
pub(super) fn shown(name: &str) -> String {
    let name = visible(name);
    if name.chars().count() <= NAME {
        return name;
    }
    let end: String = name.chars().skip(name.chars().count() + 1 - NAME).collect();
    format!("…{end}")
}

/// A word for how a stream stands, and the colour for it.
pub(super) fn word(stream: &StreamBoard) -> (&'static str, &'static str) {
    match stream.standing {
        Standing::Loading => ("loading", "36"),
        Standing::Retry { .. } => ("waiting", "33"),
        Standing::Ended(Outcome::Succeeded) => ("loaded", "32"),
        Standing::Ended(Outcome::Failed) => ("FAILED", "31"),
        Standing::Ended(Outcome::Cancelled) => ("cancelled", "33"),
        Standing::Ended(Outcome::Interrupted) => ("interrupted", "31"),
    }
}

/// A stream's line: name, state, rows, rates, and a bar where it is known how much there is.
/// `width` is that of the longest name; `paint` gets a colour and a text.
pub(super) fn stream_line(
    stream: &StreamBoard,
    width: usize,
    paint: &dyn Fn(&str, &str) -> String,
) -> String {
    let name = shown(&stream.name);
    let pad = " ".repeat(width.saturating_sub(console::measure_text_width(&name)));
    let (word, colour) = word(stream);
    let mut line = format!("{name}{pad}  {}", paint(colour, &format!("{word:<9}")));
    let rows = rows(stream);
    line.push_str(&format!("  {:>14}", counted(rows, "row")));
    if let Some((rows, volume)) = stream.rates() {
        line.push_str(&format!("  {:>11}  {:>10}", per_second(rows, count), per_second(volume, bytes)));
    }
    line.push_str(&tail(stream));
    line
}

/// Rows read while they are on their way, rows under a receipt once it ended.
fn rows(stream: &StreamBoard) -> u64 {
    match stream.standing {
        Standing::Ended(_) => stream.counts.rows_loaded,
        _ => stream.counts.rows_read,
    }
}

fn tail(stream: &StreamBoard) -> String {
    match (&stream.standing, stream.took_ms, stream.fraction()) {
        (Standing::Retry { attempt, attempts, delay_ms, .. }, ..) => {
            format!("  attempt {attempt} of {attempts} in {}", duration(*delay_ms))
        }
        (_, Some(ms), _) => format!("  {:>8}", duration(ms)),
        (_, None, Some(fraction)) => {
            let full = (fraction * CELLS as f64) as usize;
            let bar = "━".repeat(full) + &"·".repeat(CELLS.saturating_sub(full));
            format!("  {bar} {:>3.0} %", (fraction * 100.0).floor())
        }
        _ => String::new(),
    }
}

/// What a plain progress line says after the stream's name.
pub(super) fn progress_sentence(stream: &StreamBoard) -> String {
    let mut text = format!("{} read", counted(stream.counts.rows_read, "row"));
    if let Some(fraction) = stream.fraction() {
        text.push_str(&format!(" ({:.0} %)", (fraction * 100.0).floor()));
    }
    text.push_str(&format!(
        ", {} committed, {}",
        count(stream.counts.rows_loaded),
        bytes(stream.counts.bytes_read)
    ));
    if let Some((rows, volume)) = stream.rates() {
        text.push_str(&format!(" at {}, {}", per_second(rows, count), per_second(volume, bytes)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Line;

    fn feed(board: &mut Board, t_ms: u64, event: &str, stream: &str, data: &str) {
        let line = format!(
            r#"{{"seq":1,"ts":"2026-01-02T03:04:05Z","t_ms":{t_ms},"event":"{event}","stream":"{stream}","phase":"read","message":"m","data":{data}}}"#
        );
        let line = Line::parse(line.as_bytes()).unwrap();
        assert!(line.body.is_some(), "{event} {data}");
        board.apply(&line);
    }

    fn line(board: &Board) -> String {
        stream_line(board.streams.last().unwrap(), 8, &|_, text| text.to_owned())
    }

    const STARTED: &str =
        r#"{"mode":"full_refresh","write":"overwrite","table":"t","staged":true,"rows_expected":1000}"#;

    #[test]
    fn a_stream_goes_from_bar_to_retry_to_its_end() {
        let mut board = Board::default();
        feed(&mut board, 100, "stream.started", "orders", STARTED);
        assert_eq!(
            line(&board),
            "orders    loading            0 rows  ···················· ".to_owned() + "  0 %"
        );
        feed(
            &mut board,
            1100,
            "stream.progress",
            "orders",
            r#"{"counts":{"rows_read":500,"bytes_read":50000}}"#,
        );
        assert_eq!(
            line(&board),
            "orders    loading          500 rows        500/s   50.0 kB/s  ━━━━━━━━━━··········  50 %"
        );
        // What an estimate got wrong never looks finished.
        feed(&mut board, 1200, "stream.progress", "orders", r#"{"counts":{"rows_read":5000}}"#);
        assert!(line(&board).ends_with("━·  99 %"), "{}", line(&board));
        feed(
            &mut board,
            1300,
            "retry.scheduled",
            "orders",
            r#"{"next_attempt":2,"attempts":4,"delay_ms":1500}"#,
        );
        assert!(line(&board).starts_with("orders    waiting  "), "{}", line(&board));
        assert!(line(&board).ends_with("  attempt 2 of 4 in 1.5 s"), "{}", line(&board));
        feed(
            &mut board,
            4100,
            "stream.finished",
            "orders",
            r#"{"outcome":"succeeded","counts":{"rows_read":5000,"rows_loaded":1000,"bytes_loaded":90000},"ms":4000}"#,
        );
        assert_eq!(line(&board), "orders    loaded         1 000 rows        250/s   22.5 kB/s     4.0 s");
    }

    #[test]
    fn discovery_says_how_much_a_full_refresh_will_read() {
        for (mode, limit, full) in [
            ("full_refresh", "null", Some(0.25)),
            ("full_refresh", "200", Some(0.5)),
            ("incremental", "null", None),
        ] {
            let mut board = Board::default();
            let options = format!(
                r#"{{"version":"","host":"","pid":1,"source":"","destination":"","connection_id":"","config_hash":"","settings":{{}},"options":{{"limit":{limit}}},"artifacts":{{}}}}"#
            );
            feed(&mut board, 0, "run.started", "x", &options);
            let found = r#"{"streams":[{"name":"orders","kind":"table","columns":[],"rows":400}]}"#;
            feed(&mut board, 1, "catalog.discovered", "x", found);
            let started = format!(r#"{{"mode":"{mode}","write":"append","table":"t","staged":false}}"#);
            feed(&mut board, 2, "stream.started", "orders", &started);
            feed(&mut board, 3, "stream.progress", "orders", r#"{"counts":{"rows_read":100}}"#);
            assert_eq!(board.streams[0].fraction(), full, "{mode} {limit}");
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut board = Board::default();
        feed(
            &mut board,
            0,
            "stream.started",
            "s",
            r#"{"mode":"full_refresh","write":"append","table":"t","staged":false}"#,
        );
        for second in 1..=20_u64 {
            let rows = if second <= 10 { second * 1000 } else { 10_000 + (second - 10) * 10 };
            let data = format!(r#"{{"counts":{{"rows_read":{rows}}}}}"#);
            feed(&mut board, second * 1000, "stream.progress", "s", &data);
        }
        let (rows, _) = board.streams[0].rates().unwrap();
        assert_eq!(rows, 10.0);
        assert_eq!(progress_sentence(&board.streams[0]), "10 100 rows read, 0 committed, 0 B at 10/s, 0 B/s");
    }

    #[test]
    fn names_from_data_are_cut_and_cannot_drive_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        let long = shown(&"ä".repeat(300));
        assert_eq!(long.chars().count(), NAME);
        let mut board = Board::default();
        assert_eq!(run_line("crm", &board), "crm: starting");
        feed(&mut board, 1, "phase.started", "x", "{}");
        feed(&mut board, 1, "slice.planned", "x", r#"{"slice":"1","streams":["a","b","c"],"ordered":true}"#);
        feed(&mut board, 2, "stream.started", "a", STARTED);
        board.warnings = 1;
        feed(&mut board, 3, "signal.received", "x", r#"{"signal":"SIGINT","count":1}"#);
        assert_eq!(run_line("crm", &board), "crm: stopping, loading, 0 of 3 streams · 1 warning");
    }
}
