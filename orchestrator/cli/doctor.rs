//! `waybill doctor`.

use clap::Args;
use tokio_util::sync::CancellationToken;
use waybill_protocol::Result;

use super::connection::session::until_signal;
use super::next;
use super::terminal::Terminal;
use crate::events::render::visible;
use crate::manage::doctor::{Level, Report, examine};
use crate::store::project::Project;
use crate::summary::units::counted;

/// Looks a project over.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Leave sources and destinations out
    #[arg(long)]
    offline: bool,
}

/// Looks at everything, and says what to do about it.
pub async fn doctor(terminal: &Terminal, project: &Project, args: DoctorArgs) -> Result<u8> {
    let cancel = CancellationToken::new();
    let command = |words: &str| next::command(project, words);
    let work = async {
        let report = examine(project, args.offline, &command, &cancel).await;
        if terminal.json_wanted() {
            terminal.json(&report)?;
        } else {
            terminal.out(&render(terminal, &report))?;
        }
        Ok(report.exit_code)
    };
    until_signal(terminal, &cancel, work).await
}

fn render(terminal: &Terminal, report: &Report) -> String {
    let connectors: Vec<String> = report
        .connectors
        .iter()
        .map(|connector| format!("{} ({})", connector.name, connector.roles.join(", ")))
        .collect();
    let mut out =
        format!("waybill {} on {}\nconnectors: {}", report.version, report.platform, connectors.join(", "));
    let mut area = "";
    for finding in &report.findings {
        if finding.area != area {
            area = &finding.area;
            out.push_str(&format!("\n\n{}", terminal.paint("1", area)));
        }
        let mark = match finding.level {
            Level::Ok => terminal.paint("32", "✓"),
            Level::Warning => terminal.paint("33", "!"),
            Level::Error => terminal.paint("31", "✗"),
        };
        out.push_str(&format!("\n  {mark} {}  {}", visible(&finding.what), visible(&finding.detail)));
        if let Some(remedy) = &finding.remedy {
            out.push_str(&format!("\n      {} {}", terminal.paint("36", "→"), visible(remedy)));
        }
    }
    let count = |level: Level| report.findings.iter().filter(|finding| finding.level == level).count() as u64;
    let left_out = if report.offline { "; systems were left out" } else { "" };
    out.push_str(&format!(
        "\n\n{}, {}{left_out}",
        counted(count(Level::Error), "error"),
        counted(count(Level::Warning), "warning")
    ));
    out
}
