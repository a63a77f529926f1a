//! Which streams a command means: names, or patterns of them.

use waybill_protocol::{Error, Kind, Result};

use crate::cli::connection::glob::{fits, is_pattern};
use crate::store::nearest::did_you_mean;

/// The names, where only names were given: then nothing else needs to be looked at.
pub(super) fn names_of(wanted: &[String]) -> Vec<String> {
    if wanted.iter().any(|text| is_pattern(text)) { Vec::new() } else { wanted.to_vec() }
}

/// Those of the streams that are wanted; all where nothing is. A pattern that means none is refused.
pub(super) fn chosen<T>(
    connection: &str,
    all: Vec<T>,
    wanted: &[String],
    name: impl Fn(&T) -> &str,
) -> Result<Vec<T>> {
    let names: Vec<&str> = all.iter().map(&name).collect();
    if let Some(glob) = wanted.iter().find(|glob| !names.iter().any(|name| fits(glob, name))) {
        let near = did_you_mean(glob, names.iter().copied());
        return Err(Error::new(Kind::NotFound, format!("{connection} has no stream {glob:?}{near}"))
            .hint(format!("it has: {}", names.join(", "))));
    }
    let is_wanted = |item: &T| wanted.is_empty() || wanted.iter().any(|glob| fits(glob, name(item)));
    Ok(all.into_iter().filter(is_wanted).collect())
}
