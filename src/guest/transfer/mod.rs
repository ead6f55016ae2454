//! Files copied between the host and a guest, both ways; either side may be a tar stream.
//!
//! Start at [`copy_in`] and [`copy_out`]. What is read, a tree or a stream, comes as [`Entry`]s, each before what is
//! below it, and goes to a [`Sink`], a tree or a stream. Both trees are hostile: the guest's by its guest, the host's by
//! what an earlier copy put there. Neither side of a copy follows a link that it did not find on its way to the place
//! that was named.

mod entry;
mod from_tar;
mod from_tree;
mod place;
#[cfg(test)]
mod tests;
mod to_tar;
mod to_tree;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

pub use self::entry::{Skipped, Summary, TransferError};

use self::from_tar::read_tar;
use self::from_tree::{read_tree, start_at};
use self::place::{Existing, Place, Source, place};
use self::to_tar::TarSink;
use self::to_tree::{Side, TreeSink};
use crate::sys::{FileKind, Links, RootDir};

/// The side of a copy that is not the guest.
pub enum Outside<'a, Stream> {
    /// A path of the host, as the user wrote it.
    Path(&'a Path),
    /// A tar stream.
    Tar(Stream),
}

/// Copies `source` to the path `destination` of the guest with the root file system `root`. Files belong to `owner`
/// there, user and group; their permission bits are kept.
pub fn copy_in(
    root: &RootDir,
    source: Outside<'_, &mut dyn Read>,
    destination: &Path,
    owner: (u32, u32),
) -> Result<Summary, TransferError> {
    let root = &root.across_mounts().map_err(TransferError::write(destination))?;
    let existing = existing(root, destination)?;
    let mut summary = Summary::default();
    match source {
        Outside::Path(path) => {
            let (tree, inside) = host_side(path).map_err(TransferError::read(path))?;
            let start = start_at(&tree, path, &inside)?;
            let base = match (place(&Source::of(path, &start), destination, existing)?, existing) {
                (Place::Below(name), _) => destination.join(name),
                (Place::Itself, Existing::Directory | Existing::Absent) => destination.to_owned(),
                // A link to a file leads to what is overwritten.
                (Place::Itself, Existing::Other) => {
                    let found = root.canonical(destination).map_err(TransferError::write(destination))?;
                    found.unwrap_or_else(|| destination.to_owned())
                }
            };
            read_tree(start, path, &mut TreeSink::new(root, base, owner, Side::Guest), &mut summary)?;
        }
        Outside::Tar(stream) => {
            if existing != Existing::Directory {
                return Err(TransferError::NoDirectory(destination.to_owned()));
            }
            let mut sink = TreeSink::new(root, destination.to_owned(), owner, Side::Guest);
            read_tar(stream, &mut sink, &mut summary)?;
        }
    }
    Ok(summary)
}

/// Copies the path `source` of the guest with the root file system `root` to `destination`. Files belong to `owner`
/// there, user and group, or, in a tar stream, to whom they do in the guest; none has set-id bits.
pub fn copy_out(
    root: &RootDir,
    source: &Path,
    destination: Outside<'_, &mut dyn Write>,
    owner: (u32, u32),
) -> Result<Summary, TransferError> {
    let root = &root.across_mounts().map_err(TransferError::read(source))?;
    let start = start_at(root, source, source)?;
    let shape = Source::of(source, &start);
    let mut summary = Summary::default();
    match destination {
        Outside::Path(path) => {
            let existing = Existing::of_host(path);
            let opened = match (place(&shape, path, existing)?, existing) {
                (Place::Below(name), _) => host_tree(path).map(|tree| (tree, PathBuf::from(name))),
                (Place::Itself, Existing::Directory) => host_tree(path).map(|tree| (tree, PathBuf::new())),
                // What the user named may be a link of the user's; nothing below it is followed.
                (Place::Itself, Existing::Other) => std::fs::canonicalize(path).and_then(|path| host_side(&path)),
                (Place::Itself, Existing::Absent) => host_side(path),
            };
            let (tree, base) = opened.map_err(TransferError::write(path))?;
            read_tree(start, source, &mut TreeSink::new(&tree, base, owner, Side::Host), &mut summary)?;
        }
        Outside::Tar(stream) => {
            let mut sink = TarSink::new(stream, shape.name_in_archive(), PLAIN_MODE);
            read_tree(start, source, &mut sink, &mut summary)?;
            sink.finish()?;
        }
    }
    Ok(summary)
}

/// Permission bits without set-id and sticky bits.
const PLAIN_MODE: u32 = 0o777;

/// What the path `destination` of the guest leads to.
fn existing(root: &RootDir, destination: &Path) -> Result<Existing, TransferError> {
    let found = root.find(destination, Links::Followed).map_err(TransferError::write(destination))?;
    Ok(match found.map(|found| found.metadata().kind) {
        None => Existing::Absent,
        Some(FileKind::Directory) => Existing::Directory,
        Some(FileKind::File | FileKind::Symlink | FileKind::Special) => Existing::Other,
    })
}

/// The tree of the host that holds `path`, which the user named, and its name in that. With `/` at its end, what it
/// leads to is meant.
fn host_side(path: &Path) -> io::Result<(RootDir, PathBuf)> {
    match path.file_name() {
        Some(name) if !place::names_directory(path) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok((host_tree(parent)?, PathBuf::from(name)))
        }
        Some(_) | None => Ok((host_tree(path)?, PathBuf::new())),
    }
}

fn host_tree(path: &Path) -> io::Result<RootDir> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(RootDir::without_links(open(path, flags, Mode::empty())?))
}
