//! A source that follows a script.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use waybill_protocol::event::Body;
use waybill_protocol::{
    Catalog, CatalogStream, Change, Check, Context, CursorCandidate, CursorValue, Error, Message, Outlet,
    Patch, Progress, Reading, Reject, Result, Scope, Slice, Source, StreamRead, StreamSelection, StreamState,
};

use super::faults::Faults;
use super::script::{Operation, ScriptedStream, SourceScript, Step, Ties};
use super::tally::Tally;
use super::{act, rows};

/// A session with a scripted source.
pub(super) struct ScriptedSource {
    ctx: Context,
    script: SourceScript,
    tally: Tally,
    pub(super) faults: Faults,
}

impl ScriptedSource {
    pub(super) fn new(ctx: Context, script: SourceScript, path: PathBuf) -> ScriptedSource {
        // Counters of their own: two that share a file would overwrite each other's.
        let beside = path.with_extension("faults");
        let faults = Faults::new(ctx.clone(), script.faults.clone(), Some(&beside));
        ScriptedSource { ctx, script, tally: Tally::of(Some(&path)), faults }
    }

    fn stream(&self, name: &str) -> Result<&ScriptedStream> {
        let found = self.script.streams.iter().find(|stream| stream.name == name);
        found.ok_or_else(|| Error::config(format!("the script has no stream {name:?}")))
    }

    /// The steps of the slice's next read.
    fn steps(&self, slice: &Slice, stream: &str) -> Result<Vec<Step>> {
        let stream = self.stream(stream)?;
        let own = stream.slices.iter().find(|one| one.id == slice.id);
        let reads = own.map_or(&stream.reads, |one| &one.reads);
        let number = usize::try_from(self.tally.next(&slice.id)?).unwrap_or(usize::MAX);
        let steps = reads.get(number - 1).or(reads.last());
        steps.cloned().ok_or_else(|| Error::config(format!("the script has no reads for {:?}", slice.id)))
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn check(&self) -> Result<Vec<Check>> {
        let found = match &self.script.check {
            Some(failure) => Check::failed("script", &failure.error()),
            None => Check::passed("script", format!("{} streams", self.script.streams.len())),
        };
        self.faults.around(Operation::Check, async { Ok(vec![found]) }).await
    }

    async fn discover(&self, selections: &[StreamSelection]) -> Result<Catalog> {
        self.faults.around(Operation::Discover, async { Ok(()) }).await?;
        if let Some(failure) = &self.script.discover {
            return Err(failure.error());
        }
        let wanted = |stream: &&ScriptedStream| {
            selections.is_empty() || selections.iter().any(|selection| selection.name == stream.name)
        };
        let streams = self.script.streams.iter().filter(wanted).map(describe).collect::<Result<_>>()?;
        Ok(Catalog { identity: self.script.identity.clone(), streams })
    }

    fn infers(&self) -> bool {
        self.script.infers
    }

    async fn plan(&self, streams: &[Arc<StreamRead>], _progress: &Progress) -> Result<Vec<Slice>> {
        self.faults.around(Operation::Plan, async { Ok(()) }).await?;
        let mut slices = Vec::new();
        for read in streams {
            let parts = &self.stream(&read.stream)?.slices;
            if parts.is_empty() {
                slices.push(Slice::whole(Arc::clone(read)));
            }
            slices.extend(parts.iter().map(|part| Slice {
                id: part.id.clone(),
                retry_group: part.retry_group.clone(),
                ..Slice::whole(Arc::clone(read))
            }));
        }
        Ok(slices)
    }

    async fn read(&self, slice: &Slice, progress: &Progress, outlet: &Outlet) -> Result<()> {
        let read = slice.streams.first().ok_or_else(|| Error::internal("a slice without streams"))?;
        let state = progress.streams.get(&read.stream).cloned().unwrap_or_default();
        let mut attempt = Attempt { ctx: &self.ctx, read, state, outlet, schema: Arc::clone(&read.schema) };
        for step in self.steps(slice, &read.stream)? {
            match step {
                Step::Return => return Ok(()),
                step => attempt.follow(step).await?,
            }
        }
        Ok(())
    }

    async fn acknowledge(&self, _progress: &Progress) -> Result<()> {
        self.faults.around(Operation::Acknowledge, async { Ok(()) }).await
    }

    async fn close(&self) {}
}

fn describe(stream: &ScriptedStream) -> Result<CatalogStream> {
    let cursors = stream.cursor.iter().map(|column| CursorCandidate {
        column: column.clone(),
        indexed: true,
        reason: "as scripted".to_owned(),
    });
    Ok(CatalogStream {
        name: stream.name.clone(),
        namespace: None,
        table: stream.name.clone(),
        kind: "script".to_owned(),
        schema: rows::schema(&stream.columns)?,
        primary_key: stream.primary_key.clone(),
        distinct: false,
        cursors: cursors.collect(),
        rows: None,
        bytes: None,
        notes: Vec::new(),
    })
}

/// One read of a slice.
struct Attempt<'a> {
    ctx: &'a Context,
    read: &'a StreamRead,
    state: StreamState,
    outlet: &'a Outlet,
    /// The columns that were sent last.
    schema: SchemaRef,
}

impl Attempt<'_> {
    async fn follow(&mut self, step: Step) -> Result<()> {
        let own = || self.read.stream.clone();
        let message = match step {
            Step::Schema { columns, stream } => {
                if let Some(columns) = columns {
                    self.schema = rows::schema(&columns)?;
                }
                Message::Schema { stream: stream.unwrap_or_else(own), schema: Arc::clone(&self.schema) }
            }
            Step::Rows { from, count, stream } => {
                let batch = rows::generated(&self.schema, from, count)?;
                return self.outlet.batch(&stream.unwrap_or_else(own), batch).await;
            }
            Step::Values { rows, stream } => {
                let batch = rows::given(&self.schema, &rows)?;
                return self.outlet.batch(&stream.unwrap_or_else(own), batch).await;
            }
            Step::Table { from, to, batch, ties } => return self.table(from, to, batch.max(1), &ties).await,
            Step::Checkpoint { floor, data } => {
                let moved = floor.is_some() || data.is_some();
                let state = StreamState { data, ..at(floor, &self.state) };
                Message::Checkpoint { patch: if moved { self.patch(&state) } else { Patch::new() } }
            }
            Step::NextFloor { floor } => {
                Message::NextFloor { stream: own(), floor: Some(CursorValue::Int(floor)) }
            }
            Step::Complete { stream } => Message::Complete { stream: stream.unwrap_or_else(own) },
            Step::Reject { place } => Message::Reject(Reject {
                stream: own(),
                place,
                column: None,
                reason: "rejected as scripted".to_owned(),
                row: serde_json::Value::Null,
            }),
            Step::NullCursors { rows } => Message::NullCursors { stream: own(), rows },
            other => return self.pause(other).await,
        };
        self.outlet.send(message).await
    }

    async fn pause(&self, step: Step) -> Result<()> {
        match step {
            Step::Fail(failure) => return Err(failure.error()),
            Step::Say { message, detail } => self.ctx.events.info(Body::Runtime { detail }, message),
            Step::Output { chunks } => act::output(self.ctx, chunks),
            Step::Panic => act::break_off(),
            Step::Touch { path } => act::touch(&self.ctx.base_dir, &path)?,
            Step::WaitForFile { path } => act::wait_for_file(self.ctx, &path).await?,
            Step::WaitMs { ms } => {
                let until = tokio::time::Instant::now() + std::time::Duration::from_millis(ms);
                let over = || tokio::time::Instant::now() >= until || self.outlet.stopped();
                act::wait_until(self.ctx, over).await?;
            }
            Step::WaitUntilStopped => act::wait_until(self.ctx, || self.outlet.stopped()).await?,
            Step::Hang => act::wait_until(self.ctx, || false).await?,
            _ => return Err(Error::internal("a step that is no pause")),
        }
        Ok(())
    }

    async fn table(&self, from: i64, to: i64, batch: i64, ties: &Ties) -> Result<()> {
        let by_cursor = matches!(self.read.reading, Reading::Cursor { .. });
        let floor = match &self.state.floor {
            Some(CursorValue::Int(floor)) if by_cursor => ties.first(*floor),
            _ => from,
        };
        let mut next = from.max(floor);
        let limit = self.read.limit.map(|rows| i64::try_from(rows).unwrap_or(i64::MAX));
        let to = to.min(limit.map_or(to, |rows| next.saturating_add(rows - 1)));
        while next <= to {
            let count = batch.min(to - next + 1);
            let sent = match &self.read.reading {
                Reading::Cursor { column, .. } if ties.any() => {
                    rows::tied(&self.schema, next, count, ties, column)?
                }
                _ => rows::generated(&self.schema, next, count)?,
            };
            self.outlet.batch(&self.read.stream, sent).await?;
            next += count;
            if by_cursor {
                let moved =
                    limit.is_none().then(|| self.patch(&at(Some(ties.cursor(next - 1)), &self.state)));
                let patch = moved.unwrap_or_default();
                self.outlet.send(Message::Checkpoint { patch }).await?;
            }
        }
        Ok(())
    }

    fn patch(&self, state: &StreamState) -> Patch {
        Patch::from([(Scope::Stream(self.read.stream.clone()), Change::Put(state.to_value()))])
    }
}

/// The state that continues from a floor.
fn at(floor: Option<i64>, before: &StreamState) -> StreamState {
    match floor.map(CursorValue::Int) {
        Some(floor) => {
            StreamState { ceiling: Some(floor.clone()), floor: Some(floor), ..StreamState::default() }
        }
        None => StreamState {
            floor: before.floor.clone(),
            ceiling: before.ceiling.clone(),
            ..StreamState::default()
        },
    }
}
