//! The layers of images in the store: each unpacked once, and shared by all images that have it.
//!
//! Start at [`Stack`]. A layer has the name of its SHA-256 unpacked. One that would be another upon other layers (it has a
//! link to a file below, or goes through a link there) has that of all up to it instead, which is the specification's
//! `ChainID`. Whoever makes an image holds its layers until it is there, so that nobody takes them away meanwhile.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, open};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Pruned;
use super::below::{Below, Lowers};
use super::contents::{self, Measured, Recipe};
use super::copy;
use super::digest::hex;
use super::draft::{self, Draft, names};
use super::error::{ImageError, TreeError};
use super::file_hashes::FileHashes;
use super::layers::{self, Unpacked};
use super::store;
use super::tree::Limits;
use super::turn::Turn;
use super::walk::walk;
use crate::model::ImageDigest;
use crate::store::{Layout, layer_trees};
use crate::sys::{Devices, Overlay, most_overlay_lowers};

/// The file with what is kept with a layer.
const RECORD: &str = "layer.json";

/// What is kept with a layer.
#[derive(Debug, Serialize, Deserialize)]
struct LayerRecord {
    /// Whose turn it is to make it, and the SHA-256 of what it unpacks to.
    diff_id: String,
    /// Whether it would be another one upon other layers.
    leans: bool,
    /// What it takes on disk, each file counted once.
    bytes: u64,
    /// Tells all that is in it.
    contents: String,
}

/// A layer of the store that stays as long as this lives.
#[derive(Debug)]
struct Held {
    id: String,
    record: LayerRecord,
    _lock: File,
}

/// The layers of an image, as far as they are there.
#[derive(Debug)]
pub(super) struct Stack<'a> {
    layout: &'a Layout,
    /// The lowest first.
    layers: Vec<Held>,
    /// The name of all that is there together.
    chain: Option<String>,
    left: Limits,
    /// So many are stacked at most.
    most: usize,
}

impl<'a> Stack<'a> {
    /// No layers yet.
    pub(super) fn new(layout: &'a Layout, limits: Limits) -> Result<Stack<'a>, ImageError> {
        let most = most_overlay_lowers().map_err(ImageError::io("stack layers in", &layout.layers()))?;
        Ok(Stack { layout, layers: Vec::new(), chain: None, left: limits, most })
    }

    /// The layers' names, the lowest first.
    pub(super) fn ids(&self) -> Vec<String> {
        self.layers.iter().map(|layer| layer.id.clone()).collect()
    }

    /// Puts the layer that unpacks to `diff_id` upon the others if the store has it; returns whether it has.
    pub(super) fn push_stored(&mut self, diff_id: &str) -> Result<bool, ImageError> {
        self.make_room()?;
        let chain = self.chain_with(diff_id);
        let Some(held) = self.stored(diff_id, &chain)? else { return Ok(false) };
        self.left.bytes = self.left.bytes.saturating_sub(held.record.bytes);
        self.layers.push(held);
        self.chain = Some(chain);
        Ok(true)
    }

    /// Unpacks the layer `file`, which `path` is the name of, and puts it upon the others.
    pub(super) fn push(&mut self, file: &File, path: &Path, diff_id: &str) -> Result<(), ImageError> {
        let _turn = Turn::take(self.layout, &ImageDigest(diff_id.to_owned()))?;
        // Somebody else may have made it while this one waited.
        if self.push_stored(diff_id)? {
            return Ok(());
        }
        let unpack_failed = |source| ImageError::Unpack { path: path.to_owned(), source };
        let draft = Draft::begin(self.layout, &self.shelf(), diff_id)?;
        let top = draft.make_tree("tree")?;
        let lowers = Lowers::new(self.view()?);
        let unpacked = layers::unpack(file, diff_id, lowers, &top, self.left).map_err(unpack_failed)?;
        let Unpacked { leans, left, hashes } = unpacked;
        let chain = self.chain_with(diff_id);
        let id = if leans { chain.clone() } else { diff_id.to_owned() };
        let held = self.publish(draft, (&id, diff_id), leans, &hashes)?;
        self.layers.push(held);
        (self.chain, self.left) = (Some(chain), left);
        Ok(())
    }

    /// The stored layer that is `diff_id` here, where all together would be `chain`.
    fn stored(&self, diff_id: &str, chain: &str) -> Result<Option<Held>, ImageError> {
        if let Some(held) = hold(&self.shelf(), diff_id)?
            && (chain == diff_id || (!held.record.leans && self.fits(&held)?))
        {
            return Ok(Some(held));
        }
        hold(&self.shelf(), chain)
    }

    /// Whether `layer`, which was made elsewhere, would be the same here: no directory of it is a link below.
    fn fits(&self, layer: &Held) -> Result<bool, ImageError> {
        let lowers = Lowers::new(self.view()?);
        let tree = self.shelf().join(&layer.id).join("tree");
        let mut fits = true;
        walk(&tree, &mut |found| {
            if found.kind() == FileType::Directory {
                let below = lowers.find(found.path).map_err(TreeError::read(found.path))?;
                fits &= !matches!(below, Some(Below::Symlink(..)));
            }
            Ok::<(), TreeError>(())
        })
        .map_err(|source| ImageError::Walk { path: tree, source })?;
        Ok(fits)
    }

    /// Makes one layer of all that are there, if the kernel cannot stack another one upon them.
    fn make_room(&mut self) -> Result<(), ImageError> {
        let (Some(chain), true) = (&self.chain, self.layers.len() + 1 > self.most) else { return Ok(()) };
        let id = hex(Sha256::new_with_prefix(format!("merged {chain}")));
        let _turn = Turn::take(self.layout, &ImageDigest(id.clone()))?;
        let merged = match hold(&self.shelf(), &id)? {
            Some(held) => held,
            None => self.merge(&id)?,
        };
        self.layers = vec![merged];
        Ok(())
    }

    fn merge(&self, id: &str) -> Result<Held, ImageError> {
        let draft = Draft::begin(self.layout, &self.shelf(), id)?;
        let top = draft.make_tree("tree")?;
        let failed = |source| ImageError::Unpack { path: top.clone(), source };
        let hashes = match self.view()? {
            Some(view) => {
                let from = PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd()));
                copy::copy(&from, &top, Limits::NONE).map_err(failed)?
            }
            None => FileHashes::default(),
        };
        self.publish(draft, (id, id), true, &hashes)
    }

    /// Makes the finished draft the layer `id`, which unpacks to `diff_id` and whose files have `hashes`.
    fn publish(
        &self,
        draft: Draft,
        (id, diff_id): (&str, &str),
        leans: bool,
        hashes: &FileHashes,
    ) -> Result<Held, ImageError> {
        let path = self.shelf().join(id);
        let failed = |source| ImageError::Unpack { path: path.clone(), source };
        let tree = draft.path().join("tree");
        let measure = || contents::measure(&tree, hashes, Recipe::Second).map_err(failed);
        let Measured { hash: contents, bytes } = draft.while_syncing(measure)?;
        let bytes = bytes + draft.own_bytes()?;
        let record = LayerRecord { diff_id: diff_id.to_owned(), leans, bytes, contents };
        let text = serde_json::to_vec_pretty(&record).expect("a record of texts and numbers has a JSON form");
        draft.publish(RECORD, &text, &path)?;
        // Nobody removes a layer whose turn another one has.
        hold(&self.shelf(), id)?.ok_or_else(|| ImageError::io("hold", &path)(io::ErrorKind::NotFound.into()))
    }

    /// All that is there as one tree.
    fn view(&self) -> Result<Option<OwnedFd>, ImageError> {
        view(&layer_trees(&self.shelf(), &self.ids()))
    }

    fn chain_with(&self, diff_id: &str) -> String {
        match &self.chain {
            None => diff_id.to_owned(),
            Some(chain) => hex(Sha256::new_with_prefix(format!("sha256:{chain} sha256:{diff_id}"))),
        }
    }

    fn shelf(&self) -> PathBuf {
        self.layout.layers()
    }
}

/// The directories `trees` as one tree, the topmost first; `None` if there are none.
pub(super) fn view(trees: &[PathBuf]) -> Result<Option<OwnedFd>, ImageError> {
    let open = |tree: &PathBuf| {
        let opened = open(tree, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|error| ImageError::io("open", tree)(error.into()))
    };
    let mut opened: Vec<OwnedFd> = trees.iter().map(open).collect::<Result<_, _>>()?;
    let Some(first) = trees.first() else { return Ok(None) };
    if opened.len() == 1 {
        return Ok(opened.pop());
    }
    let lowers: Vec<BorrowedFd<'_>> = opened.iter().map(OwnedFd::as_fd).collect();
    let mount = Overlay { lowers: &lowers, upper: None, devices: Devices::Dead }.mount_aside();
    mount.map(Some).map_err(ImageError::io("stack the layers below", first))
}

/// What the stored layers `ids` take on disk, each counted once.
pub(super) fn bytes(layout: &Layout, ids: &[String]) -> Result<u64, ImageError> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids.dedup();
    ids.iter().map(|id| Ok(record(&layout.layers().join(id))?.bytes)).sum()
}

/// Whether the stored layers `ids` are as they were unpacked.
pub(super) fn are_intact(layout: &Layout, ids: &[String]) -> Result<bool, ImageError> {
    for id in ids {
        let path = layout.layers().join(id);
        let noted = record(&path)?.contents;
        let found = contents::measure(&path.join("tree"), &FileHashes::default(), Recipe::of(&noted));
        if found.map_err(|source| ImageError::Walk { path, source })?.hash != noted {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the layers that no image of the store has and nobody holds, and all drafts that nobody works on.
pub(super) fn prune(layout: &Layout, pruned: &mut Pruned) -> Result<(), ImageError> {
    let shelf = layout.layers();
    let mut idle = Vec::new();
    for id in names(&shelf)? {
        let path = shelf.join(&id);
        if !path.join(RECORD).is_file() {
            continue;
        }
        let Some(turn) = Turn::try_take(layout, &ImageDigest(record(&path)?.diff_id))? else { continue };
        let lock = File::open(&path).map_err(ImageError::io("lock", &path))?;
        match lock.try_lock() {
            Ok(()) => idle.push((id, turn, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(ImageError::io("lock", &path)(error)),
        }
    }
    // Only now: whoever held a layer until then has its image in the store.
    let mut needed = Vec::new();
    for image in store::list(layout)? {
        let path = layout.image(&image.digest);
        needed.extend(layout.stored_root(&image.digest).layers().map_err(ImageError::io("read", &path))?);
    }
    for (id, _turn, _lock) in idle.iter().filter(|(id, ..)| !needed.contains(id)) {
        pruned.note(draft::retire(&shelf.join(id)));
    }
    // Drafts have the turns of what they are to become.
    drop(idle);
    draft::prune(layout, &shelf, pruned)
}

/// Takes hold of the layer `id` in `shelf`, if it is there.
fn hold(shelf: &Path, id: &str) -> Result<Option<Held>, ImageError> {
    let path = shelf.join(id);
    let failed = || ImageError::io("hold", &path);
    loop {
        let lock = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed())?,
        };
        lock.lock_shared().map_err(failed())?;
        // It may have been removed, and even made anew, before it was ours.
        let ours = lock.metadata().map_err(failed())?;
        match fs::metadata(&path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => {
                return Ok(Some(Held { id: id.to_owned(), record: record(&path)?, _lock: lock }));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            Ok(_) | Err(_) => {}
        }
    }
}

fn record(layer: &Path) -> Result<LayerRecord, ImageError> {
    let path = layer.join(RECORD);
    let text = fs::read(&path).map_err(ImageError::io("read", &path))?;
    serde_json::from_slice(&text).map_err(|error| ImageError::io("read", &path)(io::Error::from(error)))
}
