//! The artifacts of one date as runs, before more of them is read than has to be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::RunEntry;
use super::brief::summarised;
use super::names::{Logs, Named, named};
use super::query::{Query, began};
use crate::events::{Entry, Line, Reader};

/// A run before anything of it is read.
pub(super) enum Candidate<'a> {
    /// One with a summary.
    Summary { path: &'a PathBuf, name: Option<Named>, log: Option<&'a PathBuf> },
    /// One whose summary had to be read.
    Read(Box<RunEntry>),
    /// A log without a summary: its first line, if that could be read.
    Unended { path: &'a PathBuf, first: Option<Box<Line>> },
}

/// What a look at a candidate's summary gave.
pub(super) enum Looked {
    /// It is none that is asked for.
    Unwanted,
    /// It was read.
    Read(Box<RunEntry>),
    /// There is none, or it cannot be read.
    Nothing,
}

/// From so many on it is worth to have several threads look.
const WORTH: usize = 64;

/// The runs of a date, newest first as far as names tell.
pub(super) fn candidates<'a>(
    logs: &'a BTreeMap<String, PathBuf>,
    summaries: &'a BTreeMap<String, PathBuf>,
) -> Vec<(DateTime<Utc>, Candidate<'a>)> {
    let index = Logs::of(logs);
    let named: Vec<(&PathBuf, Option<Named>)> =
        summaries.iter().map(|(file, path)| (path, named(file))).collect();
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    let fitting: Vec<Vec<&str>> = named
        .iter()
        .map(|(_, name)| name.as_ref().map(|n| index.of_summary(n)).unwrap_or_default())
        .collect();
    fitting.iter().flatten().for_each(|log| *wanted.entry(log).or_default() += 1);
    let (mut found, mut taken) = (Vec::with_capacity(logs.len()), HashSet::new());
    for ((path, name), fitting) in named.into_iter().zip(fitting) {
        let at = name.as_ref().map(|name| name.at);
        let log = match fitting.as_slice() {
            [] => None,
            [log] if wanted.get(log) == Some(&1) => logs.get_key_value(*log),
            // Several could be meant: the summary itself says which.
            _ => None,
        };
        if let (Some(at), true) = (at, log.is_some() || fitting.is_empty()) {
            taken.extend(log.map(|(log, _)| log.clone()));
            found.push((at, Candidate::Summary { path, name, log: log.map(|(_, path)| path) }));
        } else if let Some((log, mut entry)) = summarised(path) {
            entry.log_path = logs.get(&log).cloned();
            taken.insert(log);
            found.push((at.unwrap_or_else(|| began(&entry)), Candidate::Read(Box::new(entry))));
        }
    }
    for (_, path) in logs.iter().filter(|(log, _)| !taken.contains(*log)) {
        let first = first_line(path);
        let at = first.as_ref().map(|line| line.ts).unwrap_or_default();
        found.push((at, Candidate::Unended { path, first }));
    }
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found
}

impl Candidate<'_> {
    /// Reads its summary, where that may be one that is asked for.
    pub(super) fn look(&self, query: &Query) -> Looked {
        match self {
            Candidate::Summary { path, name, .. } => {
                if query.unsummarised || name.as_ref().is_some_and(|name| !query.may_mean(name, path)) {
                    return Looked::Unwanted;
                }
                summarised(path).map_or(Looked::Nothing, |(_, entry)| Looked::Read(Box::new(entry)))
            }
            Candidate::Read(_) if query.unsummarised => Looked::Unwanted,
            Candidate::Read(_) | Candidate::Unended { .. } => Looked::Nothing,
        }
    }
}

/// The results of some work on each, in order; of many by several threads.
pub(super) fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if all.len() < WORTH || threads < 2 {
        return all.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(threads));
        let running: Vec<_> = parts
            .map(|part| (part, scope.spawn(move || part.iter().map(work).collect::<Vec<R>>())))
            .collect();
        // A thread that panicked had its work done here, where the panic is seen for what it is.
        let results = running
            .into_iter()
            .map(|(part, thread)| thread.join().unwrap_or_else(|_| part.iter().map(work).collect()));
        results.flatten().collect()
    })
}

/// The first line of a log, if it can be read.
pub(super) fn first_line(path: &Path) -> Option<Box<Line>> {
    match Reader::open(path).ok()?.next()? {
        Entry::Line(line) => Some(line),
        _ => None,
    }
}
