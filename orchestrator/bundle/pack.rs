//! Writing a bundle: everything is looked through first, and then written at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use waybill_protocol::{Error, Origin, Result};

use super::{Contents, MANIFEST, Manifest, Packed, Part, hex};
use crate::events::gate::Gate;

/// Writes a bundle; an existing file is replaced. A secret in any of its files is an error of kind
/// `internal`, and then nothing is written.
pub fn pack(contents: Contents, path: &Path) -> Result<Manifest> {
    let Contents { mut manifest, files, redactor, published } = contents;
    let gate = Gate::new(&redactor, &published);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refused = |error: io::Error| {
        Error::config(format!("{} cannot be written: {error}", path.display()))
            .origin(Origin::Orchestrator)
            .hint("name another place with -o FILE")
            .cause(error)
    };
    // Logs of runs that go on grow: what is looked at is what is packed.
    let spool = tempfile::tempdir_in(folder).map_err(refused)?;
    let mut copies = Vec::new();
    for (index, (name, part)) in files.into_iter().enumerate() {
        let copy = spool.path().join(index.to_string());
        let (bytes, sha256) =
            spooled(&part, &copy).map_err(|e| refused(e).context(format!("packing {name}")))?;
        let leak = gate.file(&copy).map_err(refused)?.or_else(|| gate.bytes(name.as_bytes()));
        if let Some(leak) = leak {
            return Err(Error::internal(format!(
                "the bundle would hold a secret ({}): it stands in {name}, line {}; nothing was written",
                leak.secret, leak.line
            ))
            .origin(Origin::Orchestrator)
            .hint("change that secret if anybody could read the file, and remove it from there"));
        }
        manifest.files.push(Packed { path: name, bytes, sha256 });
        copies.push(copy);
    }
    let target = tempfile::NamedTempFile::new_in(folder).map_err(refused)?;
    write(target.as_file(), &manifest, &copies).map_err(refused)?;
    target.as_file().sync_all().map_err(refused)?;
    target.persist(path).map_err(|e| refused(e.error))?;
    Ok(manifest)
}

/// Copies a part; its bytes and their hash.
fn spooled(part: &Part, copy: &Path) -> io::Result<(u64, String)> {
    let mut source: Box<dyn Read> = match part {
        Part::File(path) => {
            let file = File::open(path)?;
            // What is appended meanwhile is not part of it.
            let length = file.metadata()?.len();
            Box::new(file.take(length))
        }
        Part::Made(bytes) => Box::new(bytes.as_slice()),
    };
    let (mut target, mut hash, mut total) = (File::create(copy)?, Sha256::new(), 0);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        target.write_all(bytes)?;
        total += read as u64;
    }
    Ok((total, hex(hash)))
}

fn write(target: &File, manifest: &Manifest, copies: &[std::path::PathBuf]) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(io::BufWriter::new(target), Compression::default()));
    let mut says = serde_json::to_vec_pretty(manifest)?;
    says.push(b'\n');
    append(&mut archive, MANIFEST, says.len() as u64, manifest, &mut says.as_slice())?;
    for (file, copy) in manifest.files.iter().zip(copies) {
        append(&mut archive, &file.path, file.bytes, manifest, &mut File::open(copy)?)?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    bytes: u64,
    manifest: &Manifest,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(manifest.created_at.timestamp()).unwrap_or(0));
    archive.append_data(&mut header, name, content)
}
