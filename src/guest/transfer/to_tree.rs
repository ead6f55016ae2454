//! Writing a tree.

use std::path::{Path, PathBuf};

use super::PLAIN_MODE;
use super::entry::{Content, Entry, Sink, TransferError};
use crate::sys::{Attributes, FILE_CAPABILITIES, RootDir};

/// A place in a tree.
pub(super) struct TreeSink<'a> {
    tree: &'a RootDir,
    base: PathBuf,
    owner: (u32, u32),
    side: Side,
}

/// Whose tree it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The guest's: files keep what makes them more than files.
    Guest,
    /// The host's: a program of the guest's must not become one that runs as whoever it belongs to there, or with
    /// capabilities.
    Host,
}

impl<'a> TreeSink<'a> {
    /// The path `base` of `tree`, which is that of `side`. Files belong to `owner` there.
    pub(super) fn new(tree: &'a RootDir, base: PathBuf, owner: (u32, u32), side: Side) -> TreeSink<'a> {
        TreeSink { tree, base, owner, side }
    }

    fn path(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.base.clone() } else { self.base.join(below) }
    }
}

impl Sink for TreeSink<'_> {
    fn put(&mut self, entry: Entry<'_>) -> Result<(), TransferError> {
        let path = self.path(entry.path);
        let (uid, gid) = self.owner;
        let (mut mode, mut xattrs) = (entry.mode, entry.xattrs);
        if self.side == Side::Host {
            mode &= PLAIN_MODE;
            xattrs.retain(|(name, _)| name != FILE_CAPABILITIES);
        }
        let attributes = Attributes { mode, uid, gid, modified: entry.modified, xattrs };
        match entry.content {
            Content::Directory => self.tree.make_dir(&path, &attributes),
            Content::File(_, bytes) => self.tree.write_from(&path, bytes, &attributes).map(drop),
            Content::Link(text) => self.tree.symlink_owned(text, &path, uid, gid),
            Content::Name(existing) => self.tree.hard_link(&self.path(existing), &path),
        }
        .map_err(TransferError::write(&path))
    }
}
