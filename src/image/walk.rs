//! A directory tree of the host, read in a fixed order without following links or leaving its file system.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::TreeError;

/// Nothing that is read lies behind a link or in another file system that is mounted in the tree. Unlike a comparison
/// of device numbers this also keeps out of bind mounts.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// So many directories may lie in one another in an image: each that is gone through is open meanwhile, and a process
/// may usually open 1024 files (getrlimit(2)). Those of distributions are twenty deep, and packages that bring their own
/// packages along twice that.
const MOST_IN_ONE_ANOTHER: usize = 128;

/// Refuses what would lie too deep at `path`, seen from the top of an image.
pub(super) fn check_depth(path: &Path) -> Result<(), TreeError> {
    if path.components().count() > MOST_IN_ONE_ANOTHER {
        return Err(TreeError::TooDeep { begin: path.iter().take(3).collect(), most: MOST_IN_ONE_ANOTHER });
    }
    Ok(())
}

/// Something in the tree.
pub(super) struct Found<'a> {
    /// Its path from the top, which itself has the empty path.
    pub(super) path: &'a Path,
    /// What stat(2) says of it; a link is not followed.
    pub(super) stat: Stat,
    parent: &'a OwnedFd,
    name: &'a OsStr,
}

impl Found<'_> {
    /// What it is.
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Opens the file or directory for reading; `None` if something is mounted over it.
    pub(super) fn open(&self) -> rustix::io::Result<Option<OwnedFd>> {
        open(self.parent, self.name, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    /// The text of the symbolic link.
    pub(super) fn link(&self) -> rustix::io::Result<OsString> {
        Ok(OsString::from_vec(rfs::readlinkat(self.parent, self.name, Vec::new())?.into_bytes()))
    }
}

/// Calls `visit` for the directory `top` and all in it: parents first, names in the order of their bytes. A directory
/// that something is mounted on counts as empty.
pub(super) fn walk<E: From<TreeError>>(
    top: &Path,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let opened = rfs::open(top, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let top_fd = opened.map_err(|error| TreeError::read(top)(error.into()))?;
    Walk { top, visit }.enter(&top_fd, OsStr::new("."), Path::new(""))
}

struct Walk<'a, E> {
    top: &'a Path,
    visit: &'a mut dyn FnMut(&Found<'_>) -> Result<(), E>,
}

impl<E: From<TreeError>> Walk<'_, E> {
    fn enter(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), E> {
        check_depth(path)?;
        let stat = self.read(path, rfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW))?;
        let found = Found { path, stat, parent, name };
        (self.visit)(&found)?;
        if found.kind() != FileType::Directory {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Some(directory) = self.read(path, open(parent, name, flags))? else { return Ok(()) };
        for name in self.read(path, names(&directory))? {
            self.enter(&directory, &name, &path.join(&name))?;
        }
        Ok(())
    }

    fn read<T>(&self, path: &Path, result: rustix::io::Result<T>) -> Result<T, E> {
        result.map_err(|error| TreeError::read(&PathBuf::from_iter([self.top, path]))(error.into()).into())
    }
}

fn open(parent: &impl AsFd, name: &OsStr, flags: OFlags) -> rustix::io::Result<Option<OwnedFd>> {
    loop {
        match rfs::openat2(parent, name, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty(), INSIDE) {
            Err(Errno::XDEV) => return Ok(None),
            Err(Errno::AGAIN) => {}
            other => return other.map(Some),
        }
    }
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rfs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
