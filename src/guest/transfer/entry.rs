//! What passes from one side of a copy to the other, and what came of it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::sys::{FILE_CAPABILITIES, Xattr};

/// One file on its way.
pub(super) struct Entry<'a> {
    /// Where it is below what is copied; empty for that itself. It has neither `..` nor a `/` at its beginning.
    pub(super) path: &'a Path,
    pub(super) content: Content<'a>,
    /// Permission bits, with set-id and sticky bits.
    pub(super) mode: u32,
    /// User and group, as its side has them.
    pub(super) owner: (u32, u32),
    /// When its content changed last, in seconds since 1970 and nanoseconds.
    pub(super) modified: (i64, i64),
    /// Those of its extended attributes that may be copied at all.
    pub(super) xattrs: Vec<Xattr>,
}

/// Whether an extended attribute may be copied: what users keep there, and capabilities. Others mean something to the
/// system that they are on alone, as access lists do, which name its users, or are orders to it.
pub(super) fn may_be_copied(name: &[u8]) -> bool {
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")) || name == FILE_CAPABILITIES.as_bytes()
}

/// What a file is.
pub(super) enum Content<'a> {
    Directory,
    /// So many bytes of a regular file.
    File(u64, &'a mut dyn Read),
    /// A symbolic link with this text.
    Link(&'a Path),
    /// One more name of the file that was put at this path.
    Name(&'a Path),
}

/// Where entries go.
pub(super) trait Sink {
    /// Takes one; what it is below was put before.
    fn put(&mut self, entry: Entry<'_>) -> Result<(), TransferError>;
}

/// What a copy came to.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// How many regular files were copied.
    pub files: u64,
    /// How many directories.
    pub directories: u64,
    /// How many symbolic and hard links.
    pub links: u64,
    /// How many bytes the files have.
    pub bytes: u64,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Something that was left out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its path below what is copied. Whoever made it chose the name: what a terminal could obey is escaped.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Summary {
    pub(super) fn count(&mut self, content: &Content<'_>) {
        match content {
            Content::Directory => self.directories += 1,
            Content::File(length, _) => {
                self.files += 1;
                self.bytes += length;
            }
            Content::Link(_) | Content::Name(_) => self.links += 1,
        }
    }

    pub(super) fn skip(&mut self, path: &Path, why: impl Into<String>) {
        self.skipped.push(Skipped { path: shown(path), why: why.into() });
    }
}

/// `path` without anything that a terminal could obey.
fn shown(path: &Path) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    path.to_string_lossy().chars().map(escape).collect()
}

/// Why a copy ended.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Reading the source.
    #[error("cannot read `{}`", shown(path))]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing to the destination.
    #[error("cannot write `{}`", shown(path))]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The source is not there.
    #[error("there is no `{}`", shown(.0))]
    Absent(PathBuf),
    /// The source is a device, a pipe or a socket.
    #[error("`{}` is a device, a pipe or a socket", shown(.0))]
    Special(PathBuf),
    /// The destination would have to be a directory.
    #[error("there is no directory `{}`", shown(.0))]
    NoDirectory(PathBuf),
    /// A path that ends in `/` is something else.
    #[error("`{}` is not a directory", shown(.0))]
    NotADirectory(PathBuf),
    /// A directory was to become a file.
    #[error("cannot copy a directory to `{}`, which is none", shown(.0))]
    DirectoryToFile(PathBuf),
    /// A tar stream.
    #[error("cannot {0} the tar stream")]
    Stream(&'static str, #[source] io::Error),
    /// A tar stream with a path that leads out.
    #[error("the tar stream has `{}`, which leads out of its directory", shown(.0))]
    LeadsOut(PathBuf),
}

impl TransferError {
    /// For what is done with `path`.
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> TransferError {
        let path = path.to_owned();
        move |source| TransferError::Read { path, source }
    }

    /// For what is done with `path`.
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> TransferError {
        let path = path.to_owned();
        move |source| TransferError::Write { path, source }
    }
}
