//! The bytes of one file: limited to the size it had when it was opened, counted, hashed, unpacked.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use waybill_protocol::{Error, Result};

use super::faults;
use super::listing::Found;
use super::options::Compression;

/// What tells whether a file is still the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
    device: u64,
    inode: u64,
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        let mtime = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Stamp { size: meta.size(), mtime, device: meta.dev(), inode: meta.ino() }
    }

    /// The stamp of a file now.
    pub(super) fn now(file: &Found) -> Result<Stamp> {
        std::fs::metadata(&file.path).map(|m| Stamp::of(&m)).map_err(|e| faults::io(&file.shown, e))
    }

    /// The time of change, unless it is so recent that a further change could carry the same one.
    pub(super) fn settled(&self) -> Option<i64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        (self.mtime < now.saturating_sub(2_000_000_000)).then_some(self.mtime)
    }

    /// Fails when the file is not the one that was opened; a file under `growing` may have grown.
    pub(super) fn verify(&self, file: &Found, growing: bool) -> Result<()> {
        let now = Stamp::now(file)?;
        let same_file = (now.device, now.inode) == (self.device, self.inode);
        let same = if growing { same_file && now.size >= self.size } else { now == *self };
        if same { Ok(()) } else { Err(faults::moved(&file.shown)) }
    }
}

/// Counts and hashes what passes.
#[derive(Debug)]
struct Tap {
    file: Take<File>,
    hasher: Option<Sha256>,
    bytes: u64,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let (Some(hasher), Some(chunk)) = (&mut self.hasher, buffer.get(..read)) {
            hasher.update(chunk);
        }
        self.bytes += read as u64;
        Ok(read)
    }
}

enum Way {
    Plain(Tap),
    Gzip(Box<MultiGzDecoder<BufReader<Tap>>>),
}

/// An open file.
pub(super) struct Input {
    way: Way,
    /// Its path for messages.
    pub shown: String,
    /// What it was when it was opened.
    pub stamp: Stamp,
    cancel: CancellationToken,
}

impl Input {
    /// Opens a file at its beginning; `hash` where its digest is wanted.
    pub(super) fn open(
        file: &Found,
        packing: Compression,
        hash: bool,
        cancel: &CancellationToken,
    ) -> Result<Input> {
        let (handle, stamp) = open_regular(file)?;
        let gzip = is_gzip(&handle, &file.path, packing).map_err(|e| faults::io(&file.shown, e))?;
        let hasher = hash.then(Sha256::new);
        let tap = Tap { file: handle.take(stamp.size), hasher, bytes: 0 };
        let way = if gzip {
            Way::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(256 << 10, tap))))
        } else {
            Way::Plain(tap)
        };
        Ok(Input { way, shown: file.shown.clone(), stamp, cancel: cancel.clone() })
    }

    /// Opens a file that is not packed behind its first `from` bytes, whose hash is `prefix`.
    pub(super) fn open_at(
        file: &Found,
        from: u64,
        prefix: Sha256,
        cancel: &CancellationToken,
    ) -> Result<Input> {
        let (mut handle, stamp) = open_regular(file)?;
        handle.seek(SeekFrom::Start(from)).map_err(|e| faults::io(&file.shown, e))?;
        let rest = handle.take(stamp.size.saturating_sub(from));
        let tap = Tap { file: rest, hasher: Some(prefix), bytes: 0 };
        Ok(Input { way: Way::Plain(tap), shown: file.shown.clone(), stamp, cancel: cancel.clone() })
    }

    /// Whether it is unpacked on the way.
    pub(super) fn packed(&self) -> bool {
        matches!(self.way, Way::Gzip(_))
    }

    fn tap(&self) -> &Tap {
        match &self.way {
            Way::Plain(tap) => tap,
            Way::Gzip(decoder) => decoder.get_ref().get_ref(),
        }
    }

    /// Bytes on disk that were read.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.tap().bytes
    }

    /// Digest of the bytes on disk that were read, and of the prefix before them.
    pub(super) fn digest(&self) -> Option<String> {
        self.tap().hasher.clone().map(hex)
    }

    /// Fills `buffer` unless the end comes first; says how far.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let read = match &mut self.way {
                Way::Plain(tap) => tap.read(rest),
                Way::Gzip(decoder) => decoder.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(faults::content(&self.shown, self.packed(), e)),
            }
        }
        Ok(filled)
    }
}

fn open_regular(file: &Found) -> Result<(File, Stamp)> {
    let handle = File::open(&file.path).map_err(|e| faults::io(&file.shown, e))?;
    let meta = handle.metadata().map_err(|e| faults::io(&file.shown, e))?;
    if meta.is_dir() {
        return Err(faults::io(&file.shown, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok((handle, Stamp::of(&meta)))
}

fn is_gzip(mut handle: &File, path: &Path, packing: Compression) -> io::Result<bool> {
    match packing {
        Compression::None => Ok(false),
        Compression::Gzip => Ok(true),
        Compression::Auto if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) => Ok(true),
        Compression::Auto => {
            let mut magic = [0u8; 2];
            let gzip = match handle.read_exact(&mut magic) {
                Ok(()) => magic == [0x1f, 0x8b],
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => false,
                Err(e) => return Err(e),
            };
            handle.seek(SeekFrom::Start(0))?;
            Ok(gzip)
        }
    }
}

/// Hashes the first `bytes` of a file as they are on disk; `None` where there are fewer.
pub(super) fn hash_prefix(file: &Found, bytes: u64, cancel: &CancellationToken) -> Result<Option<Sha256>> {
    let (handle, _) = open_regular(file)?;
    let mut rest = handle.take(bytes);
    let (mut hasher, mut seen) = (Sha256::new(), 0u64);
    let mut buffer = vec![0u8; 256 << 10];
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        match rest.read(&mut buffer) {
            Ok(0) => return Ok((seen == bytes).then_some(hasher)),
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or_default());
                seen += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(faults::io(&file.shown, e)),
        }
    }
}

/// A finished hash as hex digits.
pub(super) fn hex(hasher: Sha256) -> String {
    format!("{:x}", hasher.finalize())
}
