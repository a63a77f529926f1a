//! `waybill state verify`: whether source and destination have the same rows.

use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_protocol::Result;

use super::streams;
use super::verdict;
use crate::cli::connection::session::{Systems, until_signal};
use crate::cli::next;
use crate::cli::terminal::Terminal;
use crate::run::outlook::outlook;
use crate::store::config::{Connection, LoadedConfig, load};
use crate::store::project::Project;
use crate::verify::{Sessions, StreamReport, Verdict, compare};

/// Exit code where the two sides differ.
const DIFFERS: u8 = 1;

/// Compares source and destination.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these streams; * and ? stand for any characters
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// Into how many windows a stream is cut
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    windows: u16,
}

/// Verifies streams of a connection.
pub(super) async fn verify(terminal: &Terminal, project: &Project, args: VerifyArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let reports = reports(terminal, project, &config, connection, &args, &cancel).await?;
        if terminal.json_wanted() {
            terminal.json(&json!({
                "connection": connection.name,
                "connection_id": connection.id,
                "equal": code(&reports) == 0,
                "streams": reports,
            }))?;
        } else {
            let steps = verdict::next_steps(&connection.name, &reports);
            for (words, why) in steps {
                terminal.note(&format!("\n{why}:\n  {}", next::command(project, &words)));
            }
        }
        Ok(code(&reports))
    };
    until_signal(terminal, &cancel, work).await
}

/// A failed comparison exits as its error does; where nothing could be compared, nothing was shown
/// to be equal.
fn code(reports: &[StreamReport]) -> u8 {
    let failed = reports.iter().find_map(|report| report.error.as_ref());
    let any = |verdict| reports.iter().any(|report| report.verdict == verdict);
    match failed {
        _ if any(Verdict::Differs) => DIFFERS,
        Some(error) => error.exit_code(),
        None if any(Verdict::Equal) => 0,
        None => DIFFERS,
    }
}

async fn reports(
    terminal: &Terminal,
    project: &Project,
    config: &Arc<LoadedConfig>,
    connection: &Connection,
    args: &VerifyArgs,
    cancel: &CancellationToken,
) -> Result<Vec<StreamReport>> {
    let systems = Systems::of(project, config, connection, cancel).await?;
    let (source, destination) = tokio::try_join!(systems.source(), systems.destination())?;
    let only = streams::names_of(&args.stream);
    let looks = outlook(connection, &*source, &*destination, &only).await.map_err(|e| systems.clean(e))?;
    let looks = streams::chosen(&connection.name, looks, &args.stream, |look| &look.selection.name)?;
    // A destination that was never loaded may not be there to be read.
    let loaded = looks.iter().any(|look| look.row.is_some());
    let mirror = if loaded { systems.mirror().await? } else { Arc::clone(&source) };
    let sessions = Sessions { source: &source, destination: &destination, mirror: &mirror };
    let mut reports = Vec::new();
    for look in &looks {
        let mut report = compare(look, &sessions, usize::from(args.windows)).await;
        report.error = report.error.map(|error| systems.clean(crate::run::error_of(&error)).record());
        if !terminal.json_wanted() {
            let gap = if reports.is_empty() { "" } else { "\n" };
            terminal.out(&format!("{gap}{}", verdict::render(terminal, &report)))?;
        }
        reports.push(report);
    }
    source.close().await;
    mirror.close().await;
    destination.close().await;
    systems.warnings().iter().for_each(|warning| terminal.warn(warning));
    Ok(reports)
}
