use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::events::redact::Redactor;

const SECRET: &str = "hunter2/hunter2";

fn contents(files: &[(&str, &[u8])]) -> Contents {
    let redactor = Redactor::new();
    redactor.add_named("sources.c.password", SECRET, None);
    Contents {
        manifest: Manifest {
            version: VERSION,
            run_id: "r1".into(),
            connection: "c".into(),
            status: RunStatus::Failed,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            waybill: "0.1.0".into(),
            files: Vec::new(),
            left_out: vec![],
            secrets: 1,
            secrets_unread: vec![],
        },
        files: files.iter().map(|(name, bytes)| ((*name).to_owned(), Part::Made(bytes.to_vec()))).collect(),
        redactor,
        published: serde_json::Value::Null,
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn bundle(&self) -> PathBuf {
        self.0.path().join("b.tar.gz")
    }

    /// A hand-made archive: its manifest, and entries as they are written.
    fn made(&self, manifest: &Manifest, entries: &[(&str, &[u8], tar::EntryType)]) -> PathBuf {
        let file = std::fs::File::create(self.bundle()).unwrap();
        let mut archive =
            tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::default()));
        let says = serde_json::to_vec(manifest).unwrap();
        let first = [(MANIFEST, says.as_slice(), tar::EntryType::Regular)];
        for (name, bytes, kind) in first.iter().chain(entries) {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append(&header, *bytes).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        self.bundle()
    }
}

#[test]
fn what_is_packed_is_unpacked() {
    let place = Place::new();
    let files: [(&str, &[u8]); 3] =
        [("config.json", b"{}\n"), ("runs/2026-01-02/a.json", b"{\"a\": 1}"), ("empty", b"")];
    let manifest = pack(contents(&files), &place.bundle()).unwrap();
    let opened = open(&place.bundle()).unwrap();
    assert_eq!(opened.manifest, manifest);
    assert_eq!(opened.project.as_of, Some(manifest.created_at));
    for (name, bytes) in files {
        assert_eq!(std::fs::read(opened.project.dir.join(name)).unwrap(), bytes, "{name}");
    }
    let folder = opened.project.dir.clone();
    drop(opened);
    assert!(!folder.exists());
    let left: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "only the bundle: {left:?}");
}

#[test]
fn a_secret_in_any_file_or_name_refuses_the_bundle_and_leaves_nothing() {
    for (name, bytes) in [
        ("run_logs/a.jsonl", "{\"a\": 1}\n{\"b\": \"x hunter2%2fhunter2 y\"}\n".to_owned()),
        ("plain.txt", format!("one\ntwo {SECRET}")),
        ("hunter2hunter2-is-not-it/hunter2/hunter2", "nothing".to_owned()),
    ] {
        let place = Place::new();
        let error =
            pack(contents(&[("fine", b"fine"), (name, bytes.as_bytes())]), &place.bundle()).unwrap_err();
        assert_eq!(error.exit_code(), 70);
        assert!(
            error.message().contains("sources.c.password") && !error.message().contains("%2f"),
            "{error}"
        );
        assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn a_bundle_that_was_changed_or_leads_outside_is_refused() {
    let regular = tar::EntryType::Regular;
    let of = |entries: &[(&str, &[u8])]| {
        let mut manifest = contents(&[]).manifest;
        for (path, bytes) in entries {
            let sha256 = hex(Sha256::new_with_prefix(bytes));
            manifest.files.push(Packed { path: (*path).into(), bytes: bytes.len() as u64, sha256 });
        }
        manifest
    };
    let one = of(&[("a", b"1")]);
    let way_out = of(&[("../../a", b"1")]);
    let root = of(&[("/tmp/a", b"1")]);
    let mut huge = of(&[("a", b"1")]);
    huge.files[0].bytes = u64::MAX;
    for (why, manifest, entries) in [
        ("was changed or cut off", &one, vec![("a", b"2".as_slice(), regular)]),
        ("was changed or cut off", &one, vec![("a", b"11", regular)]),
        ("is not in its manifest", &one, vec![("a", b"1", regular), ("b", b"1", regular)]),
        ("is not in its manifest", &one, vec![("a", b"1", regular), ("a", b"1", regular)]),
        ("a is missing", &one, vec![]),
        ("leads out of it", &way_out, vec![("../../a", b"1", regular)]),
        ("leads out of it", &root, vec![("/tmp/a", b"1", regular)]),
        ("leads out of it", &one, vec![("a", b"", tar::EntryType::Symlink)]),
        ("it is too large", &huge, vec![("a", b"1", regular)]),
    ] {
        let place = Place::new();
        let error = open(&place.made(manifest, &entries)).err().unwrap();
        assert!(error.message().contains(why), "{why}: {error}");
        assert_eq!(error.exit_code(), 3);
    }
    let place = Place::new();
    for bytes in [b"".as_slice(), b"no gzip at all", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"] {
        std::fs::File::create(place.bundle()).unwrap().write_all(bytes).unwrap();
        assert!(open(&place.bundle()).is_err());
    }
    assert!(open(&place.0.path().join("none")).is_err());
    // Cut at any place, a bundle is never taken for a whole one.
    pack(contents(&[("a", b"1234567890"), ("b", b"x")]), &place.bundle()).unwrap();
    let whole = std::fs::read(place.bundle()).unwrap();
    for end in 0..whole.len() - 8 {
        std::fs::write(place.bundle(), &whole[..end]).unwrap();
        assert!(open(&place.bundle()).is_err(), "cut at {end} of {}", whole.len());
    }
}
