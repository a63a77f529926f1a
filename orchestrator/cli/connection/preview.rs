//! `waybill connection preview`: the first rows of a stream, read as a run would read them.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use clap::Args;
use tokio_util::sync::CancellationToken;
use waybill_protocol::outlet::RUN_BUDGET_BYTES;
use waybill_protocol::{
    Budget, CatalogStream, Deadlines, Delivery, Error, Kind, Message, Origin, Outlet, Payload, Progress,
    Reject, Result, Source, StreamRead, StreamSelection,
};

use super::discover::nothing;
use super::glob::{fits, is_pattern};
use super::query::{self, Format};
use super::session::{Systems, until_signal};
use crate::cli::terminal::Terminal;
use crate::run::sessions::deadlines;
use crate::store::config::{Connection, load};
use crate::store::project::Project;

/// How often a source may find out that values need wider types.
const WIDER: usize = 100;

/// Shows the first rows of a stream.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// The connection
    #[arg(value_name = "NAME")]
    name: String,
    /// The stream, selected or not
    #[arg(value_name = "STREAM")]
    stream: String,
    /// How many rows
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// How rows are written; --output json is the same as json
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Format>,
}

/// Rows as they were read.
pub(super) struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    pub(super) rejects: Vec<Reject>,
}

/// Previews a stream.
pub(super) async fn preview(terminal: &Terminal, project: &Project, args: PreviewArgs) -> Result<u8> {
    let config = Arc::new(load(project)?);
    let connection = config.connection(&args.name)?;
    let cancel = CancellationToken::new();
    let work = async {
        let systems = Systems::of(project, &config, connection, &cancel).await?.for_a_look();
        let source = systems.source().await?;
        let read = rows(source.as_ref(), connection, &args.stream, args.limit).await;
        cancel.cancel();
        source.close().await;
        show(terminal, &read.map_err(|e| systems.clean(e))?, args.format)?;
        systems.warnings().iter().for_each(|warning| terminal.warn(warning));
        Ok(0)
    };
    until_signal(terminal, &cancel, work).await
}

fn show(terminal: &Terminal, rows: &Rows, format: Option<Format>) -> Result<()> {
    query::show(terminal, rows, format)?;
    for reject in &rows.rejects {
        let column = reject.column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default();
        terminal.warn(&format!("{}{column}: {}", reject.place, reject.reason));
    }
    Ok(())
}

/// The selection that stands for a stream: its own, that of a pattern, or one with every default.
fn selection(connection: &Connection, stream: &str) -> (StreamSelection, bool) {
    let own = connection.streams.iter().find(|s| s.name == stream);
    let pattern = |s: &&StreamSelection| s.query.is_none() && is_pattern(&s.name) && fits(&s.name, stream);
    match own.or_else(|| connection.streams.iter().find(pattern)) {
        Some(found) => (StreamSelection { name: stream.to_owned(), ..found.clone() }, true),
        None => (StreamSelection::named(stream), false),
    }
}

/// Reads the first rows of a stream.
pub(super) async fn rows(
    source: &dyn Source,
    connection: &Connection,
    name: &str,
    limit: u64,
) -> Result<Rows> {
    let limits = deadlines(&connection.policies);
    let (selection, selected) = selection(connection, name);
    let chosen_one = std::slice::from_ref(&selection);
    let stream = match within(limits, connection, source.discover(chosen_one)).await {
        Ok(catalog) => catalog.streams.into_iter().find(|stream| stream.name == name),
        Err(error) if selected || error.kind() != Kind::Config => return Err(error),
        // Some streams cannot be read without settings of their own, such as the path of a file.
        Err(error) if names(source, connection).await?.iter().any(|known| known == name) => {
            return Err(Error::config(format!(
                "stream {name:?} is not selected, and cannot be read by its name alone"
            ))
            .hint(format!("select it in config.json under connection {:?} first", connection.name))
            .cause(error));
        }
        Err(_) => None,
    };
    let Some(stream) = stream else {
        return Err(nothing(name, &names(source, connection).await?));
    };
    let mut schema = chosen(&stream, &selection)?;
    for _ in 0..WIDER {
        let read = Arc::new(StreamRead {
            schema: Arc::clone(&schema),
            limit: Some(limit),
            ..StreamRead::whole(&stream, selection.clone())
        });
        match within(limits, connection, attempt(source, read, limit)).await? {
            Attempt::Wider(wider) => schema = wider,
            Attempt::Rows(rows) => return Ok(rows),
        }
    }
    Err(Error::internal(format!("the types of {name:?} never come to rest")).stream(name))
}

/// Systems know the deadline themselves; those that do not keep it are given up a moment later.
async fn within<T>(
    limits: Deadlines,
    connection: &Connection,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(limits.patience(), work).await.unwrap_or_else(|_| {
        let (seconds, ms) = (limits.query.as_secs_f64(), limits.query.as_millis() * 4);
        let raise = format!("`waybill connection edit {} --set query_timeout_ms={ms}`", connection.name);
        Err(Error::new(Kind::Timeout, format!("query exceeded {seconds}s"))
            .origin(Origin::Source)
            .hint(format!("look at a smaller stream, or let it take longer: {raise}")))
    })
}

/// Every stream that could be meant: selected ones, and what the source has.
async fn names(source: &dyn Source, connection: &Connection) -> Result<Vec<String>> {
    let selected = connection.streams.iter().map(|stream| stream.name.clone());
    let mut names: Vec<String> = selected.collect();
    for stream in source.discover(&[]).await?.streams {
        if !names.contains(&stream.name) {
            names.push(stream.name);
        }
    }
    Ok(names)
}

/// The columns that are selected, in the order of the selection.
fn chosen(stream: &CatalogStream, selection: &StreamSelection) -> Result<SchemaRef> {
    let Some(columns) = &selection.columns else { return Ok(Arc::clone(&stream.schema)) };
    let field = |column: &String| {
        let found = stream.schema.fields().iter().find(|field| field.name() == column);
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = stream.schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::config(format!("stream {} has no column {column:?}", stream.name))
                .hint(format!("its columns are: {}", names.join(", ")))
        })
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

enum Attempt {
    Rows(Rows),
    Wider(SchemaRef),
}

async fn attempt(source: &dyn Source, read: Arc<StreamRead>, limit: u64) -> Result<Attempt> {
    let mut rows = Rows { schema: Arc::clone(&read.schema), batches: Vec::new(), rejects: Vec::new() };
    let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
    let slices = source.plan(std::slice::from_ref(&read), &Progress::default()).await?;
    for slice in &slices {
        let stop = CancellationToken::new();
        let (outlet, mut deliveries) = Outlet::new(Budget::new(RUN_BUDGET_BYTES), stop.clone());
        let take = async {
            while let Some(delivery) = deliveries.recv().await {
                if let Some(wider) = taken(delivery, &mut rows, &mut left) {
                    stop.cancel();
                    return Some(wider);
                }
                if left == 0 {
                    stop.cancel();
                    break;
                }
            }
            None
        };
        let reading = async {
            let done = source.read(slice, &Progress::default(), &outlet).await;
            drop(outlet);
            done
        };
        let (done, wider) = tokio::join!(reading, take);
        if let Some(wider) = wider {
            return Ok(Attempt::Wider(wider));
        }
        match done {
            Err(error) if error.kind() == Kind::Cancelled && left == 0 => {}
            done => done?,
        }
        if left == 0 {
            break;
        }
    }
    Ok(Attempt::Rows(rows))
}

/// Keeps what a delivery brings; a schema other than the one asked for is handed back.
fn taken(delivery: Delivery, rows: &mut Rows, left: &mut usize) -> Option<SchemaRef> {
    match delivery.message {
        Message::Schema { schema, .. } if schema.fields() != rows.schema.fields() => return Some(schema),
        Message::Batch { payload: Payload::Arrow(batch), .. } => {
            let batch = batch.slice(0, batch.num_rows().min(*left));
            *left -= batch.num_rows();
            rows.batches.push(batch);
        }
        Message::Reject(reject) => rows.rejects.push(reject),
        _ => {}
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array};
    use waybill_protocol::Logical;

    /// Sends as a source would that knows nothing of limits.
    async fn sent(messages: Vec<Message>, limit: usize) -> (Rows, usize, Option<SchemaRef>) {
        let (outlet, mut deliveries) = Outlet::new(Budget::new(1 << 20), CancellationToken::new());
        let schema = Arc::new(Schema::new(vec![Logical::Int64.field("id", true, "")]));
        let (mut rows, mut left) = (Rows { schema, batches: vec![], rejects: vec![] }, limit);
        let sending = async move {
            for message in messages {
                outlet.send(message).await.unwrap();
            }
        };
        let taking = async {
            let mut wider = None;
            while let Some(delivery) = deliveries.recv().await {
                wider = wider.or(taken(delivery, &mut rows, &mut left));
            }
            wider
        };
        let ((), wider) = tokio::join!(sending, taking);
        (rows, left, wider)
    }

    fn schema(logical: Logical) -> SchemaRef {
        Arc::new(Schema::new(vec![logical.field("id", true, "")]))
    }

    #[tokio::test]
    async fn more_rows_than_wanted_are_cut_and_a_wider_schema_is_handed_back() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = || RecordBatch::try_new(schema(Logical::Int64), vec![Arc::clone(&ids)]).unwrap();
        let first = Message::Schema { stream: "s".into(), schema: schema(Logical::Int64) };
        let rows = || Message::Batch { stream: "s".into(), payload: Payload::Arrow(batch()) };
        let (kept, left, wider) = sent(vec![first, rows(), rows()], 4).await;
        let counts: Vec<usize> = kept.batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!((counts, left, wider), (vec![3, 1], 0, None));
        let text = schema(Logical::Text);
        let wider = Message::Schema { stream: "s".into(), schema: Arc::clone(&text) };
        assert_eq!(sent(vec![rows(), wider], 4).await.2, Some(text));
    }
}
