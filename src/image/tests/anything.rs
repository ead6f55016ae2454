//! The readers of archives with anything at all: they end, touch nothing outside, and leave no more than they may.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tar::EntryType;

use super::super::tree::Limits;
use super::super::unpack::{Contents, unpack};
use super::hostile_layers::Place;
use super::raw::Raw;
use super::{describe, text};

const LIMITS: Limits = Limits { bytes: 100_000, entries: 60 };

/// Names that meet each other, in all the ways that have been used to get out of a tree.
const NAMES: [&str; 22] = [
    "a",
    "b",
    "a/b",
    "b/a",
    "a/b/c",
    "./a",
    "a/",
    "a/b/",
    "..",
    "../x",
    "a/../b",
    "/a",
    "/etc/passwd",
    ".",
    "",
    "rootfs/a",
    ".wh.a",
    "a/.wh.b",
    ".wh..wh..opq",
    "a/.wh..wh..opq",
    ".wh...",
    "a/.wh..wh.x",
];

const LINKS: [&str; 10] = ["a", "b", "a/b", "../a", "..", "../../../../../../..", "/", "/a", "OUTSIDE", "OUTSIDE/file"];

const KINDS: [EntryType; 10] = [
    EntryType::Regular,
    EntryType::Regular,
    EntryType::Directory,
    EntryType::Symlink,
    EntryType::Symlink,
    EntryType::Link,
    EntryType::Char,
    EntryType::Fifo,
    EntryType::XHeader,
    EntryType::GNUSparse,
];

#[derive(Debug, Clone)]
struct Recipe {
    entries: Vec<(EntryType, &'static str, &'static str, Vec<u8>)>,
    /// Bytes that are changed: where, in parts of 65536, and what is added to them.
    damage: Vec<(u16, u8)>,
    /// So much of it is left, in parts of 255.
    left: u8,
}

impl Recipe {
    fn archive(&self, outside: &str) -> Vec<u8> {
        let add = |raw: Raw, (kind, name, link, data): &(EntryType, &str, &str, Vec<u8>)| {
            raw.add(*kind, name, &link.replace("OUTSIDE", outside), data)
        };
        let mut bytes = self.entries.iter().fold(Raw::default(), add).end();
        let length = bytes.len();
        for (place, change) in &self.damage {
            let byte = &mut bytes[(usize::from(*place) * length) >> 16];
            *byte = byte.wrapping_add(*change);
        }
        bytes.truncate(length * usize::from(self.left) / 255);
        bytes
    }
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let records =
        select(vec![&b"14 path=../a\n\n"[..], b"20 size=99999999999\n", b"11 path=b/c\n", b"9 uid=-1\n", b"x"]);
    let data = prop_oneof![
        Just(Vec::new()),
        Just(b"data".to_vec()),
        records.prop_map(<[u8]>::to_vec),
        vec(any::<u8>(), 0..600)
    ];
    let entry = (select(&KINDS[..]), select(&NAMES[..]), select(&LINKS[..]), data);
    let left = prop_oneof![4 => Just(255_u8), 1 => any::<u8>()];
    let damage = prop_oneof![3 => Just(Vec::new()), 1 => vec((any::<u16>(), any::<u8>()), 1..4)];
    (vec(entry, 0..12), damage, left).prop_map(|(entries, damage, left)| Recipe { entries, damage, left })
}

/// Reads `bytes` as an archive of each kind. To be called with anything.
fn read(bytes: &[u8], dir: &Path) {
    let outside = describe(&dir.join("outside"));
    for contents in [Contents::Root, Contents::LxcRoot, Contents::Unified] {
        let top = dir.join("top");
        fs::create_dir(&top).expect("a directory");
        let _ = unpack(bytes, contents, &top, LIMITS);
        let mut entries = 0;
        let bytes = check(&top, &mut entries);
        // A parent that is made for an entry counts with it; none of these has more than three.
        assert!(bytes <= LIMITS.bytes && entries <= LIMITS.entries * 4, "{bytes} bytes in {entries} entries");
        assert_eq!(describe(&dir.join("outside")), outside);
        fs::remove_dir_all(top).expect("removed");
    }
}

/// Counts what is below `path`: no device, nothing of an owner that no container has.
fn check(path: &Path, entries: &mut u64) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("readable").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        assert!(metadata.rdev() == 0 && metadata.uid() <= 65_535, "{}", path.display());
        *entries += 1;
        bytes += if metadata.is_dir() { check(&path, entries) } else { metadata.len() };
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_archive_stays_in_its_tree(recipe in recipe()) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("outside")).expect("a directory");
        fs::write(dir.path().join("outside/file"), "untouched").expect("a file");
        read(&recipe.archive(text(&dir.path().join("outside"))), dir.path());
    }

    #[test]
    fn any_bytes_are_no_archive_or_one(bytes in vec(any::<u8>(), 0..3000)) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("outside")).expect("a directory");
        read(&bytes, dir.path());
    }

    #[test]
    fn any_layers_stay_in_their_trees(recipes in vec(recipe(), 1..4)) {
        let mut place = Place::new();
        for recipe in recipes {
            let archive = recipe.archive(&place.outside());
            if place.add(&archive).is_ok() {
                prop_assert!(!place.top().iter().any(|line| line.contains(".wh.")), "{:?}", place.top());
            }
        }
    }
}
