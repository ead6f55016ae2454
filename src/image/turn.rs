//! One at a time: whoever makes an image, or loads a file, keeps all others from the same, threads and processes.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::error::ImageError;
use crate::model::ImageDigest;
use crate::store::Layout;

/// The right to make one image. The kernel takes it back however its holder ends (flock(2)).
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] File);

impl Turn {
    /// Waits until nobody else makes the image `digest`.
    pub(super) fn take(layout: &Layout, digest: &ImageDigest) -> Result<Turn, ImageError> {
        let path = path(layout, digest);
        let file = open(&path).and_then(|file| file.lock().map(|()| file));
        file.map(Turn).map_err(ImageError::io("lock", &path))
    }

    /// The same without waiting: `None` if somebody makes the image.
    pub(super) fn try_take(layout: &Layout, digest: &ImageDigest) -> Result<Option<Turn>, ImageError> {
        let path = path(layout, digest);
        let file = open(&path).map_err(ImageError::io("lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(ImageError::io("lock", &path)(error)),
        }
    }
}

/// The files are not in the store, and stay: one that is removed could be locked twice.
fn path(layout: &Layout, digest: &ImageDigest) -> PathBuf {
    layout.run().join("images").join(&digest.0)
}

fn open(path: &std::path::Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
