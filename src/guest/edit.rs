//! Edits of a guest's files: read, compare, write only what differs.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::GuestError;
use crate::model::ID_RANGE_LENGTH;
use crate::sys::{FileKind, Metadata, RootDir};

/// Begins the first line of files that would not be told from the guest's own otherwise.
pub(super) const MARK: &str = "# Written by fleet";

/// How many names of a directory are looked at: no directory that fleet looks into comes near it.
const MOST_NAMES: usize = 4096;

/// Whether a file's content is fleet's.
pub(super) fn is_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

/// Permission bits and owner of a file, in the guest's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Attributes {
    /// Those of a file of root's.
    pub(super) const fn root(mode: u32) -> Attributes {
        Attributes { mode, uid: 0, gid: 0 }
    }
}

/// Edits the files of one guest, or of one directory of it. Nothing that the guest puts in the way leads out of its
/// tree, and a link at the end of a path is replaced, never followed, by all that writes.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    root: &'a RootDir,
    /// Where the tree is in the guest, for errors.
    place: PathBuf,
}

impl<'a> Editor<'a> {
    /// An editor of the whole guest.
    pub(super) fn new(root: &'a RootDir) -> Editor<'a> {
        Editor::of_subtree(root, Path::new("/"))
    }

    /// An editor of the guest's directory `place`, which is open as `root`.
    pub(super) fn of_subtree(root: &'a RootDir, place: &Path) -> Editor<'a> {
        Editor { root, place: place.to_owned() }
    }

    /// The tree, for what only one caller does. Errors of it go through [`Editor::failed`].
    pub(super) fn root(&self) -> &RootDir {
        self.root
    }

    /// The error of an operation `verb` on `path`.
    pub(super) fn failed(&self, verb: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> GuestError {
        let path = self.place.join(path);
        move |source| GuestError::File { verb, path, source }
    }

    /// The content of the regular file that `path` leads to; `None` if it is absent.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, GuestError> {
        let path = path.as_ref();
        self.root.read(path).map_err(self.failed("read", path))
    }

    /// The same, for the guest to have; `None` also if it is not the guest's.
    pub(super) fn read_own(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, GuestError> {
        let path = path.as_ref();
        self.root.read_own(path).map_err(self.failed("read", path))
    }

    /// Whether the regular file that `path` leads to is there and [`is_ours`].
    pub(super) fn has_our_file(&self, path: impl AsRef<Path>) -> Result<bool, GuestError> {
        let path = path.as_ref();
        let start = self.root.read_start(path, MARK.len() as u64).map_err(self.failed("read", path))?;
        Ok(start.is_some_and(|bytes| is_ours(&bytes)))
    }

    /// The names in the directory `path`; none if it is absent. More than 4096 are an error.
    pub(super) fn list(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>, GuestError> {
        let path = path.as_ref();
        let names = self.root.list(path, MOST_NAMES + 1).map_err(self.failed("list", path))?;
        if names.len() > MOST_NAMES {
            return Err(self.failed("list", path)(io::Error::other(format!("it has more than {MOST_NAMES} names"))));
        }
        Ok(names)
    }

    /// The same, but of more than 4096 some are left out.
    pub(super) fn list_some(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>, GuestError> {
        let path = path.as_ref();
        self.root.list(path, MOST_NAMES).map_err(self.failed("list", path))
    }

    /// What `path` is, its last link not followed; `None` if it is absent.
    pub(super) fn metadata(&self, path: impl AsRef<Path>) -> Result<Option<Metadata>, GuestError> {
        let path = path.as_ref();
        self.root.metadata(path).map_err(self.failed("look at", path))
    }

    /// Whether `path` leads to a directory.
    pub(super) fn has_directory(&self, path: impl AsRef<Path>) -> Result<bool, GuestError> {
        self.leads_to(path.as_ref(), FileKind::Directory)
    }

    /// Whether one of `paths` leads to a regular file.
    pub(super) fn has_file(&self, paths: &[&str]) -> Result<bool, GuestError> {
        for path in paths {
            if self.leads_to(Path::new(path), FileKind::File)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn leads_to(&self, path: &Path, kind: FileKind) -> Result<bool, GuestError> {
        let found = self.root.metadata_followed(path).map_err(self.failed("look at", path))?;
        Ok(found.is_some_and(|found| found.kind == kind))
    }

    /// Makes `path` a regular file with exactly this content and these attributes.
    pub(super) fn ensure_file(
        &self,
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
        attributes: Attributes,
    ) -> Result<(), GuestError> {
        let (path, bytes) = (path.as_ref(), bytes.as_ref());
        let Attributes { mode, uid, gid } = attributes;
        let now = self.metadata(path)?;
        let wanted = Metadata { kind: FileKind::File, mode, uid, gid };
        // A file that cannot be read is not the one that is wanted.
        if now == Some(wanted) && matches!(self.root.read(path), Ok(Some(content)) if content == bytes) {
            return Ok(());
        }
        self.root.write(path, bytes, mode, uid, gid).map_err(self.failed("write", path))
    }

    /// Gives the file `path` this content; owner and permissions stay, or are `attributes` if there is no such file.
    pub(super) fn ensure_content(
        &self,
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
        attributes: Attributes,
    ) -> Result<(), GuestError> {
        let path = path.as_ref();
        let kept = self.metadata(path)?.filter(|now| {
            // An owner outside the range is nobody's that the guest knows.
            now.kind == FileKind::File && now.uid < ID_RANGE_LENGTH && now.gid < ID_RANGE_LENGTH
        });
        let kept = kept.map(|now| Attributes { mode: now.mode, uid: now.uid, gid: now.gid });
        self.ensure_file(path, bytes, kept.unwrap_or(attributes))
    }

    /// Makes `path` a symbolic link with the text `target`.
    pub(super) fn ensure_link(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<(), GuestError> {
        let (target, path) = (target.as_ref(), path.as_ref());
        let is_link = self.metadata(path)?.is_some_and(|now| now.kind == FileKind::Symlink);
        if is_link && self.root.read_link(path).is_ok_and(|text| text == target) {
            return Ok(());
        }
        self.root.symlink(target, path).map_err(self.failed("make link", path))
    }

    /// Makes the directory `path` and its missing parents; what is there already is left as it is.
    pub(super) fn ensure_directory(&self, path: impl AsRef<Path>, attributes: Attributes) -> Result<(), GuestError> {
        let path = path.as_ref();
        let Attributes { mode, uid, gid } = attributes;
        self.root.create_dir_all(path, mode, uid, gid).map_err(self.failed("make directory", path))
    }

    /// Removes the file or link `path`, if it is there.
    pub(super) fn ensure_absent(&self, path: impl AsRef<Path>) -> Result<(), GuestError> {
        let path = path.as_ref();
        self.root.remove_file(path).map_err(self.failed("remove", path))
    }
}
