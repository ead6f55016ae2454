//! What lies below a layer while it is unpacked: the layers under it as one tree, less what it takes away from them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat, fstat};
use rustix::io::Errno;

use super::xattrs::{self, Xattr};
use crate::sys::RootDir;

/// What a path is below a layer. Devices, pipes and sockets count as absent: nothing of a layer depends on them.
#[derive(Debug)]
pub(super) enum Below {
    /// A directory.
    Directory(Found),
    /// A regular file.
    File(Found),
    /// A symbolic link with this text.
    Symlink(PathBuf, Stat),
}

/// A directory or file below a layer.
#[derive(Debug)]
pub(super) struct Found {
    opened: OwnedFd,
    pub(super) stat: Stat,
}

/// The layers below, as far as they show.
#[derive(Debug, Default)]
pub(super) struct Lowers {
    /// Absent below the lowest layer.
    view: Option<RootDir>,
    /// What the layer removes, and the directories of which it hides all that they had.
    removed: BTreeSet<PathBuf>,
    emptied: BTreeSet<PathBuf>,
}

impl Lowers {
    /// What the directory `top` shows; without one, nothing.
    pub(super) fn new(top: Option<OwnedFd>) -> Lowers {
        // Paths here have no links in them: where one is below, a layer that goes another way has its own directory.
        Lowers { view: top.map(RootDir::without_links), ..Lowers::default() }
    }

    /// Whether there is nothing below that could show.
    pub(super) fn is_none(&self) -> bool {
        self.view.is_none()
    }

    /// Hides `path` with all in it.
    pub(super) fn remove(&mut self, path: PathBuf) {
        self.removed.insert(path);
    }

    /// Hides all in the directory `path`.
    pub(super) fn empty(&mut self, path: PathBuf) {
        self.emptied.insert(path);
    }

    /// What is removed and does not lie in something that is, and the directories that are emptied, each in order.
    pub(super) fn hidden(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let shows = |path: &&PathBuf| path.parent().is_none_or(|parent| self.shows_within(parent));
        (self.removed.iter().filter(shows).cloned().collect(), self.emptied.iter().cloned().collect())
    }

    /// The names at the top of what is below.
    pub(super) fn names(&self) -> io::Result<Vec<PathBuf>> {
        let Some(view) = &self.view else { return Ok(Vec::new()) };
        Ok(view.list(Path::new(""), usize::MAX)?.into_iter().map(PathBuf::from).collect())
    }

    /// What `path`, which has no `..` in it, is below; `None` if it is absent or hidden. Links are not followed.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<Below>> {
        let Some(view) = &self.view else { return Ok(None) };
        if path.ancestors().any(|above| self.removed.contains(above))
            || path.ancestors().skip(1).any(|above| self.emptied.contains(above))
        {
            return Ok(None);
        }
        let opened = match view.open_at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            // Below something that is no directory, or only over a link.
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened?,
        };
        let stat = fstat(&opened)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Some(Below::Directory(Found { opened, stat })),
            FileType::RegularFile => Some(Below::File(Found { opened, stat })),
            FileType::Symlink => Some(Below::Symlink(view.read_link(path)?, stat)),
            _ => None,
        })
    }

    /// Whether anything in the directory `path` could show.
    fn shows_within(&self, path: &Path) -> bool {
        !path.ancestors().any(|above| self.removed.contains(above) || self.emptied.contains(above))
    }
}

impl Found {
    /// It, to be read.
    pub(super) fn open(&self) -> io::Result<File> {
        use std::os::fd::AsRawFd as _;
        File::open(format!("/proc/self/fd/{}", self.opened.as_raw_fd()))
    }

    /// Its extended attributes.
    pub(super) fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        xattrs::read(&self.open()?)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
