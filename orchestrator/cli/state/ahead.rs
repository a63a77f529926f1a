//! What the next run would do about each stream, as far as both systems can be asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, ErrorRecord, Result, StateRow};

use super::sheet::field;
use super::show::rows;
use crate::cli::connection::session::Systems;
use crate::cli::next::{command, quoted};
use crate::events::render::visible;
use crate::run::outlook::{Outlook, outlook};
use crate::run::reconcile::{Decision, Start};
use crate::store::config::{Connection, LoadedConfig};
use crate::store::project::Project;

/// What the next run would do about a stream.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Next {
    /// The rule of reconciliation, `1` to `6`, or `none`; absent where it would refuse.
    pub(super) rule: Option<String>,
    /// `first`, `continue`, `rebuild` or `refuse`.
    pub(super) decision: &'static str,
    /// In words.
    pub(super) words: String,
    /// Why it would refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<ErrorRecord>,
}

impl Next {
    fn of(decision: &Decision) -> Next {
        let word = match decision.start {
            Start::First => "first",
            Start::Continue(_) => "continue",
            Start::Rebuild => "rebuild",
        };
        Next {
            rule: Some(decision.rule.to_owned()),
            decision: word,
            words: decision.words.clone(),
            error: None,
        }
    }

    fn refused(error: &Error) -> Next {
        let words = error.message().to_owned();
        Next { rule: None, decision: "refuse", words, error: Some(error.record()) }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        match self.rule.as_deref() {
            None => format!("refuses: {}", self.words),
            Some("none") => self.words.clone(),
            Some(rule) => format!("rule {rule}: {}", self.words),
        }
    }
}

/// What the next run does, in lines; the ways on from a refusal as commands that can be copied.
pub(super) fn lines(next: &Next, project: &Project, connection: &str, stream: &str) -> Vec<String> {
    let mut lines = vec![field("next run", &next.text())];
    let hint = next.error.as_ref().and_then(|error| error.hint.as_deref());
    match hint {
        Some(hint) if hint.contains("waybill state accept") => {
            for way in ["accept", "reset"] {
                let words = format!("state {way} {connection} --stream {}", quoted(stream));
                lines.push(format!("{:15}{}", "", command(project, &words)));
            }
        }
        Some(hint) => lines.push(format!("{:15}{}", "", visible(hint))),
        None => {}
    }
    lines
}

/// Both sides of a connection's state, and what comes next.
pub(super) struct Ahead {
    /// Stream → the destination's row.
    pub(super) rows: Result<BTreeMap<String, StateRow>>,
    /// Stream → how it is selected and loaded, what comes next; or why the systems cannot be asked.
    pub(super) looks: Result<BTreeMap<String, Outlook>>,
}

impl Ahead {
    /// Asks both systems. What cannot be reached hides nothing of the other.
    pub(super) async fn of(
        project: &Project,
        config: &Arc<LoadedConfig>,
        connection: &Connection,
        cancel: &CancellationToken,
    ) -> Ahead {
        let rows = rows(project, config, connection, cancel).await;
        let looks = looks(project, config, connection, cancel).await;
        Ahead { rows, looks }
    }

    /// What the next run would do about a stream; `None` where that is not known.
    pub(super) fn next(&self, stream: &str) -> Option<Next> {
        let look = self.looks.as_ref().ok()?.get(stream)?;
        Some(match (&look.found, &look.next) {
            (Err(error), _) | (Ok(_), Some(Err(error))) => Next::refused(error),
            (Ok(_), Some(Ok(decision))) => Next::of(decision),
            (Ok(_), None) => return None,
        })
    }

    /// What could not be asked, and why.
    pub(super) fn unasked(&self) -> Option<&Error> {
        self.rows.as_ref().err().or(self.looks.as_ref().err())
    }
}

async fn looks(
    project: &Project,
    config: &Arc<LoadedConfig>,
    connection: &Connection,
    cancel: &CancellationToken,
) -> Result<BTreeMap<String, Outlook>> {
    let systems = Systems::of(project, config, connection, cancel).await?;
    let destination = systems.destination().await?;
    let source = systems.source().await?;
    let looks = outlook(connection, &*source, &*destination, &[]).await.map_err(|e| systems.clean(e));
    source.close().await;
    destination.close().await;
    Ok(looks?.into_iter().map(|look| (look.selection.name.clone(), look)).collect())
}
