//! Where the paths of entries lead: inside the tree, and of a layer inside what it and those below are together.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::super::below::Below;
use super::super::copy::copy_data;
use super::super::error::TreeError;
use super::{Attributes, Parent, Tree, last_of};
use crate::sys::FileKind;

/// Links that are followed on one way, as many as the kernel follows (`path_resolution(7)`).
const MOST_LINKS: u32 = 40;

/// What becomes of a directory that a path leads through and that is not in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Missing {
    /// It is made.
    Made,
    /// It is left out.
    Left,
}

impl Tree {
    /// Whether the place `path` is one of a directory, or of a link that leads to one.
    pub(super) fn leads_to_directory(&mut self, path: &Path) -> io::Result<bool> {
        if self.lowers.is_none() {
            return Ok(self.root.metadata_followed(path)?.is_some_and(|found| found.kind == FileKind::Directory));
        }
        Ok(self.resolve(path, Missing::Left)?.is_some())
    }

    /// Copies the file `target` from below if the layer does not have it: the links `path` and `target` are one file in the
    /// whole. Returns its place.
    pub(super) fn bring_up(&mut self, path: &Path, target: &Path) -> Result<PathBuf, TreeError> {
        let failed = || TreeError::write(path);
        let name = last_of(target).map_err(failed())?;
        let dir = self.resolve(target.parent().unwrap_or(Path::new("")), Missing::Left).map_err(failed())?;
        let place = dir.ok_or_else(|| failed()(Errno::NOENT.into()))?.join(name);
        if !self.is_absent(&place).map_err(failed())? {
            return Ok(place);
        }
        self.leans = true;
        match self.lower(&place).map_err(failed())? {
            Some(Below::File(found)) => {
                let mut attributes = Attributes::of(&found.stat);
                attributes.xattrs = found.xattrs().map_err(failed())?;
                let source = found.open().map_err(failed())?;
                let size = found.stat.st_size.cast_unsigned();
                self.file(&place, size, &attributes, |file| copy_data(&source, file).map_err(failed()))?;
            }
            Some(Below::Symlink(text, stat)) => self.symlink(&place, text.as_os_str(), &Attributes::of(&stat))?,
            Some(Below::Directory(_)) | None => {}
        }
        Ok(place)
    }

    /// Opens the directory that `path` leads to, making what is missing, be it where a dangling link points.
    pub(super) fn ensure_directory(&mut self, path: &Path) -> io::Result<Parent> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        if self.lowers.is_none() {
            match self.root.open_at(path, flags) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return Ok(Parent { opened: opened?, place: path.to_owned() }),
            }
        }
        let place = self.resolve(path, Missing::Made)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Parent { opened: self.root.open_at(&place, flags)?, place })
    }

    /// The place without links that the directory `path` has, in the tree or below; `None` if there is no such directory.
    /// Directories that are not in the tree are made if asked for.
    pub(in super::super) fn resolve(&mut self, path: &Path, missing: Missing) -> io::Result<Option<PathBuf>> {
        let mut place = PathBuf::new();
        let mut links = MOST_LINKS;
        let mut ahead: Vec<OsString> = components(path).rev().collect();
        while let Some(name) = ahead.pop() {
            // What is behind has no links in it, so that this is what the kernel would do, at the top, too.
            if name == ".." {
                place.pop();
                continue;
            }
            let next = place.join(&name);
            let target = match self.root.metadata(&next)?.map(|found| found.kind) {
                Some(FileKind::Directory) => None,
                Some(FileKind::Symlink) => Some(self.root.read_link(&next)?),
                Some(FileKind::File | FileKind::Special) if missing == Missing::Left => return Ok(None),
                Some(FileKind::File | FileKind::Special) => return Err(io::ErrorKind::NotADirectory.into()),
                None => match self.lower(&next)? {
                    Some(Below::Symlink(target, _)) => {
                        self.leans = true;
                        Some(target)
                    }
                    Some(Below::Directory(_)) if missing == Missing::Left => None,
                    _ if missing == Missing::Left => return Ok(None),
                    _ => {
                        self.make_implied(&next)?;
                        None
                    }
                },
            };
            match target {
                None => place = next,
                Some(target) => {
                    links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                    if target.is_absolute() {
                        place = PathBuf::new();
                    }
                    ahead.extend(components(&target).rev());
                }
            }
        }
        Ok(Some(place))
    }

    /// Makes a directory that nothing has been said of yet.
    fn make_implied(&mut self, place: &Path) -> io::Result<()> {
        let (parent, name) = self.root.parent_of(place)?;
        rfs::mkdirat(&parent, &name, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rfs::openat(&parent, &name, flags, Mode::empty())?;
        rfs::fchown(&made, Some(Uid::ROOT), Some(Gid::ROOT))?;
        rfs::fchmod(&made, Mode::from_raw_mode(0o755))?;
        self.implied.insert(place.to_owned());
        Ok(())
    }

    /// What is below at `place`.
    pub(in super::super) fn lower(&self, place: &Path) -> io::Result<Option<Below>> {
        self.lowers.find(place)
    }

    /// Whether the tree itself has nothing at `place`.
    pub(in super::super) fn is_absent(&self, place: &Path) -> io::Result<bool> {
        Ok(self.root.metadata(place)?.is_none())
    }
}

/// The components of `path`, without `.`; its begin is the tree's top in any case.
fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}
