//! What the root file system of a stored image is made of: written by whoever fills the store, read by whoever mounts it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Layout, write_atomic};
use crate::model::ImageDigest;

/// One of the things that nobody writes to, which a root file system stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lower {
    /// A directory.
    Directory(PathBuf),
    /// A squashfs to be mounted.
    Squashfs(PathBuf),
}

/// The parts of an image in the store, finished or in the making.
#[derive(Debug, Clone)]
pub struct StoredRoot {
    dir: PathBuf,
    layers: PathBuf,
}

impl Layout {
    /// The parts of the stored image `digest`.
    #[must_use]
    pub fn stored_root(&self, digest: &ImageDigest) -> StoredRoot {
        StoredRoot { dir: self.image(digest), layers: self.layers() }
    }
}

impl StoredRoot {
    /// The parts of the image in the directory `dir`, whose layers are in the directory `layers`.
    #[must_use]
    pub fn new(dir: PathBuf, layers: PathBuf) -> StoredRoot {
        StoredRoot { dir, layers }
    }

    /// All of it, of an image that is one tree.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// All of it, of an image that is a squashfs.
    #[must_use]
    pub fn squashfs(&self) -> PathBuf {
        self.dir.join("rootfs.squashfs")
    }

    /// What lies upon a squashfs to hide what no container may have.
    #[must_use]
    pub fn mask(&self) -> PathBuf {
        self.dir.join("mask")
    }

    fn layer_list(&self) -> PathBuf {
        self.dir.join("layers.json")
    }

    /// Writes that it consists of the layers `ids`, the lowest first.
    pub fn set_layers(&self, ids: &[String]) -> io::Result<()> {
        write_atomic(&self.layer_list(), &serde_json::to_vec(ids)?, 0o600)
    }

    /// The layers that it consists of, the lowest first; none if it has no layers.
    pub fn layers(&self) -> io::Result<Vec<String>> {
        match fs::read(self.layer_list()) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What to stack, the topmost first.
    pub fn lowers(&self) -> io::Result<Vec<Lower>> {
        let layers = self.layers()?;
        if !layers.is_empty() {
            return Ok(layer_trees(&self.layers, &layers).into_iter().map(Lower::Directory).collect());
        }
        // Both are there where a squashfs was unpacked for a kernel that cannot mount it.
        if self.tree().is_dir() || !self.squashfs().exists() {
            return Ok(vec![Lower::Directory(self.tree())]);
        }
        let mask = Some(self.mask()).filter(|mask| mask.is_dir()).map(Lower::Directory);
        Ok(mask.into_iter().chain([Lower::Squashfs(self.squashfs())]).collect())
    }
}

/// The trees of the layers `ids`, the lowest first, in the directory `layers`: the topmost first, and each once, for an
/// overlay has no directory twice. What a layer holds hides the same layer further down.
#[must_use]
pub fn layer_trees(layers: &Path, ids: &[String]) -> Vec<PathBuf> {
    let mut trees: Vec<PathBuf> = Vec::new();
    for id in ids.iter().rev() {
        let tree = layers.join(id).join("tree");
        if !trees.contains(&tree) {
            trees.push(tree);
        }
    }
    trees
}
