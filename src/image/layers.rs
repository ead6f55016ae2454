//! The layers of an image, one upon the other in one tree (OCI image specification, "image layer filesystem changeset").
//!
//! A layer is read twice: what it takes away is of lower layers only, wherever in the archive that stands, so it goes before
//! anything of the layer comes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::digest::Hashing;
use super::entries::Entries;
use super::error::TreeError;
use super::format::CHUNK;
use super::pax::damaged;
use super::remote::detect;
use super::tree::{Limits, Tree, inside};
use super::unpack::{Bounded, Contents, add_all};

/// What begins a name that stands for the absence of another one.
const WHITEOUT: &[u8] = b".wh.";
/// The name that stands for the absence of all that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What begins the names of a union file system's own files, which mean nothing.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// A layer that was loaded.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    /// It, packed or not.
    pub(super) file: &'a File,
    /// The SHA-256 of what it unpacks to.
    pub(super) contents: &'a str,
    /// What it may hold.
    pub(super) limits: Limits,
}

/// What a layer takes away.
#[derive(Debug, PartialEq, Eq)]
enum Whiteout {
    /// This.
    Name(PathBuf),
    /// All in this directory.
    Below(PathBuf),
}

/// Puts `layer` upon what is in `tree`.
pub(super) fn apply(layer: &Layer<'_>, tree: &mut Tree) -> Result<(), TreeError> {
    let mut content = Hashing::new(layer.open()?);
    let mut whiteouts = Vec::new();
    let mut entries = Entries::new(BufReader::with_capacity(CHUNK, &mut content));
    while let Some(entry) = entries.next()? {
        if let Some(whiteout) = Whiteout::of(&entry.name)? {
            tree.charge(0)?;
            whiteouts.push(whiteout);
        }
    }
    drop(entries);
    if content.finish().map_err(TreeError::damaged)? != layer.contents {
        return Err(TreeError::Damaged(damaged("a layer does not unpack to what the image says")));
    }
    tree.begin_layer();
    for whiteout in &whiteouts {
        match whiteout {
            Whiteout::Name(path) => tree.remove(path)?,
            Whiteout::Below(path) => tree.empty(path)?,
        }
    }
    add_all(layer.open()?, Contents::Layer, tree)
}

impl Layer<'_> {
    /// What it unpacks to, from its beginning.
    fn open(&self) -> Result<impl BufRead, TreeError> {
        let mut file = self.file;
        file.rewind().map_err(TreeError::damaged)?;
        let format = detect(file).map_err(TreeError::damaged)?;
        let format = format.ok_or_else(|| TreeError::Damaged(damaged("a layer is not a tar archive")))?;
        let content = format.decode(BufReader::with_capacity(CHUNK, file)).map_err(TreeError::damaged)?;
        Ok(Bounded::new(content, self.limits))
    }
}

impl Whiteout {
    /// What the entry `name` takes away, if it is such an entry.
    fn of(name: &[u8]) -> Result<Option<Whiteout>, TreeError> {
        // What is not a whiteout may have any name: that is judged when it is unpacked.
        let trimmed = name.strip_suffix(b"/").unwrap_or(name);
        let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let last = &trimmed[start..];
        let Some(hidden) = last.strip_prefix(WHITEOUT) else { return Ok(None) };
        let mut parent = inside(name)?;
        parent.pop();
        if is_marked(&parent) {
            return Ok(None);
        }
        if last == OPAQUE {
            return Ok(Some(Whiteout::Below(parent)));
        }
        if last.starts_with(BOOKKEEPING) {
            return Ok(None);
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(TreeError::UnsafeName(name.escape_ascii().to_string()));
        }
        Ok(Some(Whiteout::Name(parent.join(OsStr::from_bytes(hidden)))))
    }
}

/// Whether `path` is or lies below a name that is no file of the image.
pub(super) fn is_marked(path: &Path) -> bool {
    path.iter().any(|name| name.as_bytes().starts_with(WHITEOUT))
}
