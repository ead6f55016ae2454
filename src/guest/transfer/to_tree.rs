//! Writing a tree.

use std::path::{Path, PathBuf};

use super::entry::{Content, Entry, Sink, TransferError};
use crate::sys::{Attributes, RootDir};

/// A place in a tree.
pub(super) struct TreeSink<'a> {
    tree: &'a RootDir,
    base: PathBuf,
    owner: (u32, u32),
    modes: u32,
}

impl<'a> TreeSink<'a> {
    /// The path `base` of `tree`. Files belong to `owner` there, and have of their permission bits those in `modes`.
    pub(super) fn new(tree: &'a RootDir, base: PathBuf, owner: (u32, u32), modes: u32) -> TreeSink<'a> {
        TreeSink { tree, base, owner, modes }
    }

    fn path(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.base.clone() } else { self.base.join(below) }
    }
}

impl Sink for TreeSink<'_> {
    fn put(&mut self, entry: Entry<'_>) -> Result<(), TransferError> {
        let path = self.path(entry.path);
        let (uid, gid) = self.owner;
        let attributes = Attributes { mode: entry.mode & self.modes, uid, gid, modified: entry.modified };
        match entry.content {
            Content::Directory => self.tree.make_dir(&path, attributes),
            Content::File(_, bytes) => self.tree.write_from(&path, bytes, attributes).map(drop),
            Content::Link(text) => self.tree.symlink_owned(text, &path, uid, gid),
            Content::Name(existing) => self.tree.hard_link(&self.path(existing), &path),
        }
        .map_err(TransferError::write(&path))
    }
}
