//! Going over the rows of both sides: once for the sums, and once more, where these differ, for the
//! rows themselves. Memory is bounded: sums by window and bucket, then the rows of a few buckets.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use tokio::task::JoinSet;
use waybill_protocol::{
    CursorValue, Error, Identity, Logical, Origin, Progress, Result, Source, StreamRead, identities,
};

use super::bins::Bins;
use super::classify::{Entries, Standing};
use super::place;
use super::range::Part;
use super::read::{Compared, Rows, batches, column, filtered};
use super::sums::{Buckets, Sums, bucket};
use crate::run::conform::widen;
use crate::run::cursor_column::CursorColumn;

/// Files that are told apart at most; the others share a window.
const MOST_FILES: usize = 100_000;
/// The name of that window.
const OTHER_FILES: &str = "(other files)";

/// One side of a stream: where its rows come from and how they are compared.
pub struct Side {
    /// The session.
    pub source: Arc<dyn Source>,
    /// The read; each part narrows it.
    pub read: StreamRead,
    /// How rows become comparable.
    pub rows: Rows,
    /// The parts that are read, one after the other.
    pub parts: Vec<Part>,
    /// What the next run would load, by the source's own ledger: not loaded yet.
    pub pending: Option<(Arc<StreamRead>, Progress)>,
    /// The cursor's column, where rows at the edge have to be told from newer ones.
    pub cursor: Option<String>,
    /// Rows beyond this place are newer.
    pub end: Option<u128>,
    /// The column that names each row's file.
    pub file: Option<String>,
    /// Rows that were loaded although they are read again: what an append remembers.
    pub known: Option<Known>,
}

/// The identities that an append remembers.
pub struct Known {
    /// The columns that they cover.
    pub columns: Vec<String>,
    /// The identities.
    pub rows: HashSet<Identity>,
}

/// What one side has.
#[derive(Default)]
pub struct Totals {
    /// All rows in the range.
    pub sums: Sums,
    /// The same by window.
    pub bins: Bins,
    /// The same by file.
    pub files: BTreeMap<String, Sums>,
    /// The same by bucket.
    pub buckets: Buckets,
    /// Rows beyond the range.
    pub newer: u64,
    /// Rows that could not be read.
    pub rejected: u64,
    /// Rows without a cursor or a key.
    pub left_out: u64,
}

/// A batch on its way, with what its part says about it.
struct Batch {
    compared: Compared,
    standings: Vec<Standing>,
    files: Option<Vec<String>>,
    /// Rows that were taken for loaded and are not.
    pending: bool,
}

impl Side {
    /// Goes over all rows once.
    pub async fn totals(&self) -> Result<Totals> {
        let mut totals = Totals::default();
        let mut rejected = 0;
        self.each(&mut rejected, &mut |batch| {
            totals.add(&batch);
            Ok(())
        })
        .await?;
        totals.rejected = rejected;
        Ok(totals)
    }

    /// Goes over the rows once more and keeps those of the chosen buckets.
    pub async fn collect(
        &self,
        chosen: &[bool],
        file_names: &[String],
        is_source: bool,
        entries: &mut Entries,
    ) -> Result<()> {
        let mut rejected = 0;
        self.each(&mut rejected, &mut |batch| self.keep(batch, chosen, file_names, is_source, entries)).await
    }

    async fn each(
        &self,
        rejected: &mut u64,
        take: &mut (dyn FnMut(Batch) -> Result<()> + Send),
    ) -> Result<()> {
        for part in &self.parts {
            let read = StreamRead { from: part.from.clone(), to: part.to.clone(), ..self.read.clone() };
            let mut each = |sent| take(self.prepare(&sent, part.standing, part.edge.as_ref(), false)?);
            *rejected += batches(&*self.source, Arc::new(read), &Progress::default(), &mut each).await?;
        }
        if let Some((read, progress)) = &self.pending {
            let mut each = |sent| take(self.prepare(&sent, Standing::Newer, None, true)?);
            batches(&*self.source, Arc::clone(read), progress, &mut each).await?;
        }
        Ok(())
    }

    fn prepare(
        &self,
        sent: &arrow_array::RecordBatch,
        standing: Standing,
        edge: Option<&CursorValue>,
        pending: bool,
    ) -> Result<Batch> {
        let compared = self.rows.prepare(sent)?;
        let count = compared.sent.num_rows();
        let mut standings = vec![standing; count];
        if let (Some(edge), Some(cursor)) = (edge, &self.cursor) {
            let column = CursorColumn::of(&compared.sent, cursor, false)?;
            for (row, standing) in standings.iter_mut().enumerate() {
                if column.value(row)?.as_ref() != Some(edge) {
                    *standing = Standing::Newer;
                }
            }
        }
        if let (Some(end), Some(places)) = (self.end, &compared.places) {
            for (standing, place) in standings.iter_mut().zip(places) {
                if place.is_some_and(|place| place > end) {
                    *standing = Standing::Newer;
                }
            }
        }
        if let Some(known) = self.known.as_ref().filter(|_| standings.iter().any(|s| *s != Standing::Settled))
        {
            for (standing, row) in standings.iter_mut().zip(identities(&compared.sent, &known.columns)?) {
                if known.rows.contains(&row) {
                    *standing = Standing::Settled;
                }
            }
        }
        let files = match &self.file {
            None => None,
            Some(name) => {
                let (array, logical) = column(&compared.sent, name)?;
                let array = widen(&array, logical, Logical::Text)?;
                let text = array.as_string::<i32>();
                let value = |row| if text.is_valid(row) { text.value(row).to_owned() } else { String::new() };
                Some((0..count).map(value).collect())
            }
        };
        Ok(Batch { compared, standings, files, pending })
    }

    fn keep(
        &self,
        batch: Batch,
        chosen: &[bool],
        file_names: &[String],
        is_source: bool,
        entries: &mut Entries,
    ) -> Result<()> {
        let Batch { compared, standings, files, pending } = batch;
        let mask: Vec<bool> =
            compared.keys.iter().map(|key| chosen.get(bucket(*key)).copied().unwrap_or(false)).collect();
        if !mask.contains(&true) {
            return Ok(());
        }
        let names = self.names(&filtered(&compared.batch, mask.clone())?)?;
        let kept = mask.iter().enumerate().filter(|(_, keep)| **keep).map(|(row, _)| row);
        for (row, name) in kept.zip(names) {
            let (Some(key), Some(hash)) = (compared.keys.get(row), compared.rows.get(row)) else { continue };
            let place = match (&files, &compared.places) {
                (Some(files), _) => {
                    files.get(row).and_then(|file| file_names.binary_search(file).ok()).map(|at| at as u128)
                }
                (None, Some(places)) => places.get(row).copied().flatten(),
                _ => None,
            };
            let standing = standings.get(row).copied().unwrap_or(Standing::Newer);
            let entry = entries.entry(*key).or_default();
            if entry.name.is_empty() {
                entry.name = name;
            }
            match (is_source, pending) {
                (true, true) => entry.waits(*hash),
                (true, false) => entry.source.push((*hash, standing, place)),
                // What lies beyond the range at the destination is not compared.
                (false, _) if standing == Standing::Newer => {}
                (false, _) => entry.destination.push((*hash, place)),
            }
        }
        Ok(())
    }

    /// The keys of the rows as people read them.
    fn names(&self, batch: &arrow_array::RecordBatch) -> Result<Vec<String>> {
        let mut names = vec![String::new(); batch.num_rows()];
        for at in &self.rows.key {
            let Some((column_name, _)) = self.rows.columns.get(*at) else { continue };
            let (array, logical) = column(batch, &at.to_string())?;
            let array = widen(&array, logical, Logical::Text)?;
            let text = array.as_string::<i32>();
            for (row, name) in names.iter_mut().enumerate() {
                if !name.is_empty() {
                    name.push_str(", ");
                }
                let value = if text.is_valid(row) { text.value(row) } else { "NULL" };
                name.push_str(&format!("{column_name}={value}"));
            }
        }
        Ok(names)
    }
}

impl Totals {
    fn add(&mut self, batch: &Batch) {
        let compared = &batch.compared;
        if !batch.pending {
            self.left_out += compared.left_out;
        }
        let rows = compared.rows.iter().zip(&compared.keys).zip(&batch.standings).enumerate();
        for (at, ((row, key), standing)) in rows {
            let place = compared.places.as_ref().and_then(|places| places.get(at).copied().flatten());
            let file = batch.files.as_ref().and_then(|files| files.get(at));
            match (batch.pending, standing) {
                (true, _) => {
                    self.newer += 1;
                    self.count(*row, *key, place, file, Sums::take, Bins::take);
                }
                (false, Standing::Newer) => {
                    self.newer += 1;
                    self.buckets.newer(*key);
                }
                (false, _) => self.count(*row, *key, place, file, Sums::add, Bins::add),
            }
        }
    }

    fn count(
        &mut self,
        row: Identity,
        key: Identity,
        place: Option<u128>,
        file: Option<&String>,
        sums: fn(&mut Sums, Identity),
        bins: fn(&mut Bins, Option<u128>, Identity),
    ) {
        sums(&mut self.sums, row);
        if let Some(bucket) = self.buckets.of(key) {
            sums(bucket, row);
        }
        match file {
            None => bins(&mut self.bins, place, row),
            Some(file) if self.files.contains_key(file) || self.files.len() < MOST_FILES => {
                sums(self.files.entry(file.clone()).or_default(), row);
            }
            Some(_) => sums(self.files.entry(OTHER_FILES.to_owned()).or_default(), row),
        }
    }
}

/// Both sides at once, each on a task of its own; nothing is left running where this is dropped.
pub async fn both(source: &Arc<Side>, destination: &Arc<Side>) -> Result<(Totals, Totals)> {
    let mut tasks = JoinSet::new();
    for (is_source, side) in [(true, source), (false, destination)] {
        let (side, origin) = (Arc::clone(side), if is_source { Origin::Source } else { Origin::Destination });
        tasks.spawn(async move { (is_source, side.totals().await.map_err(|e| e.origin(origin))) });
    }
    let (mut first, mut second) = (None, None);
    while let Some(done) = tasks.join_next().await {
        let (is_source, totals) = done.map_err(|e| Error::internal("a comparison broke off").cause(e))?;
        *(if is_source { &mut first } else { &mut second }) = Some(totals?);
    }
    match (first, second) {
        (Some(source), Some(destination)) => Ok((source, destination)),
        _ => Err(Error::internal("a side without an end")),
    }
}

/// The files of both sides, sorted.
pub fn file_names(source: &Totals, destination: &Totals) -> Vec<String> {
    source
        .files
        .keys()
        .chain(destination.files.keys())
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The place of a cursor beyond which rows are newer, where the order is known here.
pub fn end_of(ceiling: Option<&CursorValue>) -> Option<u128> {
    ceiling.and_then(place::of_cursor)
}
