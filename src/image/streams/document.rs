//! What the files of a simplestreams server say, as far as it matters here. Everything else in them is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `streams/v1/index.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Index {
    index: BTreeMap<String, Stream>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    #[serde(default)]
    datatype: String,
    #[serde(default)]
    path: String,
}

impl Index {
    /// The files of products that are images.
    pub(super) fn image_paths(&self) -> impl Iterator<Item = &str> {
        self.index.values().filter(|stream| stream.datatype == "image-downloads").map(|stream| stream.path.as_str())
    }
}

/// A file of products.
#[derive(Debug, Deserialize)]
pub(super) struct Products {
    pub(super) products: BTreeMap<String, Product>,
}

/// What a server offers for one architecture: a distribution, or a variant of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Product {
    /// One text, set apart by commas.
    #[serde(default)]
    aliases: String,
    #[serde(default)]
    pub(super) arch: String,
    /// By serial.
    #[serde(default)]
    pub(super) versions: BTreeMap<String, Version>,
}

impl Product {
    /// Its names, in lower case.
    pub(super) fn aliases(&self) -> impl Iterator<Item = String> {
        self.aliases.split(',').map(|alias| alias.trim().to_ascii_lowercase()).filter(|alias| !alias.is_empty())
    }
}

/// One build.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    #[serde(default)]
    pub(super) items: BTreeMap<String, Item>,
}

/// One file of a build. What deltas and disks of virtual machines have besides is passed over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    pub(super) ftype: String,
    pub(super) path: String,
    pub(super) sha256: String,
    pub(super) size: u64,
    /// The older name of the next.
    pub(super) combined_sha256: Option<String>,
    /// Of this metadata and the archive.
    pub(super) combined_rootxz_sha256: Option<String>,
    /// Of this metadata and the squashfs.
    pub(super) combined_squashfs_sha256: Option<String>,
}
