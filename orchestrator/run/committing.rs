//! One attempt of one slice: making what was sent before a checkpoint durable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use waybill_protocol::{Commit, Error, Level, Patch, Progress, Receipt, Result};

use super::attempt::{Attempt, at_destination, or_at_once};
use super::commit::{self, Sent};
use super::job::{Held, StreamJob};
use super::settle::{Settled, settle};
use super::staged;
use super::window::too_many;

impl Attempt<'_> {
    pub(super) async fn commit(&mut self, patch: &Patch) -> Result<()> {
        let started = Instant::now();
        // Commits of one stream take turns: two slices never overwrite each other's part.
        let turns: Vec<Arc<tokio::sync::Mutex<()>>> =
            self.jobs.values().map(|job| Arc::clone(&job.turn)).collect();
        let mut held = Vec::with_capacity(turns.len());
        for turn in turns {
            held.push(turn.lock_owned().await);
        }
        let (commit, next) = self.prepare_commit(patch)?;
        for job in self.jobs.values().filter(|job| !staged(&job.live().load)) {
            self.run.rejects.before_commit(job)?;
        }
        let mut ready = Ok(());
        let committed = self.writer.commit(&commit);
        let receipt = match or_at_once(self.run, committed).await {
            Ok(receipt) => Some(receipt),
            Err(error) => {
                let error = at_destination(error);
                match or_at_once(self.run, async { Ok(settle(self.run, &commit, &error).await) }).await? {
                    Settled::TookPlace => {
                        // After an error a writer is used again only from its last commit on.
                        ready = self.writer.abort().await.map_err(at_destination);
                        None
                    }
                    Settled::DidNot => {
                        for job in self.jobs.values() {
                            self.run.rejects.again(&job.name)?;
                        }
                        return Err(error);
                    }
                    Settled::Unknown => {
                        // The next attempt starts from what the destination says by then.
                        self.doubt(&commit, started);
                        return Err(error);
                    }
                }
            }
        };
        if let Some(receipt) = &receipt {
            self.compare(receipt)?;
        }
        self.apply(&commit, next, receipt, started).await;
        self.acknowledge().await;
        ready
    }

    fn prepare_commit(&self, patch: &Patch) -> Result<(Commit, BTreeMap<String, Held>)> {
        let mut commit = Commit { id: super::commit_id(), ..Commit::default() };
        let mut next = BTreeMap::new();
        for (name, job) in &self.jobs {
            let rows = self.segments.get(name).map_or(0, |segment| segment.rows);
            let (before, direct) = {
                let live = job.live();
                (live.held.clone(), !staged(&live.load))
            };
            if !job.moves_state {
                next.insert(name.clone(), Held { rows: before.rows + rows, ..before });
                continue;
            }
            let mut patched = commit::patched(job, &before, patch, self.pending.get(name), rows)?;
            if patched.too_large {
                return Err(too_many().stream(name));
            }
            if direct {
                commit::add(&mut commit, job, &mut patched, &self.run.run_id);
            }
            next.insert(name.clone(), patched.held);
        }
        Ok((commit, next))
    }

    /// A row counts as loaded only under a receipt: one that says another number is a fault.
    fn compare(&self, receipt: &Receipt) -> Result<()> {
        for (name, job) in &self.jobs {
            let live = job.live();
            if live.load.upsert {
                continue;
            }
            let sent = self.segments.get(name).map_or(0, |segment| segment.rows);
            if let Some(rows) = receipt.rows.get(name).filter(|rows| **rows != sent) {
                return Err(at_destination(
                    Error::internal(format!(
                        "the destination committed {rows} of {sent} rows of stream {name}"
                    ))
                    .stream(name)
                    .hint(format!(
                        "what table {} holds is not what was sent: `waybill state reset` the stream to load it again",
                        live.load.table
                    )),
                ));
            }
        }
        Ok(())
    }

    /// What was sent of a stream since the last commit.
    fn sent(&mut self, name: &str, commit: &Commit, started: Instant) -> Sent {
        Sent {
            commit_id: commit.id.clone(),
            slice: self.slice.id.clone(),
            attempt: self.number,
            segment: self.segments.remove(name).unwrap_or_default(),
            null_cursors: self.null_cursors.get(name).copied().unwrap_or(0),
            started,
        }
    }

    /// Remembers a commit of which nobody knows whether it took place.
    fn doubt(&mut self, commit: &Commit, started: Instant) {
        for (name, job) in self.jobs.clone() {
            let sent = self.sent(&name, commit, started);
            job.live().unsettled = Some(sent);
        }
    }

    async fn apply(
        &mut self,
        commit: &Commit,
        mut next: BTreeMap<String, Held>,
        receipt: Option<Receipt>,
        started: Instant,
    ) {
        let receipt = match receipt {
            Some(receipt) => receipt,
            None => self.as_stored(commit, &next).await,
        };
        for (name, job) in self.jobs.clone() {
            let sent = self.sent(&name, commit, started);
            let Some(mut held) = next.remove(&name) else { continue };
            held.rows = held.rows.saturating_sub(receipt.gone.get(&name).copied().unwrap_or(0));
            {
                let mut live = job.live();
                live.held = held;
                if let Some(pending) = self.pending.get_mut(&name) {
                    live.held.committed(pending);
                }
                if !staged(&live.load) {
                    live.committed = true;
                    if job.moves_state {
                        live.last_commit = Some(commit.id.clone());
                    }
                }
            }
            commit::durable(self.run, &job, &sent);
        }
        self.run.say_coerced(&receipt.coerced);
    }

    /// What a receipt that was lost would have said, as far as the state rows tell.
    async fn as_stored(&mut self, commit: &Commit, next: &BTreeMap<String, Held>) -> Receipt {
        let mut receipt = Receipt::default();
        // Without an answer the count of rows stays the upper bound that it was.
        let rows = self.run.destination.states().await.unwrap_or_default();
        for (name, held) in next {
            let scope = waybill_protocol::Scope::Stream(name.clone()).to_string();
            let stored = rows.iter().find(|row| row.scope == scope && row.commit_id == commit.id);
            if let Some(stored) = stored {
                receipt.gone.insert(name.clone(), held.rows.saturating_sub(stored.rows));
            }
        }
        receipt
    }

    async fn acknowledge(&mut self) {
        let mut progress = Progress::default();
        self.jobs.values().for_each(|job| job.progress(&mut progress));
        if let Err(error) = self.run.source.acknowledge(&progress).await {
            let message = format!("the source could not be told what is durable: {error}");
            let body = waybill_protocol::Body::Runtime { detail: serde_json::Value::Null };
            self.run.events.emit(Level::Warn, body, message, Some(error.record()));
        }
    }

    /// After the end of every stream: what was left out behind the last commit counts as well.
    pub(super) fn rest(&mut self) -> Result<()> {
        for (name, job) in self.jobs.clone() {
            let segment = self.segments.remove(&name).unwrap_or_default();
            let null_cursors = self.null_cursors.get(&name).copied().unwrap_or(0);
            if !staged(&job.live().load) {
                self.run.rejects.before_commit(&job)?;
            }
            commit::left_out(self.run, &job, &segment, null_cursors)?;
        }
        Ok(())
    }

    pub(super) fn job(&self, stream: &str) -> Result<Arc<StreamJob>> {
        self.jobs
            .get(stream)
            .cloned()
            .ok_or_else(|| Error::internal(format!("no stream {stream} in the slice")))
    }
}
