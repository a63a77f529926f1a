//! Reading one side of a comparison through the contract: batches, and nothing kept of them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use tokio_util::sync::CancellationToken;
use waybill_protocol::outlet::RUN_BUDGET_BYTES;
use waybill_protocol::{
    Budget, Error, Identity, Kind, Logical, Message, Outlet, Payload, Progress, Result, Source, StreamRead,
    identities,
};

use super::place;
use crate::run::conform::widen;

/// Hands every batch of a stream to `take`; says how many rows could not be read.
pub async fn batches(
    source: &dyn Source,
    read: Arc<StreamRead>,
    progress: &Progress,
    take: &mut (dyn FnMut(RecordBatch) -> Result<()> + Send),
) -> Result<u64> {
    let stream = read.stream.clone();
    let mut rejected = 0u64;
    for slice in source.plan(std::slice::from_ref(&read), progress).await? {
        let stop = CancellationToken::new();
        let (outlet, mut deliveries) = Outlet::new(Budget::new(RUN_BUDGET_BYTES), stop.clone());
        let mut whole = false;
        let taking = async {
            while let Some(delivery) = deliveries.recv().await {
                match delivery.message {
                    Message::Batch { payload: Payload::Arrow(batch), .. } => take(batch)?,
                    Message::Reject(_) => rejected += 1,
                    Message::Complete { .. } => whole = true,
                    Message::Schema { schema, .. } if schema.fields() != read.schema.fields() => {
                        return Err(Error::new(Kind::Schema, "values no longer fit the types of the table")
                            .hint("run the connection: it widens the table, or says what is wrong"));
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        let taking = async {
            let taken = taking.await;
            // A source must not wait for somebody who has gone.
            stop.cancel();
            taken
        };
        let reading = async {
            let done = source.read(&slice, progress, &outlet).await;
            drop(outlet);
            done
        };
        let (done, taken) = tokio::join!(reading, taking);
        taken.map_err(|e| e.stream(&stream))?;
        done.map_err(|e| e.stream(&stream))?;
        if !whole {
            return Err(Error::internal("the read ended without an end").stream(&stream));
        }
    }
    Ok(rejected)
}

/// How the rows of one side become comparable.
pub struct Rows {
    /// Column of a batch → type in which it is compared; in the order of both sides.
    pub columns: Vec<(String, Logical)>,
    /// Places of the key in `columns`; empty where rows have none.
    pub key: Vec<usize>,
    /// The column that windows are cut by, and its type.
    pub axis: Option<(String, Logical)>,
    /// A column whose NULLs are left out: the cursor.
    pub needs: Option<String>,
    /// Columns of a batch, any of which NULL leaves a row out: a key that has to be there.
    pub required: Vec<String>,
}

/// The rows of a batch, ready to be compared.
pub struct Compared {
    /// The columns as they are compared.
    pub batch: RecordBatch,
    /// What the source or table sent, without the rows that are left out.
    pub sent: RecordBatch,
    /// The whole row's identity.
    pub rows: Vec<Identity>,
    /// What tells rows apart: the key's identity, or the row's.
    pub keys: Vec<Identity>,
    /// Places on the axis.
    pub places: Option<Vec<Option<u128>>>,
    /// Rows left out for want of a cursor or a key.
    pub left_out: u64,
}

impl Rows {
    /// Prepares a batch.
    pub fn prepare(&self, sent: &RecordBatch) -> Result<Compared> {
        let before = sent.num_rows();
        let sent = self.complete(sent)?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (name, compared) in &self.columns {
            let (array, from) = column(&sent, name)?;
            arrays.push(plain(widen(&array, from, *compared)?, *compared));
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(sent.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema(), arrays, &options)
            .map_err(|e| Error::internal("columns that make no batch").cause(e))?;
        let rows = identities(&batch, &[])?;
        let keys = if self.key.is_empty() {
            rows.clone()
        } else {
            let names: Vec<String> = self.key.iter().map(usize::to_string).collect();
            identities(&batch, &names)?
        };
        let places = match &self.axis {
            None => None,
            Some((name, as_type)) => {
                let (array, from) = column(&sent, name)?;
                place::places(&widen(&array, from, *as_type)?, *as_type)
            }
        };
        let left_out = (before - sent.num_rows()) as u64;
        Ok(Compared { batch, sent, rows, keys, places, left_out })
    }

    /// Columns are named by their number: both sides have the same, whatever they are called.
    fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().enumerate();
        Arc::new(Schema::new(
            fields.map(|(at, (_, logical))| logical.field(&at.to_string(), true, "")).collect::<Vec<_>>(),
        ))
    }

    /// The rows that can have been loaded.
    fn complete(&self, sent: &RecordBatch) -> Result<RecordBatch> {
        let mut keep: Option<Vec<bool>> = None;
        for name in self.needs.iter().chain(&self.required) {
            let (array, _) = column(sent, name)?;
            if array.null_count() > 0 {
                let keep = keep.get_or_insert_with(|| vec![true; sent.num_rows()]);
                for (row, keep) in keep.iter_mut().enumerate() {
                    *keep &= array.is_valid(row);
                }
            }
        }
        match keep {
            None => Ok(sent.clone()),
            Some(keep) => filtered(sent, keep),
        }
    }
}

/// The rows of a batch that are kept.
pub fn filtered(batch: &RecordBatch, keep: Vec<bool>) -> Result<RecordBatch> {
    arrow_select::filter::filter_record_batch(batch, &BooleanArray::from(keep))
        .map_err(|e| Error::internal("filtering a batch").cause(e))
}

/// A column of a batch with its type.
pub fn column(batch: &RecordBatch, name: &str) -> Result<(ArrayRef, Logical)> {
    let schema = batch.schema_ref();
    let at = schema.index_of(name).map_err(|e| Error::internal(format!("no column {name:?}")).cause(e))?;
    Ok((Arc::clone(batch.column(at)), Logical::of(schema.field(at))?))
}

/// Minus zero is zero and every NaN is one: not every destination can tell them apart.
fn plain(array: ArrayRef, logical: Logical) -> ArrayRef {
    let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
    match logical {
        Logical::Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(one)),
        Logical::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        _ => array,
    }
}
