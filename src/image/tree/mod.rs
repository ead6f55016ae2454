//! A new root file system, written entry by entry from a source that may be hostile.
//!
//! Start at [`Tree`]. Parents are resolved inside the tree as the guest would resolve them, because images with a
//! merged `/usr` have entries below links such as `lib -> usr/lib`; the last component of a name is never followed.

mod access;
mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

pub(super) use self::resolve::Missing;
use super::acl::{self, Acl};
use super::below::{Below, Lowers};
use super::error::TreeError;
use super::file_hashes::{FileHasher, FileHashes};
use super::walk::check_depth;
use super::xattrs::{self, Xattr};
use crate::model::{Bytes, ImageLimit, ImageLimits};
use crate::sys::RootDir;

/// The last user or group id that a container has.
pub(super) const LAST_ID: u64 = 65_535;

/// How much one image may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in all files together.
    pub(super) bytes: u64,
    /// Files, directories and links.
    pub(super) entries: u64,
}

impl Limits {
    /// Of what has been accepted before.
    pub(super) const NONE: Limits = Limits { bytes: u64::MAX, entries: u64::MAX };

    /// Takes an entry with `bytes` from what is left of `all`.
    pub(super) fn charge(&mut self, bytes: u64, all: Limits) -> Result<(), TreeError> {
        let too_many = || TreeError::TooLarge(ImageLimit::Entries(all.entries));
        self.entries = self.entries.checked_sub(1).ok_or_else(too_many)?;
        self.charge_bytes(bytes, all)
    }

    /// Takes `bytes` of an entry that has been taken, or will be.
    pub(super) fn charge_bytes(&mut self, bytes: u64, all: Limits) -> Result<(), TreeError> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| all.too_large())?;
        Ok(())
    }

    /// The error of what has more bytes.
    pub(super) fn too_large(self) -> TreeError {
        TreeError::TooLarge(ImageLimit::Size(Bytes(self.bytes)))
    }
}

impl From<ImageLimits> for Limits {
    fn from(limits: ImageLimits) -> Limits {
        Limits { bytes: limits.size.0, entries: limits.entries }
    }
}

/// An access control list that has names in it, and the attribute that the kernel takes it in.
pub(super) type NamedAcl = (&'static str, Acl);

/// What an entry is owned by and carries, whatever its kind.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    /// Permission, set-id and sticky bits.
    pub(super) mode: u32,
    /// Owner.
    pub(super) uid: u64,
    /// Group.
    pub(super) gid: u64,
    /// Time of the last change of its content.
    pub(super) mtime: Timespec,
    /// Extended attributes; those that an image may not carry are left out when written.
    pub(super) xattrs: Vec<Xattr>,
    /// Access control lists that have names in them.
    pub(super) named: Vec<NamedAcl>,
}

impl Attributes {
    /// Those of `stat`; extended ones are no part of that.
    pub(super) fn of(stat: &Stat) -> Attributes {
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).expect("nanoseconds are less than a second");
        Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.into(),
            gid: stat.st_gid.into(),
            mtime: Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds },
            xattrs: Vec::new(),
            named: Vec::new(),
        }
    }
}

/// A directory of the tree that something is made in.
#[derive(Debug)]
struct Parent {
    opened: OwnedFd,
    /// Its path, which in a layer has no links in it.
    place: PathBuf,
}

/// What a directory gets when all is in it: every new entry changes its time, and inherits its default access control list.
#[derive(Debug)]
struct Late {
    mtime: Timespec,
    default_acl: Option<Xattr>,
}

/// A root file system in the making.
#[derive(Debug)]
pub(super) struct Tree {
    root: RootDir,
    left: Limits,
    limits: Limits,
    /// The parent of the last entry: entries of one directory follow each other.
    parent: Option<(PathBuf, Rc<Parent>)>,
    /// What directories get at the end.
    directories: BTreeMap<PathBuf, Late>,
    /// Access control lists with names, by their places: the files that tell what the names mean may come later.
    named: BTreeMap<(PathBuf, &'static str), Acl>,
    named_entries: usize,
    /// From the first file on.
    hasher: Option<FileHasher>,
    /// What is below it, if it is a layer.
    pub(super) lowers: Lowers,
    /// Directories that were made for what is in them, and may have those below for their model.
    pub(super) implied: BTreeSet<PathBuf>,
    /// Whether links below have led anywhere.
    pub(super) leans: bool,
}

impl Tree {
    /// Writes into the empty directory `top`, at most `limits`.
    pub(super) fn new(top: &Path, limits: Limits) -> Result<Tree, TreeError> {
        Tree::upon(Lowers::default(), top, limits)
    }

    /// The same for a layer upon `lowers`: their links lead where they lead in the whole.
    pub(super) fn upon(lowers: Lowers, top: &Path, limits: Limits) -> Result<Tree, TreeError> {
        let root = RootDir::open(top).map_err(TreeError::write(top))?;
        let (directories, named, implied) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (parent, hasher, left) = (None, None, limits);
        Ok(Tree {
            root,
            left,
            limits,
            parent,
            directories,
            named,
            named_entries: 0,
            hasher,
            lowers,
            implied,
            leans: false,
        })
    }

    /// Makes the directory `path`, or gives the one that is there these attributes. A link to a directory stays.
    pub(super) fn directory(&mut self, path: &Path, attributes: &Attributes) -> Result<(), TreeError> {
        let owner = self.admit(path, 0, attributes)?;
        match self.make_directory(path, owner, attributes).map_err(TreeError::write(path))? {
            Some(place) => self.remember_named(&place, &attributes.named),
            None => Ok(()),
        }
    }

    /// Makes the regular file `path` of `size` bytes, which `data` writes. Whatever else had that name goes.
    pub(super) fn file(
        &mut self,
        path: &Path,
        size: u64,
        attributes: &Attributes,
        data: impl FnOnce(&mut File) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let owner = self.admit(path, size, attributes)?;
        // To be read once more, which is no access that its times should tell of.
        let access = OFlags::RDWR | OFlags::NOATIME;
        let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.make(path, |parent, name| rfs::openat(parent, name, flags, Mode::from_raw_mode(0o600)));
        let (parent, fd) = made.map_err(TreeError::write(path))?;
        let mut file = File::from(fd);
        data(&mut file)?;
        settle(&file, owner, attributes)
            .and_then(|()| Ok(rfs::futimens(&file, &times(attributes.mtime))?))
            .map_err(TreeError::write(path))?;
        let name = last_of(path).map_err(TreeError::write(path))?;
        let access: Vec<NamedAcl> = attributes.named.iter().filter(|(name, _)| *name == acl::ACCESS).cloned().collect();
        self.remember_named(&parent.place.join(name), &access)?;
        self.hasher.get_or_insert_with(FileHasher::start).add(file, size);
        Ok(())
    }

    /// Makes the symbolic link `path` with the text `target`.
    pub(super) fn symlink(&mut self, path: &Path, target: &OsStr, attributes: &Attributes) -> Result<(), TreeError> {
        let owner = self.admit(path, 0, attributes)?;
        self.make(path, |parent, name| rfs::symlinkat(target, parent, name))
            .and_then(|(parent, ())| settle_unopened(&parent, path, owner, attributes.mtime))
            .map_err(TreeError::write(path))
    }

    /// Makes the named pipe `path`.
    pub(super) fn pipe(&mut self, path: &Path, attributes: &Attributes) -> Result<(), TreeError> {
        let owner = self.admit(path, 0, attributes)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o7777);
        self.make(path, |parent, name| rfs::mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0))
            .and_then(|(parent, ())| {
                settle_unopened(&parent, path, owner, attributes.mtime)?;
                Ok(rfs::chmodat(&parent.opened, last_of(path)?, mode, AtFlags::empty())?)
            })
            .map_err(TreeError::write(path))
    }

    /// Makes `path` another name of the file `target`, a name of this tree.
    pub(super) fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        self.charge(0)?;
        check_depth(path)?;
        let target = if self.lowers.is_none() { target.to_owned() } else { self.bring_up(path, target)? };
        self.link(path, &target).map_err(TreeError::write(path))
    }

    /// Counts `bytes` that come with an entry against the limits, as if they were written.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), TreeError> {
        self.left.charge(bytes, self.limits)
    }

    /// Counts `bytes` that an entry takes besides its data against the limits.
    pub(super) fn charge_bytes(&mut self, bytes: u64) -> Result<(), TreeError> {
        self.left.charge_bytes(bytes, self.limits)
    }

    /// What is left of the limits.
    pub(super) fn left(&self) -> Limits {
        self.left
    }

    /// Gives directories and lists with names what they get last: the tree is as its source says. Returns the hashes of what
    /// was written to files.
    pub(super) fn finish(mut self) -> Result<FileHashes, TreeError> {
        self.write_named()?;
        for (path, late) in &self.directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match self.root.open_at(path, flags) {
                Ok(directory) => late.write_to(&directory).map_err(TreeError::write(path))?,
                // A later entry took its place.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(TreeError::write(path)(error)),
            }
        }
        Ok(self.hasher.map(FileHasher::finish).unwrap_or_default())
    }

    fn admit(&mut self, path: &Path, bytes: u64, attributes: &Attributes) -> Result<(Uid, Gid), TreeError> {
        self.charge(bytes)?;
        check_depth(path)?;
        access::check(path, &attributes.xattrs)?;
        Ok((Uid::from_raw(id(path, "owner", attributes.uid)?), Gid::from_raw(id(path, "group", attributes.gid)?)))
    }

    /// Returns its place, unless a link that leads to a directory stays.
    fn make_directory(
        &mut self,
        path: &Path,
        owner: (Uid, Gid),
        attributes: &Attributes,
    ) -> io::Result<Option<PathBuf>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = if path.as_os_str().is_empty() {
            settle(&self.root.open_at(path, flags)?, owner, attributes)?;
            PathBuf::new()
        } else {
            let (parent, name) = (self.parent_of(path)?, last_of(path)?);
            let place = parent.place.join(name);
            let mkdir = || rfs::mkdirat(&parent.opened, name, Mode::from_raw_mode(0o700));
            // A link to a directory, as merged-/usr images have below an older layer's `lib/`: it stays.
            if let Some(Below::Symlink(..)) = self.lower(&place)?
                && self.is_absent(&place)?
                && self.leads_to_directory(&place)?
            {
                self.leans = true;
                return Ok(None);
            }
            let mut was_there = false;
            match mkdir() {
                Err(Errno::EXIST) if self.leads_to_directory(&place)? => was_there = true,
                Err(Errno::EXIST) => {
                    self.clear(&parent.opened, name)?;
                    mkdir()?;
                }
                made => made?,
            }
            match rfs::openat(&parent.opened, name, flags, Mode::empty()) {
                Ok(directory) => {
                    if was_there {
                        // Of an entry that this one takes the place of.
                        xattrs::remove(&directory, acl::ACCESS)?;
                    }
                    settle(&directory, owner, attributes)?;
                }
                // The same of a link in the tree itself.
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            place
        };
        self.implied.remove(&place);
        self.finish_later(place.clone(), attributes);
        Ok(Some(place))
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let (from, old_name) = self.root.parent_of(target)?;
        let wanted = rfs::statat(&from, &old_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = self.parent_of(path)?;
        match rfs::statat(&parent.opened, last_of(path)?, AtFlags::SYMLINK_NOFOLLOW) {
            // Already one file: to clear the name would be to lose it.
            Ok(found) if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino) => return Ok(()),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        // Without AT_SYMLINK_FOLLOW a link at the target's last component is itself what gets the second name.
        self.make(path, |parent, name| rfs::linkat(&from, &old_name, parent, name, AtFlags::empty()))?;
        Ok(())
    }

    /// Makes something at `path` by `attempt`, after clearing the name if it is taken.
    fn make<T>(
        &mut self,
        path: &Path,
        attempt: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<(Rc<Parent>, T)> {
        let (parent, name) = (self.parent_of(path)?, last_of(path)?);
        match attempt(&parent.opened, name) {
            Err(Errno::EXIST) => {
                self.clear(&parent.opened, name)?;
                let made = attempt(&parent.opened, name)?;
                Ok((parent, made))
            }
            made => Ok((parent, made?)),
        }
    }

    /// Removes the file, link or empty directory `name`.
    fn clear(&mut self, parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
        // The name may have been a part of the remembered parent's.
        self.parent = None;
        match rfs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(rfs::unlinkat(parent, name, AtFlags::REMOVEDIR)?),
            other => Ok(other?),
        }
    }

    fn parent_of(&mut self, path: &Path) -> io::Result<Rc<Parent>> {
        let wanted = path.parent().unwrap_or(Path::new(""));
        if let Some((known, parent)) = &self.parent
            && known == wanted
        {
            return Ok(Rc::clone(parent));
        }
        let parent = Rc::new(self.ensure_directory(wanted)?);
        self.parent = Some((wanted.to_owned(), Rc::clone(&parent)));
        Ok(parent)
    }

    /// The tree, to look into.
    pub(super) fn root(&self) -> &RootDir {
        &self.root
    }

    /// Has the directory `place` get at the end what it then gets of `attributes`.
    pub(super) fn finish_later(&mut self, place: PathBuf, attributes: &Attributes) {
        let default_acl = attributes.xattrs.iter().find(|(name, _)| name == acl::DEFAULT).cloned();
        self.directories.insert(place, Late { mtime: attributes.mtime, default_acl });
    }
}

impl Late {
    fn write_to(&self, directory: &OwnedFd) -> io::Result<()> {
        xattrs::write(directory, self.default_acl.as_slice())?;
        Ok(rfs::futimens(directory, &times(self.mtime))?)
    }
}

/// The place in a tree that the raw name of an entry means: relative and without `.`; empty is the tree's top.
pub(super) fn inside(name: &[u8]) -> Result<PathBuf, TreeError> {
    let refused = || TreeError::UnsafeName(name.escape_ascii().to_string());
    if name.is_empty() || name.contains(&0) {
        return Err(refused());
    }
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(refused()),
        }
    }
    Ok(path)
}

/// `id` as one that a container has.
pub(super) fn id(path: &Path, what: &'static str, id: u64) -> Result<u32, TreeError> {
    u32::try_from(id).ok().filter(|id| u64::from(*id) <= LAST_ID).ok_or_else(|| TreeError::OwnerOutOfRange {
        entry: path.display().to_string(),
        what,
        id,
    })
}

/// Gives an open file or directory its owner, mode and extended attributes, in this order: chown(2) clears set-id
/// bits and capabilities. A default access control list is for the end.
pub(super) fn settle(fd: &impl AsFd, (uid, gid): (Uid, Gid), attributes: &Attributes) -> io::Result<()> {
    rfs::fchown(fd, Some(uid), Some(gid))?;
    rfs::fchmod(fd, Mode::from_raw_mode(attributes.mode & 0o7777))?;
    xattrs::write(fd, attributes.xattrs.iter().filter(|(name, _)| name != acl::DEFAULT))
}

/// Gives a link or pipe, which cannot or must not be opened, its owner and time.
fn settle_unopened(
    Parent { opened: parent, .. }: &Parent,
    path: &Path,
    (uid, gid): (Uid, Gid),
    mtime: Timespec,
) -> io::Result<()> {
    let name = last_of(path)?;
    rfs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rfs::utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn last_of(path: &Path) -> io::Result<&OsStr> {
    // Only the tree's top has none, and that can be nothing but a directory.
    path.file_name().ok_or_else(|| io::ErrorKind::IsADirectory.into())
}

fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: mtime, last_modification: mtime }
}
