//! The store: each image unpacked in a directory named by its digest, which appears whole or not at all.
//!
//! Files in an image belong to the host's root and have the set-id bits that guests need, so no other user of the
//! host may get at them: the store itself is closed to everybody else.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{self as rfs, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::contents;
use super::error::{ImageError, TreeError};
use super::turn::Turn;
use super::walk::walk;
use crate::model::{Build, ImageDigest, ImageSource};
use crate::store::{Layout, publish_dir, write_atomic};

/// What begins the name of everything in the store that is not finished.
const DRAFT: &str = ".draft-";

/// What is kept with an image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    /// Where it came from, as a fleet file writes it.
    pub(super) source: String,
    /// What identifies it.
    pub(super) digest: ImageDigest,
    /// When it was unpacked, in seconds since 1970.
    pub(super) created_at_s: u64,
    /// What it takes on disk, each file counted once.
    pub(super) bytes: u64,
    /// The build that it is, if it is one of a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) build: Option<Build>,
    /// The hash of all that is in it. Images of the first versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contents: Option<String>,
}

/// A name for something unfinished that nobody else uses, neither another process nor another thread.
pub(super) fn draft_name(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{DRAFT}{what}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether the store has the image. A user who may not look into it is told no.
pub(super) fn has(layout: &Layout, digest: &ImageDigest) -> bool {
    record_path(&layout.image(digest)).is_file()
}

/// An image in the making. What is not published goes when it is dropped.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Makes the store if need be, and in it an empty draft of the image `digest`.
    pub(super) fn begin(layout: &Layout, digest: &ImageDigest) -> Result<Draft, ImageError> {
        let images = layout.images();
        open_store(layout).map_err(ImageError::io("make", &images))?;
        discard_drafts(&images, &format!("{DRAFT}{digest}-"))?;
        let draft = Draft { path: images.join(draft_name(&digest.0)) };
        let make = |path: &Path| DirBuilder::new().mode(0o755).create(path);
        make(&draft.path).and_then(|()| make(&draft.root())).map_err(ImageError::io("make", &draft.path))?;
        // The top of a root file system is open to all its users, whatever this process's umask is.
        fs::set_permissions(draft.root(), Permissions::from_mode(0o755))
            .map_err(ImageError::io("make", &draft.path))?;
        Ok(draft)
    }

    /// The directory for its root file system.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// A place beside it, for what must be gone before it is published.
    pub(super) fn scratch(&self) -> PathBuf {
        self.path.join("scratch")
    }

    /// Makes the finished draft the image `digest` that came from `source`.
    pub(super) fn publish(
        self,
        layout: &Layout,
        source: &ImageSource,
        digest: &ImageDigest,
        build: Option<&Build>,
    ) -> Result<(), ImageError> {
        let image = layout.image(digest);
        let created_at_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let bytes = disk_usage(&self.path).map_err(|source| ImageError::Unpack { path: self.path.clone(), source })?;
        let (source, build) = (source.to_string(), build.cloned());
        let contents = contents::hash(&self.root());
        let contents = Some(contents.map_err(|source| ImageError::Unpack { path: self.path.clone(), source })?);
        let record = ImageRecord { source, digest: digest.clone(), created_at_s, bytes, build, contents };
        let text = serde_json::to_vec_pretty(&record).expect("a record of texts and numbers has a JSON form");
        let write_failed = ImageError::io("write", &image);
        write_atomic(&record_path(&self.path), &text, 0o600)
            .and_then(|()| sync_file_system(&self.path))
            .map_err(write_failed)?;
        // Without a record it is not one of ours whole, and the rename would fail.
        retire(&image)?;
        publish_dir(&self.path, &image).map_err(ImageError::io("publish", &image))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After publishing there is nothing at the path; what cannot be removed now goes with the next fetch.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What is recorded of the images in the store, by digest.
pub(super) fn list(layout: &Layout) -> Result<Vec<ImageRecord>, ImageError> {
    let mut images = Vec::new();
    for name in names(&layout.images())? {
        let digest = ImageDigest(name);
        if ImageDigest::parse_hex(&digest.0).is_ok_and(|parsed| parsed == digest.0) && has(layout, &digest) {
            images.push(record(layout, &digest)?);
        }
    }
    Ok(images)
}

/// What is recorded of the image `digest`, which the store has.
pub(super) fn record(layout: &Layout, digest: &ImageDigest) -> Result<ImageRecord, ImageError> {
    let path = record_path(&layout.image(digest));
    let text = fs::read(&path).map_err(ImageError::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| ImageError::io("read", &path)(io::Error::from(error)))
}

/// Removes the images that are not in `used`, and all drafts that nobody works on. Returns the removed images.
pub(super) fn prune(layout: &Layout, used: &[ImageDigest]) -> Result<Vec<ImageDigest>, ImageError> {
    let unused = list(layout)?.into_iter().map(|record| record.digest).filter(|it| !used.contains(it));
    let mut removed = Vec::new();
    for digest in unused {
        // Somebody who makes it anew would wonder.
        if let Some(_turn) = Turn::try_take(layout, &digest)? {
            retire(&layout.image(&digest))?;
            removed.push(digest);
        }
    }
    for name in names(&layout.images())?.into_iter().filter(|name| name.starts_with(DRAFT)) {
        let what = name.trim_start_matches(DRAFT).split('-').next().unwrap_or_default();
        if let Some(_turn) = Turn::try_take(layout, &ImageDigest(what.to_owned()))? {
            discard_drafts(&layout.images(), &name)?;
        }
    }
    Ok(removed)
}

/// Removes the image directory `image`, if there is one, under another name first: half an image is never seen.
fn retire(image: &Path) -> Result<(), ImageError> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let retired = image.with_file_name(draft_name(&name));
    match fs::rename(image, &retired) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(ImageError::io("remove", image)(error)),
        Ok(()) => fs::remove_dir_all(&retired).map_err(ImageError::io("remove", &retired)),
    }
}

/// Removes what killed processes left under names that begin with `prefix`.
fn discard_drafts(images: &Path, prefix: &str) -> Result<(), ImageError> {
    for name in names(images)?.into_iter().filter(|name| name.starts_with(prefix)) {
        let path = images.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ImageError::io("remove", &path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn open_store(layout: &Layout) -> io::Result<()> {
    let images = layout.images();
    DirBuilder::new().recursive(true).mode(0o711).create(layout.state())?;
    DirBuilder::new().recursive(true).mode(0o700).create(&images)?;
    fs::set_permissions(&images, Permissions::from_mode(0o700))
}

fn names(images: &Path) -> Result<Vec<String>, ImageError> {
    let entries = match fs::read_dir(images) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(ImageError::io("read", images))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // All our names are text; others are not ours.
        names.extend(entry.map_err(ImageError::io("read", images))?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn record_path(image: &Path) -> PathBuf {
    image.join("image.json")
}

/// Files are not synced one by one: a published image is whole after a power cut because all was written before.
fn sync_file_system(path: &Path) -> io::Result<()> {
    Ok(rfs::syncfs(rfs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?)
}

fn disk_usage(top: &Path) -> Result<u64, TreeError> {
    let mut bytes = 0;
    let mut counted = std::collections::HashSet::new();
    walk(top, &mut |found| {
        let stat = &found.stat;
        let is_first = found.kind() == FileType::Directory || stat.st_nlink == 1 || counted.insert(stat.st_ino);
        if is_first {
            bytes += stat.st_blocks.cast_unsigned() * 512;
        }
        Ok::<(), TreeError>(())
    })?;
    Ok(bytes)
}
