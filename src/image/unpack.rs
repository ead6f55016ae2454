//! A tar archive becomes a root file system.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::entries::{Entries, Entry, EntryKind};
use super::error::TreeError;
use super::file_hashes::FileHashes;
use super::layers::is_marked;
use super::pax::damaged;
use super::sparse::Segment;
use super::tree::{Limits, Tree, inside};

/// What of an archive is the root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// All of it.
    Root,
    /// All of it, in the packing of LXC: that has cloud-init switched off by a file, which no other packing has.
    LxcRoot,
    /// What is below its directory `rootfs`, as in the unified images of Incus.
    Unified,
    /// One of the layers that it consists of: what stands for the absence of files is none of its files.
    Layer,
}

/// The file that switches cloud-init off.
const CLOUD_INIT_SWITCH: &str = "etc/cloud/cloud-init.disabled";

impl Contents {
    /// The place in the root file system of the entry `name`; `None` if it has none.
    fn place(self, name: &[u8]) -> Result<Option<PathBuf>, TreeError> {
        let path = inside(name)?;
        Ok(match self {
            Contents::Root => Some(path),
            Contents::Layer => Some(path).filter(|path| !is_marked(path)),
            Contents::LxcRoot => Some(path).filter(|path| path != Path::new(CLOUD_INIT_SWITCH)),
            Contents::Unified => path.strip_prefix("rootfs").ok().map(Path::to_owned),
        })
    }
}

/// Unpacks `contents` of the tar archive that `reader` gives the bytes of into the empty directory `top`, and reads it
/// to its end. Returns the hashes of its files.
///
/// Devices are left out, for the engine makes a container's `/dev`. Names that begin with `.wh.` are ordinary: the
/// archive is no layer.
pub(super) fn unpack(
    reader: impl BufRead,
    contents: Contents,
    top: &Path,
    limits: Limits,
) -> Result<FileHashes, TreeError> {
    let mut tree = Tree::new(top, limits)?;
    add_all(Bounded::new(reader, limits), contents, &mut tree)?;
    tree.finish()
}

/// Unpacks `contents` of the archive into `tree`, and reads it to its end.
pub(super) fn add_all(mut reader: impl BufRead, contents: Contents, tree: &mut Tree) -> Result<(), TreeError> {
    let mut entries = Entries::new(&mut reader);
    while let Some(entry) = entries.next()? {
        add(tree, &mut entries, contents, &entry)?;
    }
    read_to_end(reader)
}

/// Reads the padding behind an archive: a decoder checks what it decoded only at its own end.
pub(super) fn read_to_end(mut reader: impl BufRead) -> Result<(), TreeError> {
    io::copy(&mut reader, &mut io::sink()).map_err(TreeError::damaged).map(drop)
}

/// Adds the entry `entry`, whose data come next, to `tree`.
pub(super) fn add<R: BufRead>(
    tree: &mut Tree,
    entries: &mut Entries<R>,
    contents: Contents,
    entry: &Entry,
) -> Result<(), TreeError> {
    let Some(path) = contents.place(&entry.name)? else { return tree.charge(0) };
    let unsupported = |what| TreeError::Unsupported { entry: path.display().to_string(), what };
    match &entry.kind {
        EntryKind::File { size, segments } => {
            // A map of nothing but empty pieces costs as much as data.
            tree.charge_bytes(segments.as_ref().map_or(0, |segments| size_of_val(segments.as_slice()) as u64))?;
            tree.file(&path, *size, &entry.attributes, |file| match segments {
                None => entries.copy(*size, |piece| file.write_all(piece).map_err(TreeError::write(&path))),
                Some(segments) => fill_sparse(file, &path, *size, segments, entries),
            })
        }
        EntryKind::HardLink(target) => {
            // Some programs write it as the guest would: that is harmless, it is resolved inside the tree.
            let target = target.strip_prefix(b"/").unwrap_or(target);
            match contents.place(target)? {
                Some(target) => tree.hard_link(&path, &target),
                None => Err(unsupported("it links to what is no part of the root file system")),
            }
        }
        EntryKind::Symlink(target) => tree.symlink(&path, target, &entry.attributes),
        EntryKind::Directory => tree.directory(&path, &entry.attributes),
        EntryKind::Pipe => tree.pipe(&path, &entry.attributes),
        EntryKind::Device => tree.charge(0),
        EntryKind::Unknown => Err(unsupported("its kind is not known")),
    }
}

fn fill_sparse<R: BufRead>(
    file: &mut File,
    path: &Path,
    size: u64,
    segments: &[Segment],
    entries: &mut Entries<R>,
) -> Result<(), TreeError> {
    for (offset, length) in segments {
        if offset.checked_add(*length).is_none_or(|end| end > size) {
            return Err(TreeError::Damaged(damaged("a sparse file has data behind its end")));
        }
        file.seek(SeekFrom::Start(*offset)).map_err(TreeError::write(path))?;
        entries.copy(*length, |piece| file.write_all(piece).map_err(TreeError::write(path)))?;
    }
    file.set_len(size).map_err(TreeError::write(path))
}

/// A reader that fails when more than a limit has come out of it.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    reader: R,
    left: u64,
    limits: Limits,
}

impl<R: BufRead> Bounded<R> {
    /// Devices, padding and headers count for none of `limits`, but come out of a decoder all the same.
    pub(super) fn new(reader: R, limits: Limits) -> Bounded<R> {
        Bounded { reader, left: limits.bytes.saturating_mul(2), limits }
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let piece = self.reader.fill_buf()?;
        if self.left == 0 && !piece.is_empty() {
            return Err(io::Error::other(self.limits.too_large()));
        }
        let shown = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        Ok(&piece[..shown])
    }

    fn consume(&mut self, amount: usize) {
        self.left -= amount as u64;
        self.reader.consume(amount);
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}
