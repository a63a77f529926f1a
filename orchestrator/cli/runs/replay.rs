//! `waybill runs replay`.

use std::time::Duration;

use clap::Args;
use waybill_protocol::Result;

use super::archive::{log_of, resolve};
use super::events::unreadable;
use crate::cli::progress;
use crate::cli::run::painted;
use crate::cli::terminal::Terminal;
use crate::events::{Entry, Reader, Reporter};
use crate::history::with_archive;
use crate::store::project::Project;
use crate::summary::units::duration;
use crate::summary::{RunStatus, Summary};

/// A pause that is longer is shortened to it.
const LONGEST: Duration = Duration::from_secs(3);
/// A shortened pause is said from this length of the run's own time on.
const WORTH_SAYING: Duration = Duration::from_secs(5);
/// Exit code of a replay that somebody ended.
const INTERRUPTED: u8 = 130;

/// Shows a run again as it looked live.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A run's id or its beginning or end, `last`, -1 (-2: the one before), or a connection
    #[arg(value_name = "RUN", default_value = "last", allow_hyphen_values = true)]
    run: String,
    /// How many times as fast as it was, such as 10 or 0.5; max: at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed)]
    speed: Speed,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("it is a number above 0, or max".to_owned()),
    }
}

impl Speed {
    /// How long to wait for what came so much later, and whether that is shortened.
    fn pause(self, ms: u64) -> (Duration, bool) {
        let Speed::Times(times) = self else { return (Duration::ZERO, false) };
        let seconds = ms as f64 / 1000.0 / times;
        if seconds > LONGEST.as_secs_f64() {
            (LONGEST, true)
        } else {
            (Duration::from_secs_f64(seconds), false)
        }
    }
}

/// Shows a run again.
pub(super) async fn replay(terminal: &Terminal, project: &Project, args: &ReplayArgs) -> Result<u8> {
    let (entry, log, summary) = with_archive(project, |archive| {
        let entry = resolve(archive, &args.run)?;
        let log = log_of(archive, &entry)?;
        let summary = archive.show(&entry)?;
        Ok((entry, log, summary))
    })?;
    let reader = Reader::open(&log).map_err(|e| unreadable(&log, e))?;
    let mut view = progress::view(terminal, &entry.connection);
    let ended = tokio::select! {
        () = play(terminal, reader, args.speed, view.as_mut()) => true,
        _ = tokio::signal::ctrl_c() => false,
    };
    drop(view);
    if !ended {
        return Ok(INTERRUPTED);
    }
    conclude(terminal, &summary)?;
    Ok(0)
}

/// Hands the lines of a log to a reporter, as far apart as they were.
async fn play(
    terminal: &Terminal,
    entries: impl Iterator<Item = Entry>,
    speed: Speed,
    mut view: Option<&mut Box<dyn Reporter>>,
) {
    let mut at = 0;
    for entry in entries {
        let Entry::Line(line) = entry else {
            terminal.warn("a line of the log cannot be read; it is passed over");
            continue;
        };
        // A beat shows nothing: what is between two of them is one pause.
        if line.event == "run.heartbeat" {
            continue;
        }
        let gap = line.t_ms.saturating_sub(at);
        let (pause, shortened) = speed.pause(gap);
        if shortened && Duration::from_millis(gap) >= WORTH_SAYING {
            terminal.note(&format!("… {} in which nothing was said, shortened", duration(gap)));
        }
        // Also at once, Ctrl-C is heard.
        tokio::time::sleep(pause).await;
        at = line.t_ms.max(at);
        if let Some(view) = view.as_mut() {
            view.line(&line);
        }
    }
}

/// What the run itself said at its end.
fn conclude(terminal: &Terminal, summary: &Summary) -> Result<()> {
    if terminal.json_wanted() {
        return terminal.json(summary);
    }
    terminal.out(&painted(terminal, &summary.report))?;
    if summary.status == RunStatus::Running {
        terminal.note(&format!("\nit goes on: waybill runs events {} --follow", summary.run_id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_as_long_as_they_were_over_the_speed_and_never_long() {
        let ms = |ms| Duration::from_millis(ms);
        assert_eq!(Speed::Times(1.0).pause(2_500), (ms(2_500), false));
        assert_eq!(Speed::Times(10.0).pause(2_500), (ms(250), false));
        assert_eq!(Speed::Times(0.5).pause(1_000), (ms(2_000), false));
        assert_eq!(Speed::Times(1.0).pause(86_400_000), (LONGEST, true));
        assert_eq!(Speed::Times(1e-300).pause(u64::MAX), (LONGEST, true));
        assert_eq!(Speed::Max.pause(86_400_000), (Duration::ZERO, false));
    }

    #[test]
    fn a_speed_is_a_number_above_nothing_or_max() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        for bad in ["0", "-1", "inf", "NaN", "", "fast", "Max"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }
}
