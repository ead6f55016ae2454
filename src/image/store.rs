//! The store: each image unpacked in a directory named by its digest, which appears whole or not at all.
//!
//! Files in an image belong to the host's root and have the set-id bits that guests need, so no other user of the
//! host may get at them: the store itself is closed to everybody else.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Pruned;
use super::contents::{self, Measured, Recipe};
use super::digest::{Hasher, hex};
use super::draft::{self, Draft, names};
use super::error::ImageError;
use super::file_hashes::FileHashes;
use super::layer_store;
use super::squashfs;
use super::tree::Limits;
use super::turn::Turn;
use crate::model::{Build, Entrypoint, ImageDigest, ImageSource};
use crate::store::{Layout, Lower, StoredRoot, layer_trees, write_atomic};
use crate::sys::{RootDir, can_map_squashfs, mount_squashfs};

/// The file with what is kept with an image.
const RECORD: &str = "image.json";

/// What is kept with an image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    /// Where it came from, as a fleet file writes it.
    pub(super) source: String,
    /// What identifies it.
    pub(super) digest: ImageDigest,
    /// When it was unpacked, in seconds since 1970.
    pub(super) created_at_s: u64,
    /// What it takes on disk, each file counted once, without its layers.
    pub(super) bytes: u64,
    /// The build that it is, if it is one of a distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) build: Option<Build>,
    /// Whether it has something at `/sbin/init`. Of images of the first versions nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) has_init: Option<bool>,
    /// Tells all that is in it. Images of the first versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) contents: Option<String>,
}

/// Whether the store has the image. A user who may not look into it is told no.
pub(super) fn has(layout: &Layout, digest: &ImageDigest) -> bool {
    record_path(&layout.image(digest)).is_file()
}

/// An image in the making: a draft whose root file system is where that of an image is.
#[derive(Debug)]
pub(super) struct ImageDraft {
    draft: Draft,
    parts: StoredRoot,
    hashes: OnceCell<FileHashes>,
    limits: Limits,
}

impl ImageDraft {
    /// Makes an empty draft of the image `digest`, which may hold as much as `limits` say.
    pub(super) fn begin(layout: &Layout, digest: &ImageDigest, limits: Limits) -> Result<ImageDraft, ImageError> {
        let draft = Draft::begin(layout, &layout.images(), &digest.0)?;
        let parts = StoredRoot::new(draft.path().to_owned(), layout.layers());
        Ok(ImageDraft { draft, parts, hashes: OnceCell::new(), limits })
    }

    /// Makes the empty directory of its root file system.
    pub(super) fn make_root(&self) -> Result<PathBuf, ImageError> {
        self.draft.make_tree("rootfs")
    }

    /// Makes the empty directory of what lies upon its squashfs.
    pub(super) fn make_mask(&self) -> Result<PathBuf, ImageError> {
        self.draft.make_tree("mask")
    }

    /// How much it may hold.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Where the parts of its root file system are.
    pub(super) fn parts(&self) -> &StoredRoot {
        &self.parts
    }

    /// Makes the stored layers `ids` its root file system, the lowest first.
    pub(super) fn set_layers(&self, ids: &[String]) -> Result<(), ImageError> {
        if ids.is_empty() {
            return self.make_root().map(drop);
        }
        self.parts.set_layers(ids).map_err(ImageError::io("write", self.draft.path()))
    }

    /// A directory that is not there, for what is only there until the image is finished.
    pub(super) fn scratch(&self) -> PathBuf {
        self.draft.path().join("scratch")
    }

    /// Keeps with it the program that it is made for.
    pub(super) fn keep(&self, entrypoint: &Entrypoint) -> Result<(), ImageError> {
        let path = self.draft.path().join("entrypoint.json");
        let text = serde_json::to_vec_pretty(entrypoint).expect("texts have a JSON form");
        fs::write(&path, text).map_err(ImageError::io("write", &path))
    }

    /// Takes note of the hashes of its files: who wrote them knows them.
    pub(super) fn note(&self, hashes: FileHashes) {
        // A root file system is made once; of a second one all would be read.
        let _ = self.hashes.set(hashes);
    }

    /// Makes the finished draft the image `digest` that came from `source`.
    pub(super) fn publish(
        self,
        layout: &Layout,
        source: &ImageSource,
        digest: &ImageDigest,
        build: Option<&Build>,
    ) -> Result<(), ImageError> {
        let created_at_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let known = self.hashes.get_or_init(FileHashes::default);
        let measured = self.draft.while_syncing(|| measure(&self.parts, known, Recipe::Second))?;
        let (contents, bytes) = measured.map_or((None, 0), |measured| (Some(measured.hash), measured.bytes));
        let bytes = bytes + self.draft.own_bytes()?;
        let (source, build) = (source.to_string(), build.cloned());
        let has_init = has_init(layout, &self.parts);
        let record = ImageRecord { source, digest: digest.clone(), created_at_s, bytes, build, has_init, contents };
        self.draft.publish(RECORD, &text_of(&record), &layout.image(digest))
    }
}

/// What is in an image with these parts, hashed by `recipe`; `None` of one with layers, of which it is noted with each.
/// Files whose hashes are among `known` are not read.
pub(super) fn measure(parts: &StoredRoot, known: &FileHashes, recipe: Recipe) -> Result<Option<Measured>, ImageError> {
    let measure = |tree: PathBuf| {
        contents::measure(&tree, known, recipe).map_err(|source| ImageError::Walk { path: tree, source })
    };
    if !parts.layers().map_err(ImageError::io("read", &parts.tree()))?.is_empty() {
        return Ok(None);
    }
    let squashfs = parts.squashfs();
    let file = match File::open(&squashfs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return measure(parts.tree()).map(Some),
        opened => opened.map_err(ImageError::io("read", &squashfs))?,
    };
    let failed = || ImageError::io("read", &squashfs);
    let metadata = file.metadata().map_err(failed())?;
    let hashed = match known.get(metadata.ino()) {
        Some(known) => known.to_owned(),
        None => Hasher::new().sha256(file).map_err(failed())?,
    };
    let mask = if parts.mask().is_dir() { Some(measure(parts.mask())?) } else { None };
    let (mask, mask_bytes) = mask.map_or((String::new(), 0), |mask| (mask.hash, mask.bytes));
    let hash = recipe.mark(&hex(Sha256::new_with_prefix(format!("{hashed} {mask}"))));
    Ok(Some(Measured { hash, bytes: metadata.blocks() * 512 + mask_bytes }))
}

/// Whether this kernel can use the stored image `digest` as it is.
pub(super) fn is_usable(layout: &Layout, digest: &ImageDigest) -> bool {
    let lowers = layout.stored_root(digest).lowers().unwrap_or_default();
    lowers.iter().all(|lower| match lower {
        Lower::Directory(_) => true,
        Lower::Squashfs(path) => can_map_squashfs(path),
    })
}

/// Unpacks the squashfs of the stored image `digest`, for a kernel that cannot mount it. The caller has the image's turn.
pub(super) fn unpack_squashfs(layout: &Layout, digest: &ImageDigest) -> Result<(), ImageError> {
    let draft = ImageDraft::begin(layout, digest, Limits::NONE)?;
    let root = draft.make_root()?;
    let parts = layout.stored_root(digest);
    let path = parts.squashfs();
    if parts.tree().is_dir() {
        // Somebody else did.
        return Ok(());
    }
    let file = File::open(&path).map_err(ImageError::io("read", &path))?;
    squashfs::unpack(&file, &root, Limits::NONE).map_err(|source| ImageError::Unpack { path, source })?;
    draft.draft.sync()?;
    fs::rename(&root, parts.tree()).map_err(ImageError::io("write", &parts.tree()))
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

/// Keeps with the stored image of `build` by whom that is signed, which was found out since it was stored; nothing to do if it
/// is not, or if the store has no such build.
pub(super) fn confirm(layout: &Layout, build: &Build) -> Result<(), ImageError> {
    let digest = &build.fingerprint;
    if build.signed_by.is_none() || !has(layout, digest) {
        return Ok(());
    }
    let mut record = record(layout, digest)?;
    let is_same = |known: &Build| known.is_of(&build.distro()) && known != build;
    if !record.build.as_ref().is_some_and(is_same) {
        return Ok(());
    }
    record.build = Some(build.clone());
    let path = record_path(&layout.image(digest));
    write_atomic(&path, &text_of(&record), 0o600).map_err(ImageError::io("write", &path))
}

/// Removes the images that are not in `used`, and all drafts that nobody works on.
pub(super) fn prune(layout: &Layout, used: &[ImageDigest], pruned: &mut Pruned) -> Result<(), ImageError> {
    let unused = list(layout)?.into_iter().map(|record| record.digest).filter(|it| !used.contains(it));
    for digest in unused {
        // Somebody who makes it anew would wonder.
        let Some(_turn) = Turn::try_take(layout, &digest)? else { continue };
        match draft::retire(&layout.image(&digest)) {
            Ok(()) => pruned.removed.push(digest),
            failed => pruned.note(failed),
        }
    }
    draft::prune(layout, &layout.images(), pruned)
}

fn text_of(record: &ImageRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(record).expect("a record of texts and numbers has a JSON form")
}

fn record_path(image: &Path) -> PathBuf {
    image.join(RECORD)
}

/// The root file system that `parts` make up as one tree that is open; `None` if it is a tree on the disk.
pub(super) fn view(layout: &Layout, parts: &StoredRoot) -> Result<Option<OwnedFd>, ImageError> {
    let layers = parts.layers().map_err(ImageError::io("read", &parts.tree()))?;
    match parts.lowers().unwrap_or_default().last() {
        Some(Lower::Squashfs(path)) => mount_squashfs(path).map(Some).map_err(ImageError::io("mount", path)),
        Some(Lower::Directory(_)) | None => layer_store::view(&layer_trees(&layout.layers(), &layers)),
    }
}

/// Whether the root file system that `parts` make up has an init where every engine looks for one; `None` if that cannot be
/// found out.
fn has_init(layout: &Layout, parts: &StoredRoot) -> Option<bool> {
    let root = match view(layout, parts).ok()? {
        Some(view) => RootDir::new(view),
        None => RootDir::open(&parts.tree()).ok()?,
    };
    Some(root.metadata_followed(Path::new("/sbin/init")).ok()?.is_some())
}
