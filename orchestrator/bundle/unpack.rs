//! Reading a bundle: into a folder of its own that goes when it is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use waybill_protocol::{Error, Origin, Result};

use super::{MANIFEST, Manifest, Packed, unusable};
use crate::store::project::{Env, Flags, Project};

/// The most that a bundle may come to: a small file can claim to be a very large one.
const MOST_BYTES: u64 = 64 << 30;
/// The most that a manifest may be.
const MOST_MANIFEST: u64 = 16 << 20;

/// An open bundle.
pub struct Opened {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its files as those of a project, as of when it was made.
    pub project: Project,
    _folder: tempfile::TempDir,
}

/// Opens a bundle. One that was changed, is not whole, or is none is an error of kind `config`.
pub fn open(path: &Path) -> Result<Opened> {
    let folder = tempfile::tempdir().map_err(|e| {
        Error::config(format!("there is no room for the bundle's files: {e}"))
            .origin(Origin::Orchestrator)
            .cause(e)
    })?;
    let file = File::open(path).map_err(|e| unusable(path, e))?;
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let mut entries = archive.entries().map_err(|e| unusable(path, e))?;
    let manifest = match entries.next() {
        Some(Ok(first)) if named(&first).as_deref() == Some(MANIFEST) => manifest(first, path)?,
        Some(Err(error)) => return Err(unusable(path, error)),
        _ => return Err(unusable(path, "it does not begin with a manifest")),
    };
    let mut expected: BTreeMap<&str, &Packed> =
        manifest.files.iter().map(|packed| (packed.path.as_str(), packed)).collect();
    let mut room = MOST_BYTES;
    for entry in entries {
        let entry = entry.map_err(|e| unusable(path, e))?;
        let name =
            named(&entry).ok_or_else(|| unusable(path, "a file in it has a name that leads out of it"))?;
        let packed = expected.remove(name.as_str());
        let packed = packed.ok_or_else(|| unusable(path, format!("{name} is not in its manifest")))?;
        room = room.checked_sub(packed.bytes).ok_or_else(|| unusable(path, "it is too large"))?;
        take(entry, packed, &folder.path().join(&name))
            .map_err(|e| unusable(path, format!("{name}: {e}")))?;
    }
    if let Some(missing) = expected.keys().next() {
        return Err(unusable(path, format!("{missing} is missing")));
    }
    drop(expected);
    // The end of the file is part of it too.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|e| unusable(path, e))?;
    let flags = Flags { project_dir: Some(folder.path().to_owned()), ..Flags::default() };
    let mut project = Project::locate(&flags, Env::default(), folder.path())?;
    project.as_of = Some(manifest.created_at);
    Ok(Opened { manifest, project, _folder: folder })
}

fn manifest(entry: tar::Entry<'_, impl Read>, path: &Path) -> Result<Manifest> {
    let mut text = Vec::new();
    entry.take(MOST_MANIFEST).read_to_end(&mut text).map_err(|e| unusable(path, e))?;
    serde_json::from_slice(&text).map_err(|e| unusable(path, format!("its manifest: {e}")))
}

/// The name of a plain file that stays inside.
fn named(entry: &tar::Entry<'_, impl Read>) -> Option<String> {
    let name = entry.path().ok()?.into_owned();
    let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
    let plain = entry.header().entry_type().is_file();
    (inside && plain).then(|| name.to_str().map(str::to_owned)).flatten()
}

fn take(entry: impl Read, packed: &Packed, target: &Path) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let (mut file, mut hash, mut total) = (File::create(target)?, Sha256::new(), 0);
    // One more than it should have is enough to know.
    let mut entry = entry.take(packed.bytes.saturating_add(1));
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = entry.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        file.write_all(bytes)?;
        total += read as u64;
    }
    match total == packed.bytes && super::hex(hash) == packed.sha256 {
        true => Ok(()),
        false => Err(io::Error::other("it is not what the manifest says: it was changed or cut off")),
    }
}
