//! Counters that outlive the process: how often each thing happened, over all runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use waybill_protocol::{Error, Result};

/// The counters beside a script.
pub(super) struct Tally {
    path: Option<PathBuf>,
    counts: Mutex<Option<BTreeMap<String, u64>>>,
}

impl Tally {
    /// The counters of a script; without one they live as long as the session.
    pub(super) fn of(script: Option<&Path>) -> Tally {
        let path = script.map(|script| {
            let mut name = script.as_os_str().to_owned();
            name.push(".count");
            PathBuf::from(name)
        });
        Tally { path, counts: Mutex::default() }
    }

    /// Counts one more, on disk before it happens; the first is 1.
    pub(super) fn next(&self, key: &str) -> Result<u64> {
        let mut slot = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = match &mut *slot {
            Some(counts) => counts,
            empty => empty.insert(self.load()?),
        };
        let count = counts.entry(key.to_owned()).or_default();
        *count += 1;
        let count = *count;
        if let Some(path) = &self.path {
            // A new file each time: a process that is killed leaves the old one or the new one.
            let fresh = path.with_extension("fresh");
            let text = serde_json::to_vec(counts).map_err(|e| failed(path).cause(e))?;
            let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
            written.map_err(|e| failed(path).cause(e))?;
        }
        Ok(count)
    }

    fn load(&self) -> Result<BTreeMap<String, u64>> {
        let Some(path) = self.path.as_ref().filter(|path| path.exists()) else { return Ok(BTreeMap::new()) };
        let text = std::fs::read(path).map_err(|e| failed(path).cause(e))?;
        serde_json::from_slice(&text).map_err(|e| failed(path).cause(e))
    }
}

fn failed(path: &Path) -> Error {
    Error::config(format!("the counters {} cannot be kept", path.display()))
}
