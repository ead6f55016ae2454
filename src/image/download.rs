//! Loads a file from a server onto the disk, hashing as it comes, and going on where an earlier attempt broke off.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::digest::hex;
use super::error::ImageError;
use super::format::CHUNK;
use super::tree::Limits;
use super::web::{Web, WebError};
use crate::model::WebUrl;

/// Attempts that are made to get one file, those that may fail one after the other without a byte having come, and the
/// pause after such a one.
const MOST_ATTEMPTS: u32 = 20;
const MOST_FRUITLESS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// A file to load.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Where it is.
    pub(super) url: WebUrl,
    /// What it must be.
    pub(super) sha256: &'a str,
    /// Its length in bytes, if that is known.
    pub(super) size: Option<u64>,
    /// What it may have in it: packed, it is not longer than that.
    pub(super) longest: Limits,
}

/// A file that was loaded and is what it must be. Nobody else loads or removes it as long as this lives.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Where it is.
    pub(super) path: PathBuf,
    /// It, open at its beginning.
    pub(super) file: File,
    /// What it is.
    pub(super) sha256: String,
    /// The hash of what was before it, and of it.
    pub(super) combined: Sha256,
}

impl Loaded {
    /// Removes it from the downloads: it is in the store.
    pub(super) fn discard(self) {
        // What stays goes with the next `prune`.
        let _ = fs::remove_file(&self.path);
    }
}

/// Loads `wanted` into the directory `downloads`, unless it is there already. `before` goes into the combined hash first.
/// `tell` hears how many bytes are there, and how many it will be. Whoever wants the same file meanwhile waits.
pub(super) fn load(
    web: &Web,
    wanted: &Wanted<'_>,
    downloads: &Path,
    before: Sha256,
    tell: &dyn Fn(u64, Option<u64>),
) -> Result<Loaded, ImageError> {
    if wanted.size.is_some_and(|size| size > wanted.longest.bytes) {
        let path = PathBuf::from(wanted.url.to_string());
        return Err(ImageError::Unpack { path, source: wanted.longest.too_large() });
    }
    let mut part = Part::open(downloads, wanted, before)?;
    let mut resumed = part.length > 0;
    loop {
        part.complete(web, wanted, tell)?;
        let found = hex(part.hash.clone());
        if found == wanted.sha256 {
            part.file.rewind().map_err(ImageError::io("read", &part.path))?;
            return Ok(Loaded { path: part.path, file: part.file, sha256: found, combined: part.combined });
        }
        // What an earlier attempt left may be wrong; what came in one piece is what the server has.
        if !resumed {
            let _ = fs::remove_file(&part.path);
            return Err(ImageError::Mismatch {
                url: wanted.url.to_string(),
                what: "SHA-256",
                expected: wanted.sha256.to_owned(),
                found,
            });
        }
        part.begin_anew()?;
        resumed = false;
    }
}

/// A file that is not complete yet. It stays when an attempt fails, to be gone on with.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
    before: Sha256,
    combined: Sha256,
}

impl Part {
    fn open(downloads: &Path, wanted: &Wanted<'_>, before: Sha256) -> Result<Part, ImageError> {
        let path = downloads.join(wanted.sha256);
        let file = open_locked(&path).map_err(ImageError::io("write", &path))?;
        let mut part = Part { path, file, length: 0, hash: Sha256::new(), combined: before.clone(), before };
        part.read().map_err(ImageError::io("read", &part.path))?;
        if wanted.size.is_some_and(|size| part.length > size) {
            part.begin_anew()?;
        }
        Ok(part)
    }

    /// Hashes what is there.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.count(&buffer[..read]);
        }
    }

    fn count(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        self.hash.update(piece);
        self.combined.update(piece);
    }

    fn begin_anew(&mut self) -> Result<(), ImageError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(ImageError::io("write", &self.path))?;
        self.length = 0;
        self.hash = Sha256::new();
        self.combined = self.before.clone();
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), ImageError> {
        if let Err(error) = self.file.write_all(piece) {
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                // Whoever has to find room is not helped by a part of something.
                let _ = fs::remove_file(&self.path);
            }
            return Err(ImageError::io("write", &self.path)(error));
        }
        self.count(piece);
        Ok(())
    }

    /// Loads the rest, in as many attempts as bring something.
    fn complete(&mut self, web: &Web, wanted: &Wanted<'_>, tell: &dyn Fn(u64, Option<u64>)) -> Result<(), ImageError> {
        let (mut attempts, mut fruitless) = (0, 0);
        while wanted.size != Some(self.length) {
            let before = self.length;
            let error = match self.attempt(web, wanted, tell) {
                // Of a file whose length is known, the end of the answer is not yet the end.
                Ok(()) if wanted.size.is_none_or(|size| size == self.length) => break,
                Ok(()) => {
                    let why = "the server ended it too early".to_owned();
                    WebError::BrokenOff { url: wanted.url.to_string(), why }
                }
                // It has nothing behind what is there: all of it is.
                Err(ImageError::Web(WebError::Refused { status: 416, .. })) if self.length > 0 => break,
                Err(ImageError::Web(error)) => error,
                Err(other) => return Err(other),
            };
            attempts += 1;
            let needed = match error {
                WebError::TooSlow { .. } => web.patience().least,
                _ => 1,
            };
            fruitless = if self.length >= before.saturating_add(needed) { 0 } else { fruitless + 1 };
            if !error.is_passing() || fruitless >= MOST_FRUITLESS || attempts >= MOST_ATTEMPTS {
                return Err(error.into());
            }
            if fruitless > 0 {
                thread::sleep(PAUSE);
            }
        }
        tell(self.length, wanted.size.or(Some(self.length)));
        self.file.sync_all().map_err(ImageError::io("write", &self.path))
    }

    fn attempt(&mut self, web: &Web, wanted: &Wanted<'_>, tell: &dyn Fn(u64, Option<u64>)) -> Result<(), ImageError> {
        let limit = wanted.size.unwrap_or(wanted.longest.bytes);
        let start = self.length;
        let total = std::cell::Cell::new(wanted.size);
        let part = std::cell::RefCell::new(self);
        web.stream(
            &wanted.url,
            start,
            |first, length| {
                let mut part = part.borrow_mut();
                if let (Some(expected), Some(found)) = (wanted.size, length)
                    && expected != found
                {
                    return Err(ImageError::Mismatch {
                        url: wanted.url.to_string(),
                        what: "length",
                        expected: expected.to_string(),
                        found: found.to_string(),
                    });
                }
                if first != part.length {
                    part.begin_anew()?;
                }
                if first > 0 && part.length == 0 {
                    let why = "the server gave another part than was asked for".to_owned();
                    return Err(WebError::BrokenOff { url: wanted.url.to_string(), why }.into());
                }
                total.set(wanted.size.or(length));
                tell(part.length, total.get());
                Ok(())
            },
            |piece| {
                let mut part = part.borrow_mut();
                if part.length + piece.len() as u64 > limit {
                    return Err(WebError::TooLong { url: wanted.url.to_string(), limit }.into());
                }
                part.write(piece)?;
                tell(part.length, total.get());
                Ok(())
            },
        )
    }
}

/// Opens the file `path`, made if need be, when nobody else has it. Others remove it when they are done.
fn open_locked(path: &Path) -> io::Result<File> {
    if let Some(downloads) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(downloads)?;
    }
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        match fs::metadata(path) {
            Ok(there) if there.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes what was loaded and never used, and parts that nobody goes on with. What somebody loads now stays.
pub(super) fn prune(downloads: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(downloads) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let remove = |path: &Path| match File::open(path)?.try_lock() {
        Ok(()) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    let mut outcome = Ok(());
    for entry in entries {
        outcome = outcome.and(remove(&entry?.path()));
    }
    outcome
}
