//! Layers made to take away, or to reach, what is not theirs.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::super::below::Lowers;
use super::super::digest::hex;
use super::super::error::TreeError;
use super::super::layer_store::view;
use super::super::layers::{Unpacked, unpack};
use super::super::tree::Limits;
use super::raw::Raw;
use super::{chain, describe, text, xattrs};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100 };

/// A place for layers, and something beside it that none of them may touch.
pub(super) struct Place {
    dir: tempfile::TempDir,
    trees: Vec<PathBuf>,
}

impl Place {
    pub(super) fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("outside")).expect("a directory");
        fs::write(dir.path().join("outside/file"), "untouched").expect("a file");
        Place { dir, trees: Vec::new() }
    }

    pub(super) fn outside(&self) -> String {
        text(&self.dir.path().join("outside")).to_owned()
    }

    /// Unpacks `archive` upon the layers before it; nothing outside may change, whatever comes of it.
    pub(super) fn add(&mut self, archive: &[u8]) -> Result<Unpacked, TreeError> {
        let before = describe(Path::new(&self.outside()));
        let top = self.dir.path().join(self.trees.len().to_string());
        let packed = self.dir.path().join("archive");
        fs::create_dir(&top).expect("a directory");
        fs::write(&packed, archive).expect("a file");
        let lowers: Vec<PathBuf> = self.trees.iter().rev().cloned().collect();
        let lowers = Lowers::new(view(&lowers).expect("stacked"));
        let file = File::open(&packed).expect("it is there");
        let unpacked = unpack(&file, &hex(Sha256::new_with_prefix(archive)), lowers, &top, LIMITS);
        assert_eq!(describe(Path::new(&self.outside())), before);
        if unpacked.is_ok() {
            self.trees.push(top);
        } else {
            fs::remove_dir_all(top).expect("removed");
        }
        unpacked
    }

    fn added(mut self, archive: Raw) -> Place {
        self.add(&archive.end()).expect("it is accepted");
        self
    }

    fn refused(&mut self, archive: Raw) -> String {
        chain(&self.add(&archive.end()).expect_err("it must be refused"))
    }

    /// The names that the topmost layer has, with what it says to overlayfs.
    pub(super) fn top(&self) -> Vec<String> {
        let top = self.trees.last().expect("there is one");
        let mut found = Vec::new();
        marks(top, top, &mut found);
        found.sort();
        found
    }
}

fn marks(top: &Path, path: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("readable").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let mut line = text(path.strip_prefix(top).expect("below the top")).to_owned();
        if metadata.file_type().is_char_device() {
            assert_eq!(metadata.rdev(), 0, "{line} is a device");
            line += " is gone";
        }
        assert!(!metadata.file_type().is_block_device(), "{line} is a device");
        if metadata.is_dir() {
            let is_opaque = xattrs(&path).iter().any(|(name, _)| name == "trusted.overlay.opaque");
            line += if is_opaque { "/ is opaque" } else { "/" };
            marks(top, &path, found);
        }
        found.push(line);
    }
}

#[test]
fn names_of_whiteouts_that_lead_out_are_refused() {
    for name in ["../.wh.x", ".wh...", ".wh..", ".wh.", "a/.wh...", "/../.wh.x", "a/../.wh..wh..opq"] {
        let mut place = Place::new().added(Raw::default().file("a/b", ""));
        let why = place.refused(Raw::default().file(name, ""));
        assert_eq!(why, format!("cannot accept entry `{name}`: a name must be relative, without `..` and null bytes"));
    }
}

#[test]
fn whiteouts_through_links_stay_inside() {
    let place = Place::new();
    let outside = place.outside();
    let inside = outside[1..].to_owned();
    let base = Raw::default().file(&format!("{inside}/file"), "inside").file("kept", "").symlink("link", &outside);
    let place = place.added(base.symlink("up", "../../../../../../../../../.."));
    let upper = Raw::default().file("link/.wh.file", "").file("up/.wh.kept", "");
    let place = place.added(upper);
    assert!(place.top().contains(&format!("{inside}/file is gone")), "{:?}", place.top());
    assert!(place.top().contains(&"kept is gone".to_owned()), "{:?}", place.top());
    let place = place.added(Raw::default().file("link/.wh..wh..opq", ""));
    assert!(place.top().contains(&format!("{inside}/ is opaque")), "{:?}", place.top());
}

#[test]
fn a_whiteout_of_nothing_makes_nothing() {
    let place = Place::new().added(Raw::default().file("a", "")).added(
        Raw::default().file("b/.wh.x", "").file("c/.wh..wh..opq", "").file("a/.wh.x", "").file(".wh..wh.plnk", ""),
    );
    assert_eq!(place.top(), [""; 0]);
}

#[test]
fn devices_and_attributes_that_are_orders_to_overlayfs_are_left_out() {
    let record = "32 SCHILY.xattr.trusted.overlay.opaque=y\n";
    let record = format!("{} {}", record.len(), &record[3..]);
    let upper = Raw::default()
        .add(EntryType::Char, "a", "", b"")
        .add(EntryType::Block, "d", "", b"")
        .add(EntryType::XHeader, "x", "", record.as_bytes())
        .directory("b/");
    let place = Place::new().added(Raw::default().file("a", "").file("b/c", "")).added(upper);
    assert_eq!(place.top(), ["b/"]);
}

#[test]
fn hard_links_reach_only_what_shows() {
    let base = || Raw::default().file("a", "a").directory("d/").file("d/x", "x");
    let mut place = Place::new().added(base());
    let missing = |why: String| assert!(why.ends_with("No such file or directory (os error 2)"), "{why}");
    missing(place.refused(Raw::default().file(".wh.a", "").hard_link("b", "a")));
    missing(place.refused(Raw::default().file("d/.wh..wh..opq", "").hard_link("b", "d/x")));
    missing(place.refused(Raw::default().hard_link("b", "/etc/passwd")));
    let outside = place.outside();
    let why = place.refused(Raw::default().symlink("l", &outside).hard_link("b", "l/file"));
    missing(why);
    let place = place.added(Raw::default().hard_link("b", "a").hard_link("d/y", "d/x"));
    assert_eq!(place.top(), ["a", "b", "d/", "d/x", "d/y"]);
}

#[test]
fn links_in_a_circle_through_two_layers_are_refused() {
    let mut place = Place::new().added(Raw::default().symlink("a", "b"));
    let why = place.refused(Raw::default().symlink("b", "a").file("a/x", ""));
    assert!(why.starts_with("cannot write entry `a/x`: "), "{why}");
}

#[test]
fn a_layer_has_limits_and_must_be_what_it_is_said_to_be() {
    let mut place = Place::new();
    let why = place.refused((0..101).fold(Raw::default(), |raw, n| raw.file(&n.to_string(), "")));
    assert_eq!(why, "cannot accept more than 100 files in one image");
    let why = place.refused((0..101).fold(Raw::default(), |raw, n| raw.file(&format!(".wh.{n}"), "")));
    assert_eq!(why, "cannot accept more than 100 files in one image");
    let bomb = zstd::encode_all(&vec![0; 8 << 20][..], 0).expect("packed");
    let why = chain(
        &place
            .add(&[zstd::encode_all(&Raw::default().file("a", "").end()[..], 0).expect("packed"), bomb].concat())
            .expect_err("a bomb"),
    );
    assert_eq!(why, "cannot accept more than 1MiB in one image");
    // The SHA-256 of what is packed is not that of what it unpacks to.
    let packed = zstd::encode_all(&Raw::default().file("a", "").end()[..], 0).expect("packed");
    let why = chain(&place.add(&packed).expect_err("another digest"));
    assert!(why.ends_with("a layer does not unpack to what the image says"), "{why}");
}
