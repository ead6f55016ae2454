//! A layer of an image becomes a tree that overlayfs puts upon others (OCI image specification, "image layer filesystem
//! changeset"; overlayfs.rst, "whiteouts and opaque directories").
//!
//! What a layer takes away from those below becomes a mark that overlayfs knows. It is of lower layers only, wherever in
//! the archive it stands.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, FileType, Gid, Mode, OFlags, Uid, XattrFlags};

use super::ahead::read_ahead;
use super::below::{Below, Lowers};
use super::digest::Hashing;
use super::entries::Entries;
use super::error::TreeError;
use super::file_hashes::FileHashes;
use super::pax::damaged;
use super::remote::detect;
use super::tree::{Attributes, Limits, Missing, Tree, inside, settle};
use super::unpack::{Bounded, Contents, add, read_to_end};
use crate::sys::FileKind;

/// What begins a name that stands for the absence of another one.
const WHITEOUT: &[u8] = b".wh.";
/// The name that stands for the absence of all that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What begins the names of a union file system's own files, which mean nothing.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// The attribute of a directory that hides what lower layers have in it.
const OVERLAY_OPAQUE: &str = "trusted.overlay.opaque";
/// The attribute of a directory in which overlayfs looks for marks though there is none below it: else their names would
/// be listed.
const OVERLAY_ORIGIN: &str = "trusted.overlay.origin";

/// What a layer takes away.
#[derive(Debug, PartialEq, Eq)]
enum Whiteout {
    /// This.
    Name(PathBuf),
    /// All in this directory.
    Below(PathBuf),
}

/// A layer that was unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Whether it would be another one upon other layers.
    pub(super) leans: bool,
    /// What may come upon it.
    pub(super) left: Limits,
    /// The hashes of its files.
    pub(super) hashes: FileHashes,
}

/// Unpacks the layer `file`, packed or not, whose SHA-256 unpacked is `contents`, into the empty directory `top`: as what
/// lies upon `lowers`.
pub(super) fn unpack(
    mut file: &File,
    contents: &str,
    lowers: Lowers,
    top: &Path,
    limits: Limits,
) -> Result<Unpacked, TreeError> {
    file.rewind().map_err(TreeError::damaged)?;
    let format = detect(file).map_err(TreeError::damaged)?;
    let format = format.ok_or_else(|| TreeError::Damaged(damaged("a layer is not a tar archive")))?;
    let mut content = Hashing::new(format.decode(file).map_err(TreeError::damaged)?);
    let tree = Tree::upon(lowers, top, limits)?;
    let tree = read_ahead(&mut content, |archive| add_layer(Bounded::new(archive, limits), tree))?;
    if content.finish().map_err(TreeError::damaged)? != contents {
        return Err(TreeError::Damaged(damaged("a layer does not unpack to what the image says")));
    }
    finish(tree)
}

/// Adds what the archive says to `tree`, and reads it to its end.
fn add_layer(mut archive: impl BufRead, mut tree: Tree) -> Result<Tree, TreeError> {
    let mut entries = Entries::new(&mut archive);
    while let Some(entry) = entries.next()? {
        match Whiteout::of(&entry.name)? {
            Some(whiteout) => {
                tree.charge(0)?;
                hide(&mut tree, whiteout)?;
            }
            None => add(&mut tree, &mut entries, Contents::Layer, &entry)?,
        }
    }
    read_to_end(archive)?;
    Ok(tree)
}

/// Hides from `tree` what `whiteout` takes away. What lies where nothing is takes nothing away.
fn hide(tree: &mut Tree, whiteout: Whiteout) -> Result<(), TreeError> {
    match whiteout {
        Whiteout::Name(path) => {
            let parent = path.parent().unwrap_or(Path::new(""));
            if let (Some(place), Some(name)) = (ensure(tree, parent)?, path.file_name()) {
                tree.lowers.remove(place.join(name));
            }
        }
        Whiteout::Below(path) => {
            if let Some(place) = ensure(tree, &path)? {
                tree.lowers.empty(place);
            }
        }
    }
    Ok(())
}

/// The place of the directory `path`, which is there in the tree afterwards; `None` if it is neither there nor below.
fn ensure(tree: &mut Tree, path: &Path) -> Result<Option<PathBuf>, TreeError> {
    let failed = || TreeError::write(path);
    let Some(place) = tree.resolve(path, Missing::Left).map_err(failed())? else {
        tree.leans = true;
        return Ok(None);
    };
    if tree.is_absent(&place).map_err(failed())? {
        tree.resolve(path, Missing::Made).map_err(failed())?;
    }
    Ok(Some(place))
}

/// Gives `tree` the marks of all that it takes away.
pub(super) fn finish(mut tree: Tree) -> Result<Unpacked, TreeError> {
    let leans = tree.leans || !tree.implied.is_empty();
    for place in std::mem::take(&mut tree.implied) {
        follow_lower(&mut tree, &place).map_err(TreeError::write(&place))?;
    }
    let (mut removed, emptied) = tree.lowers.hidden();
    let is_all_gone = emptied.iter().any(|place| place.as_os_str().is_empty());
    if is_all_gone {
        // overlayfs does not look for a mark at the top of a layer.
        removed = tree.lowers.names().map_err(TreeError::write(Path::new("")))?;
    }
    for place in emptied.iter().filter(|place| !place.as_os_str().is_empty()) {
        set_mark(&tree, place, OVERLAY_OPAQUE, b"y").map_err(TreeError::write(place))?;
    }
    for place in &removed {
        take_away(&tree, place).map_err(TreeError::write(place))?;
    }
    let left = tree.left();
    let hashes = tree.finish()?;
    Ok(Unpacked { leans: leans || is_all_gone, left, hashes })
}

/// Makes the directory `place`, of which the layer says nothing, like the one below.
fn follow_lower(tree: &mut Tree, place: &Path) -> io::Result<()> {
    let Some(Below::Directory(found)) = tree.lower(place)? else { return Ok(()) };
    let Some(directory) = open_directory(tree, place)? else { return Ok(()) };
    let attributes = Attributes { xattrs: found.xattrs()?, ..Attributes::of(&found.stat) };
    let owner = (Uid::from_raw(found.stat.st_uid), Gid::from_raw(found.stat.st_gid));
    settle(&directory, owner, &attributes)?;
    tree.finish_later(place.to_owned(), &attributes);
    Ok(())
}

/// Marks `place` as absent, unless the layer itself has something there.
fn take_away(tree: &Tree, place: &Path) -> io::Result<()> {
    match tree.root().metadata(place)?.map(|found| found.kind) {
        Some(FileKind::Directory) => return set_mark(tree, place, OVERLAY_OPAQUE, b"y"),
        Some(FileKind::File | FileKind::Symlink | FileKind::Special) => return Ok(()),
        None => {}
    }
    let parent = place.parent().unwrap_or(Path::new(""));
    // Something else may have taken the place of the directory.
    if open_directory(tree, parent)?.is_none() {
        return Ok(());
    }
    let (dir, name) = tree.root().parent_of(place)?;
    rfs::mknodat(&dir, &name, FileType::CharacterDevice, Mode::empty(), rfs::makedev(0, 0))?;
    set_mark(tree, parent, OVERLAY_ORIGIN, b"")
}

fn set_mark(tree: &Tree, place: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    match open_directory(tree, place)? {
        Some(directory) => Ok(rfs::fsetxattr(directory, name, value, XattrFlags::empty())?),
        None => Ok(()),
    }
}

/// The directory `place` of the layer, if it is one.
fn open_directory(tree: &Tree, place: &Path) -> io::Result<Option<std::os::fd::OwnedFd>> {
    match tree.root().open_at(place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        opened => opened.map(Some),
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
