//! Which files a path or a glob means, in order.

use std::path::{Path, PathBuf};
use std::{fs, io};

use glob::{MatchOptions, Pattern, glob_with};
use waybill_protocol::{Error, Kind, Result};

use super::faults;
use super::options::format_of;

/// One file of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Its path from the glob's fixed folder: its key in the ledger, and `_file`.
    pub rel: String,
    /// Its path as a person reaches it from the root, for messages.
    pub shown: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The files of `pattern` below `root`, in the order of their paths. None at all is an error.
pub(super) fn find(root: &Path, pattern: &str) -> Result<Vec<Found>> {
    let literal = root.join(pattern);
    // A file whose own name holds `[` or `*` is meant literally.
    if !is_glob(pattern) || fs::symlink_metadata(&literal).is_ok() {
        let name = literal.file_name().unwrap_or(literal.as_os_str());
        let rel = text(Path::new(name), pattern)?;
        regular(&literal, pattern)?;
        return Ok(vec![Found { rel, shown: pattern.to_owned(), path: literal }]);
    }
    let fixed: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !is_glob(&part.as_os_str().to_string_lossy()))
        .collect();
    let rest = Path::new(pattern).strip_prefix(&fixed).unwrap_or(Path::new(pattern));
    let base = root.join(&fixed);
    let whole = format!("{}/{}", Pattern::escape(&text(&base, pattern)?), text(rest, pattern)?);
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let matches = glob_with(&whole, options)
        .map_err(|e| Error::config(format!("path: {pattern:?} is no glob: {}", e.msg)))?;
    let mut found = Vec::new();
    for path in matches {
        let path = path.map_err(|e| faults::io(&e.path().display().to_string(), e.into()))?;
        if path.is_dir() {
            continue;
        }
        let inner = path.strip_prefix(&base).unwrap_or(&path);
        let rel = text(inner, pattern)?;
        let shown = text(&fixed.join(inner), pattern)?;
        regular(&path, &shown)?;
        found.push(Found { rel, shown, path });
    }
    if found.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no file matches {pattern:?}"))
            .hint(format!("look into {}, or change the stream's path", base.display())));
    }
    found.sort();
    Ok(found)
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn text(path: &Path, pattern: &str) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::data(format!("{pattern}: the name {:?} is not UTF-8", path.to_string_lossy()))
            .hint("rename the file")
    })
}

/// Anything but a file would hang (a pipe) or make no sense (a folder).
fn regular(path: &Path, shown: &str) -> Result<()> {
    let meta = fs::metadata(path).map_err(|e| faults::io(shown, e))?;
    if meta.is_file() {
        return Ok(());
    }
    if meta.is_dir() {
        return Err(faults::io(shown, std::io::Error::from(std::io::ErrorKind::IsADirectory)));
    }
    Err(Error::config(format!("{shown} is no regular file")).hint("copy its content into a file"))
}

/// Every file below `root` whose extension says a format. Hidden ones, links to folders and the
/// folders named in `skip` (directly below the root) are left out.
pub(super) fn walk(root: &Path, skip: &[&str]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let shown = if prefix.is_empty() { root.display().to_string() } else { prefix.clone() };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A folder of somebody else (`lost+found`) does not hide the others.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !prefix.is_empty() => continue,
            Err(e) => return Err(faults::io(&shown, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| faults::io(&shown, e))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| !n.starts_with('.')) else { continue };
            let rel = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(|e| faults::io(&rel, e))?;
            if kind.is_dir() && !skip.contains(&rel.as_str()) {
                folders.push((entry.path(), rel));
            } else if !kind.is_dir() && format_of(name).is_some() && entry.path().is_file() {
                found.push(Found { shown: rel.clone(), rel, path: entry.path() });
            }
        }
    }
    found.sort();
    Ok(found)
}
