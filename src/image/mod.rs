//! Images: where they come from, whether they can be trusted, and the store that keeps them unpacked.
//!
//! Start at [`Images`]. A source is located (`source`), then fetched (`fetch`): an archive is hashed, decoded
//! (`format`), read (`entries`) and written (`unpack`), a directory is copied (`copy`), a busybox image is built
//! (`busybox`); all three write through `tree`. This room knows no containers.

mod busybox;
mod copy;
mod digest;
mod elf;
mod entries;
mod error;
mod fetch;
mod format;
mod pax;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod walk;
mod xattrs;

use std::path::PathBuf;

pub use error::{ImageError, TreeError};

use self::digest::DigestCache;
use self::source::{Located, Unavailable};
use self::store::Draft;
use crate::model::{ImageDigest, ImageSource, ImageState};
use crate::store::Layout;

/// The images of one installation.
#[derive(Debug, Clone)]
pub struct Images {
    layout: Layout,
}

impl Images {
    /// The images kept under `layout`.
    #[must_use]
    pub fn new(layout: Layout) -> Images {
        Images { layout }
    }

    /// Finds out what `source` is now and whether the store has it. Writes nothing but its own cache of digests.
    ///
    /// Only root can see into the store; to others no image is stored.
    #[must_use]
    pub fn observe(&self, source: &ImageSource) -> ImageState {
        let declared = match source {
            ImageSource::Busybox => None,
            ImageSource::File { sha256, .. } => sha256.as_deref(),
        };
        match source::locate(source).and_then(|located| located.digest(declared, &self.digests())) {
            Ok(digest) if store::has(&self.layout, &digest) => ImageState::Stored(digest),
            Ok(digest) => ImageState::Available(digest),
            Err(Unavailable { why, hint }) => ImageState::Unavailable { why, hint },
        }
    }

    /// Brings `source`, whose content must be `digest`, into the store. Nothing to do if it is there.
    ///
    /// The caller holds the host's lock; different images may be fetched at the same time.
    pub fn fetch(&self, source: &ImageSource, digest: &ImageDigest) -> Result<(), ImageError> {
        store::in_turn(&self.layout.image(digest), || {
            if store::has(&self.layout, digest) {
                return Ok(());
            }
            let located = locate(source)?;
            let draft = Draft::begin(&self.layout, digest)?;
            fetch::fetch(&located, digest, &draft.root(), &self.digests())?;
            draft.publish(&self.layout, source, digest)
        })
    }

    /// The unpacked root file system of a stored image: read-only, shared by all containers that stand on it.
    #[must_use]
    pub fn root(&self, digest: &ImageDigest) -> PathBuf {
        self.layout.image(digest).join("rootfs")
    }

    /// The images in the store with their size on disk in bytes.
    pub fn list(&self) -> Result<Vec<(ImageDigest, u64)>, ImageError> {
        store::list(&self.layout)
    }

    /// Removes every stored image that is not in `used`, and what killed fetches left. Returns what was removed.
    ///
    /// The caller holds the host's lock.
    pub fn prune(&self, used: &[ImageDigest]) -> Result<Vec<ImageDigest>, ImageError> {
        store::prune(&self.layout, used)
    }

    fn digests(&self) -> DigestCache {
        DigestCache::new(&self.layout.images())
    }
}

fn locate(source: &ImageSource) -> Result<Located, ImageError> {
    source::locate(source).map_err(|Unavailable { why, hint }| ImageError::Unavailable {
        image: source.to_string(),
        why,
        hint,
    })
}
