//! Reading a tar stream.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::entry::{Content, Entry, Sink, Summary, TransferError};

/// Puts all entries of `stream` into `sink`.
pub(super) fn read_tar(stream: &mut dyn Read, sink: &mut dyn Sink, summary: &mut Summary) -> Result<(), TransferError> {
    let unreadable = |error| TransferError::Stream("read", error);
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = inside(&entry.path().map_err(unreadable)?)?;
        let link = entry.link_name().map_err(unreadable)?.map(std::borrow::Cow::into_owned).unwrap_or_default();
        let header = entry.header();
        let mode = header.mode().map_err(unreadable)? & 0o7777;
        let modified = (i64::try_from(header.mtime().map_err(unreadable)?).unwrap_or(0), 0);
        let (kind, length, name) = (header.entry_type(), entry.size(), inside(&link));
        let name = if kind.is_hard_link() { name? } else { PathBuf::new() };
        let content = match kind {
            EntryType::Directory => Content::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Content::File(length, &mut entry),
            EntryType::Symlink => Content::Link(&link),
            EntryType::Link => Content::Name(&name),
            _ => {
                summary.skip(&path, "it is a device, a pipe or something unknown");
                continue;
            }
        };
        summary.count(&content);
        sink.put(Entry { path: &path, content, mode, owner: (0, 0), modified, xattrs: Vec::new() })?;
    }
    Ok(())
}

/// `path` below the directory that the archive is unpacked in.
fn inside(path: &Path) -> Result<PathBuf, TransferError> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(TransferError::LeadsOut(path.to_owned())),
        }
    }
    Ok(inside)
}
