//! The SHA-256 of files, and the cache that spares a second plan the reading of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::draft;
use super::format::CHUNK;

/// How long a file must have been left alone for its digest to be kept: a change within one tick of the file
/// system's clock leaves no trace in its times.
const SETTLED: Duration = Duration::from_secs(1);

/// Held while the cache is read and written: images are looked at from several threads.
static WRITING: Mutex<()> = Mutex::new(());

/// A finished hash in hexadecimal.
pub(super) fn hex(hash: Sha256) -> String {
    use std::fmt::Write as _;
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// Passes on what `reader` gives and hashes it.
#[derive(Debug)]
pub(super) struct Hashing<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(reader: R) -> Hashing<R> {
        Hashing { reader, hash: Sha256::new() }
    }

    /// Reads what is left and returns the SHA-256 of all in hexadecimal.
    pub(super) fn finish(mut self) -> io::Result<String> {
        let mut buffer = vec![0; CHUNK];
        while self.read(&mut buffer)? > 0 {}
        Ok(hex(self.hash))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

/// Hashes one file after the other with one buffer: to get a new one for each would take longer than most files do.
#[derive(Debug)]
pub(super) struct Hasher {
    buffer: Vec<u8>,
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher { buffer: vec![0; CHUNK] }
    }

    /// The SHA-256 of what `reader` gives, in hexadecimal.
    pub(super) fn sha256(&mut self, reader: impl Read) -> io::Result<String> {
        let mut hash = Sha256::new();
        self.read(reader, |piece| hash.update(piece))?;
        Ok(hex(hash))
    }

    /// The BLAKE3 of what `reader` gives, in hexadecimal: several times as fast as SHA-256 where processors have wide
    /// registers, and as hard to find another file for.
    pub(super) fn blake3(&mut self, reader: impl Read) -> io::Result<String> {
        let mut hash = blake3::Hasher::new();
        self.read(reader, |piece| {
            hash.update(piece);
        })?;
        Ok(hash.finalize().to_hex().to_string())
    }

    fn read(&mut self, mut reader: impl Read, mut sink: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let read = reader.read(&mut self.buffer)?;
            if read == 0 {
                return Ok(());
            }
            sink(&self.buffer[..read]);
        }
    }
}

/// What tells that a file is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Ok(Identity {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// A name that no other file has, and not the same file when it is changed.
    pub(super) fn name(&self) -> String {
        hex(Sha256::new_with_prefix(format!("{self:?}")))
    }

    fn has_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age = i128::try_from(now.as_nanos()).unwrap_or(0) - i128::from(self.mtime_ns.max(self.ctime_ns));
        u128::try_from(age).is_ok_and(|age| age >= SETTLED.as_nanos())
    }
}

/// The digests of files that were read before.
///
/// Only ever a help: where it cannot be read or written, as by a user other than root, files are read again.
#[derive(Debug)]
pub(super) struct DigestCache {
    path: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    #[serde(default)]
    files: BTreeMap<PathBuf, (Identity, String)>,
}

impl DigestCache {
    /// The cache in the image store `images`.
    pub(super) fn new(images: &Path) -> DigestCache {
        DigestCache { path: images.join("digests.json") }
    }

    /// The SHA-256 of `file`, which was opened as `path`.
    pub(super) fn sha256(&self, path: &Path, file: &File) -> io::Result<String> {
        let identity = Identity::of(file)?;
        if let Some(digest) = self.known(path, identity) {
            return Ok(digest);
        }
        let digest = Hashing::new(file).finish()?;
        if Identity::of(file)? == identity {
            self.remember(path, identity, &digest, SystemTime::now());
        }
        Ok(digest)
    }

    /// The digest of what `path` is, if it was kept.
    pub(super) fn known(&self, path: &Path, identity: Identity) -> Option<String> {
        let (known, digest) = self.load().files.remove(path)?;
        (known == identity).then_some(digest)
    }

    /// Keeps what was found out about `path`, if its times allow it and the store has been made.
    pub(super) fn remember(&self, path: &Path, identity: Identity, digest: &str, now: SystemTime) {
        if !identity.has_settled(now) || !self.path.parent().is_some_and(Path::is_dir) {
            return;
        }
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.load();
        // What is gone needs no digest: the file does not grow for ever.
        known.files.retain(|path, _| path.exists());
        known.files.insert(path.to_owned(), (identity, digest.to_owned()));
        // Other processes may do the same without a lock, so everyone has a draft of his own; the last one wins.
        let draft = self.path.with_file_name(draft::draft_name("digests"));
        let written = serde_json::to_vec(&known).map_err(io::Error::from);
        let _ = written.and_then(|text| fs::write(&draft, text)).and_then(|()| fs::rename(&draft, &self.path));
    }

    fn load(&self) -> Known {
        let text = fs::read(&self.path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_not_changed_is_not_read_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, "abc").expect("a file");
        let file = File::open(&path).expect("it is there");
        let identity = Identity::of(&file).expect("it has one");
        let cache = DigestCache::new(dir.path());
        let later = SystemTime::now() + 2 * SETTLED;
        cache.remember(&path, identity, "as remembered", later);
        assert_eq!(cache.sha256(&path, &file).expect("readable"), "as remembered");
        fs::write(&path, "abcd").expect("changed");
        let digest = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589";
        assert_eq!(cache.sha256(&path, &File::open(&path).expect("it is there")).expect("readable"), digest);
    }

    #[test]
    fn a_file_that_was_changed_just_now_is_not_remembered() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        fs::write(&path, "abc").expect("a file");
        let file = File::open(&path).expect("it is there");
        DigestCache::new(dir.path()).sha256(&path, &file).expect("readable");
        assert!(!dir.path().join("digests.json").exists());
    }
}
