//! Directories of the store in the making: nobody takes them for finished, and killed processes' go with the next.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::fs as rfs;

use super::Pruned;
use super::acl;
use super::error::ImageError;
use super::turn::Turn;
use super::xattrs;
use crate::model::ImageDigest;
use crate::store::{Layout, publish_dir, remove_tree, write_volatile};

/// What begins the name of everything in the store that is not finished.
const DRAFT: &str = ".draft-";

/// A name for something unfinished that nobody else uses, neither another process nor another thread.
pub(super) fn draft_name(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{DRAFT}{what}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Something in the making. What is not published goes when it is dropped.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    /// Open from the begin on: syncfs(2) tells of every failure to write since then, whoever else has been told.
    opened: File,
}

impl Draft {
    /// Makes the part `shelf` of the store if need be, and in it an empty draft of `name`. The caller has the turn of
    /// `name`.
    pub(super) fn begin(layout: &Layout, shelf: &Path, name: &str) -> Result<Draft, ImageError> {
        open_shelf(layout, shelf).map_err(ImageError::io("make", shelf))?;
        // What cannot be removed is in nobody's way, and `prune` tells of it.
        let _ = discard(shelf, &format!("{DRAFT}{name}-"));
        let path = shelf.join(draft_name(name));
        let made = DirBuilder::new().mode(0o755).create(&path).and_then(|()| File::open(&path));
        Ok(Draft { opened: made.map_err(ImageError::io("make", &path))?, path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What its directory itself takes on disk.
    pub(super) fn own_bytes(&self) -> Result<u64, ImageError> {
        let metadata = self.opened.metadata().map_err(ImageError::io("read", &self.path))?;
        Ok(metadata.blocks() * 512)
    }

    /// Makes the directory `name` in it, which becomes the top of a tree: open to all its users, whatever this process's
    /// umask is.
    pub(super) fn make_tree(&self, name: &str) -> Result<PathBuf, ImageError> {
        let tree = self.path.join(name);
        fs::create_dir(&tree)
            .and_then(|()| fs::set_permissions(&tree, Permissions::from_mode(0o755)))
            // What the directories above hand on to all that is made in them is no part of an image.
            .and_then(|()| xattrs::remove(&File::open(&tree)?, acl::DEFAULT))
            .and_then(|()| xattrs::remove(&File::open(&tree)?, acl::ACCESS))
            .map_err(ImageError::io("make", &tree))?;
        Ok(tree)
    }

    /// Waits until all that was written to it is on the disk. Files are not synced one by one: what is published is whole
    /// after a power cut because all was written before.
    pub(super) fn sync(&self) -> Result<(), ImageError> {
        rfs::syncfs(&self.opened).map_err(|error| ImageError::io("write", &self.path)(error.into()))
    }

    /// Does `work`, which takes the processor more than the disk, while what there is goes to the disk.
    pub(super) fn while_syncing<T>(&self, work: impl FnOnce() -> Result<T, ImageError>) -> Result<T, ImageError> {
        thread::scope(|scope| {
            let synced = scope.spawn(|| self.sync());
            let done = work()?;
            synced.join().expect("it does not panic").map(|()| done)
        })
    }

    /// Adds the file `record` with `text`, and makes the draft the finished directory `to`.
    pub(super) fn publish(self, record: &str, text: &[u8], to: &Path) -> Result<(), ImageError> {
        write_volatile(&self.path.join(record), text, 0o600).map_err(ImageError::io("write", to))?;
        self.sync()?;
        // Without a record it is not one of ours whole, and the rename would fail.
        retire(to)?;
        publish_dir(&self.path, to).map_err(ImageError::io("publish", to))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After publishing there is nothing at the path; what cannot be removed now goes with the next fetch.
        let _ = remove_tree(&self.path);
    }
}

/// Removes all drafts in `shelf` that nobody works on.
pub(super) fn prune(layout: &Layout, shelf: &Path, pruned: &mut Pruned) -> Result<(), ImageError> {
    for name in names(shelf)?.into_iter().filter(|name| name.starts_with(DRAFT)) {
        let what = name.trim_start_matches(DRAFT).split('-').next().unwrap_or_default();
        if let Some(_turn) = Turn::try_take(layout, &ImageDigest(what.to_owned()))? {
            pruned.note(discard(shelf, &name));
        }
    }
    Ok(())
}

/// Removes the finished directory `path`, if there is one, under another name first: half of it is never seen.
pub(super) fn retire(path: &Path) -> Result<(), ImageError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let retired = path.with_file_name(draft_name(&name));
    match fs::rename(path, &retired) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ImageError::io("remove", path)(error)),
        Ok(()) => remove_tree(&retired).map_err(ImageError::io("remove", &retired)),
    }
}

/// The names in the part `shelf` of the store, in order.
pub(super) fn names(shelf: &Path) -> Result<Vec<String>, ImageError> {
    let entries = match fs::read_dir(shelf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(ImageError::io("read", shelf))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // All our names are text; others are not ours.
        names.extend(entry.map_err(ImageError::io("read", shelf))?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Removes what killed processes left under names that begin with `prefix`.
fn discard(shelf: &Path, prefix: &str) -> Result<(), ImageError> {
    let mut outcome = Ok(());
    for name in names(shelf)?.into_iter().filter(|name| name.starts_with(prefix)) {
        let path = shelf.join(name);
        let removed = if path.is_dir() { remove_tree(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                outcome = outcome.and(Err(ImageError::io("remove", &path)(error)));
            }
            Ok(()) | Err(_) => {}
        }
    }
    outcome
}

fn open_shelf(layout: &Layout, shelf: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(layout.state())?;
    DirBuilder::new().recursive(true).mode(0o700).create(shelf)?;
    fs::set_permissions(shelf, Permissions::from_mode(0o700))
}
