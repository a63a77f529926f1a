//! PostgreSQL as a source.

mod answer;
mod bound;
mod check;
mod copy;
mod cursor;
mod discover;
mod extent;
mod fence;
mod lone;
mod passage;
mod query;
mod reach;
mod read;
mod relation;
mod select;
mod send;
mod snapshot;
mod split;
#[cfg(test)]
mod tests;
mod value;
mod window;

use std::sync::Arc;

use async_trait::async_trait;
use waybill_protocol::{
    Answer, Catalog, Check, Context, Error, Logical, Outlet, Progress, Reading, Result, Slice, Source,
    StreamRead, StreamSelection, WireForm, WriteMode,
};

use self::split::{Range, Snapshots};
use super::session::Server;
use super::settings::PostgresSettings;

/// Relations that a person may want, as a condition on `pg_class c` and `pg_namespace n`.
pub(super) const ORDINARY: &str = relation::ORDINARY;

/// A person's query as a table of `FROM`, under the name `q`.
pub(super) fn derived(query: &str) -> String {
    query::derived(query)
}

/// Opens a session as a source.
pub(super) async fn open(ctx: Context, settings: &PostgresSettings) -> Result<Box<dyn Source>> {
    Ok(Box::new(PostgresSource {
        server: Server::open(ctx, settings).await?,
        snapshots: Snapshots::default(),
    }))
}

struct PostgresSource {
    server: Arc<Server>,
    snapshots: Snapshots,
}

impl Drop for PostgresSource {
    fn drop(&mut self) {
        self.server.given_up();
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn check(&self) -> Result<Vec<Check>> {
        check::check(&self.server).await
    }

    async fn discover(&self, selections: &[StreamSelection]) -> Result<Catalog> {
        discover::discover(&self.server, selections).await
    }

    fn wire(&self, read: &StreamRead) -> Option<WireForm> {
        select::form(read).filter(|_| self.server.facts().encoding != "SQL_ASCII")
    }

    async fn plan(&self, streams: &[Arc<StreamRead>], _progress: &Progress) -> Result<Vec<Slice>> {
        let slice =
            |read: &Arc<StreamRead>| Slice { ordered: ordered(read), ..Slice::whole(Arc::clone(read)) };
        self.snapshots.plan(&self.server, streams, slice).await
    }

    async fn read(&self, slice: &Slice, progress: &Progress, outlet: &Outlet) -> Result<()> {
        let work = async {
            let range = Range::of(slice)?;
            for stream in &slice.streams {
                let state = progress.streams.get(&stream.stream).cloned().unwrap_or_default();
                let asked = read::Asked { read: stream, state: &state, range: range.as_ref() };
                let begun = async {
                    if let Some(range) = &range {
                        self.snapshots.joined(&slice.id, range).await;
                    }
                };
                let whole = read::read(&self.server, asked, begun, outlet)
                    .await
                    .map_err(|e| e.stream(&stream.stream).origin(self.server.origin()))?;
                if !whole {
                    break;
                }
            }
            Ok(())
        };
        let outcome = tokio::select! {
            biased;
            () = self.server.ctx.cancel.cancelled() => Err(Error::cancelled()),
            outcome = work => outcome,
        };
        if outcome.is_err() {
            self.server.settle().await;
        }
        outcome
    }

    async fn query(&self, sql: &str, limit: u64) -> Result<Answer> {
        let answer = answer::answer(&self.server, sql, limit).await;
        if answer.is_err() {
            self.server.settle().await;
        }
        answer.map_err(|e| e.origin(self.server.origin()))
    }

    async fn close(&self) {
        self.snapshots.close().await;
        self.server.close().await;
    }
}

/// Whether a stream is read in the cursor's order, with checkpoints on the way: not for text,
/// whose order only the server knows, nor where no state will move.
fn ordered(read: &StreamRead) -> bool {
    let by_value = match &read.reading {
        Reading::Cursor { logical, .. } => *logical != Logical::Text,
        _ => false,
    };
    read.ordered && by_value && moves_state(read)
}

/// Whether its rows are added; the default where there is no key.
fn appends(read: &StreamRead) -> bool {
    match read.selection.write {
        Some(write) => write == WriteMode::Append,
        None => read.primary_key.is_empty(),
    }
}

/// Whether reading it moves state.
fn moves_state(read: &StreamRead) -> bool {
    read.from.is_none() && read.to.is_none() && read.limit.is_none()
}
