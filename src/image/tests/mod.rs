//! The whole room on real archives and directories. As the room itself, these tests need root.

mod access_lists;
mod anything;
mod faithful;
mod hostile;
mod hostile_layers;
mod hostile_squashfs;
mod keeping;
mod own;
mod raw;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{ImageError, Images};
use crate::model::{ImageDigest, ImageSource, ImageState};
use crate::store::Layout;

/// A store of its own and a place for archives beside it.
struct Room {
    dir: TempDir,
    images: Images,
}

impl Room {
    fn new() -> Room {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let images = Images::new(Layout::new(Some(&dir.path().join("installation"))));
        Room { dir, images }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everything in the store directory, hidden names too.
    fn stored(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("installation/fleet/images")) else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "digests.json").collect();
        names.sort();
        names
    }

    fn available(&self, path: &Path) -> ImageDigest {
        match self.images.observe(&file(path)) {
            ImageState::Available(digest) => digest,
            other => panic!("{} is {other:?}", path.display()),
        }
    }

    fn available_or_stored(&self, path: &Path) -> ImageDigest {
        match self.images.observe(&file(path)) {
            ImageState::Available(digest) | ImageState::Stored(digest) => digest,
            other => panic!("{} is {other:?}", path.display()),
        }
    }

    /// Fetches the archive or directory `path` and returns its root file system.
    fn fetch(&self, path: &Path) -> Result<PathBuf, ImageError> {
        let digest = self.available(path);
        self.images.fetch(&file(path), &digest, None)?;
        assert_eq!(self.images.observe(&file(path)), ImageState::Stored(digest.clone()));
        // What was hashed while it was written is what can be read.
        assert_eq!(self.images.is_intact(&digest).expect("readable"), Some(true));
        Ok(self.root(&digest))
    }

    /// The same for the archive `bytes`.
    fn fetch_bytes(&self, bytes: &[u8]) -> Result<PathBuf, ImageError> {
        fs::write(self.path("archive"), bytes).expect("a file");
        self.fetch(&self.path("archive"))
    }

    /// The root file system of the stored image `digest`, which is one tree.
    fn root(&self, digest: &ImageDigest) -> PathBuf {
        self.images.layout.stored_root(digest).tree()
    }
}

fn file(path: &Path) -> ImageSource {
    ImageSource::File { path: path.to_owned(), sha256: None }
}

/// The error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Runs a program of the host that a test stands on.
fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect("the host has the program");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path of a test is text")
}

/// All that a faithful copy must keep of a tree, a line for each name.
fn describe(top: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    describe_below(top, top, &mut lines);
    lines.sort();
    lines
}

fn describe_below(top: &Path, path: &Path, lines: &mut Vec<String>) {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    let kind = metadata.file_type();
    let content = if kind.is_symlink() {
        fs::read_link(path).expect("a link").display().to_string()
    } else if kind.is_file() {
        let hash = Sha256::digest(fs::read(path).expect("readable"));
        format!("{} bytes {:x?} links {}", metadata.len(), &hash[..8], metadata.nlink())
    } else if kind.is_dir() {
        "directory".to_owned()
    } else {
        assert!(kind.is_fifo(), "{}", path.display());
        "pipe".to_owned()
    };
    lines.push(format!(
        "{:?} {:o} {}:{} {}.{:09} {content} {:?}",
        path.strip_prefix(top).expect("below the top"),
        metadata.mode() & 0o7777,
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        xattrs(path)
    ));
    if kind.is_dir() {
        for entry in fs::read_dir(path).expect("readable") {
            describe_below(top, &entry.expect("readable").path(), lines);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).expect("listed");
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8(name.to_vec()).expect("names of tests are text");
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..]).expect("read");
        found.push((name, value[..length].to_vec()));
    }
    found.sort();
    found
}
