//! Finding the one run that a person means.

use waybill_protocol::{Error, Kind, Origin, Result};

use super::{Archive, Query, RunEntry};

/// Candidates that an ambiguous answer names.
const NAMED: usize = 5;

impl Archive<'_> {
    /// The run that `query` means: `last` or `-1` (`-2`: the one before), a run id, the name of a
    /// connection (its newest run), or the beginning or end of a run id that no other run has.
    pub fn resolve(&self, query: &str) -> Result<RunEntry> {
        let query = query.trim();
        let back = match query {
            "last" => Some(1),
            _ => query.strip_prefix('-').and_then(|number| number.parse::<usize>().ok()).filter(|n| *n > 0),
        };
        if let Some(back) = back {
            let mut runs = self.list(Some(back))?;
            return match runs.len() {
                count if count == back => runs.pop().ok_or_else(|| none(query)),
                0 => Err(none(query)),
                count => Err(not_found(format!("there are only {count} runs"))),
            };
        }
        // Names of files tell both; only what begins or ends an id needs a look at all runs.
        let by_id = Query { run_id: Some(query.to_owned()), ..Query::default() };
        let by_name = Query { connections: vec![query.to_owned()], ..Query::default() };
        for wanted in [by_id, by_name] {
            if let Some(run) = self.find(&Query { limit: Some(1), ..wanted })?.pop() {
                return Ok(run);
            }
        }
        let runs = self.list(None)?;
        for fits in [begins, ends] {
            let mut candidates: Vec<&RunEntry> = runs.iter().filter(|run| fits(&run.run_id, query)).collect();
            // Runs that share an id, since the first was killed, are one to a person: the newest is meant.
            let mut known = std::collections::HashSet::new();
            candidates.retain(|run| known.insert(&run.run_id));
            match candidates.as_slice() {
                [] => {}
                [run] => return Ok((*run).clone()),
                several => return Err(ambiguous(query, several)),
            }
        }
        Err(none(query))
    }
}

fn begins(run_id: &str, query: &str) -> bool {
    !query.is_empty() && run_id.starts_with(query)
}

fn ends(run_id: &str, query: &str) -> bool {
    query.len() >= 4 && run_id.ends_with(query)
}

fn not_found(message: String) -> Error {
    Error::new(Kind::NotFound, message).origin(Origin::Orchestrator).hint("waybill runs list shows them")
}

fn none(query: &str) -> Error {
    not_found(format!(
        "no run is meant by {query:?}: it is neither a run's id or its beginning, nor a connection with runs"
    ))
}

fn ambiguous(query: &str, candidates: &[&RunEntry]) -> Error {
    let mut named: Vec<String> = candidates
        .iter()
        .take(NAMED)
        .map(|run| format!("{} ({}, {}, {})", run.run_id, run.connection, run.started_at, run.status.word()))
        .collect();
    if candidates.len() > NAMED {
        named.push(format!("{} more", candidates.len() - NAMED));
    }
    Error::new(
        Kind::NotFound,
        format!("{query:?} could mean {} runs: {}", candidates.len(), named.join("; ")),
    )
    .origin(Origin::Orchestrator)
    .hint("give more of the id")
}
