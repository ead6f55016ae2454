//! Files of a hostile tree that are copied: found and held, so that what they are cannot change any more under whoever
//! reads them; and written, piece by piece, so that nothing half-written appears.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

use super::rootdir::{FileKind, Metadata, RootDir, WITHOUT_LINKS, absent_is_none, remove_at};
use super::xattrs::{FILE_CAPABILITIES, Xattr, capabilities_of_guest, path_of, read_xattrs, write_xattr};

/// What is written at once, and left out if it is all zero: a hole in the file.
const CHUNK: usize = 64 << 10;

/// Whether the link that a path may end in is followed. Those in its middle always are, as far as the tree allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// What it leads to is meant.
    Followed,
    /// It is meant itself.
    Kept,
}

/// What a file that is written is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner as the guest sees it.
    pub uid: u32,
    /// Group as the guest sees it.
    pub gid: u32,
    /// When its content changed last, in seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    /// Extended attributes. A file system that keeps none goes without, but for capabilities.
    pub xattrs: Vec<Xattr>,
}

/// A file of a tree, held but not opened: opening a device or a pipe can do harm.
#[derive(Debug)]
pub struct Found {
    fd: OwnedFd,
    metadata: Metadata,
    length: u64,
    modified: (i64, i64),
    id_shift: u32,
    id_count: Option<u32>,
    /// How paths below it are resolved.
    below: ResolveFlags,
}

impl Found {
    /// What it is.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.metadata
    }

    /// Bytes of a regular file.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// When its content changed last, in seconds since 1970 and nanoseconds.
    #[must_use]
    pub fn modified(&self) -> (i64, i64) {
        self.modified
    }

    /// Opens the regular file for reading.
    pub fn open(&self) -> io::Result<File> {
        if self.metadata.kind != FileKind::File {
            return Err(io::Error::other("not a regular file"));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rfs::open(path_of(&self.fd), flags, Mode::empty())?.into())
    }

    /// Those extended attributes of the regular file or directory whose names pass `is_wanted`.
    pub fn xattrs(&self, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Xattr>> {
        match self.metadata.kind {
            FileKind::File | FileKind::Directory => read_xattrs(&self.fd, is_wanted),
            FileKind::Symlink | FileKind::Special => Ok(Vec::new()),
        }
    }

    /// The text of the symbolic link.
    pub fn link_text(&self) -> io::Result<PathBuf> {
        let text = rfs::readlinkat(&self.fd, "", Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
    }

    /// The tree below the directory, in which no link is followed and, if it is a guest's, no mount entered.
    #[must_use]
    pub fn into_tree(self) -> RootDir {
        let entered = super::rootdir::Entered::Any;
        RootDir { top: self.fd, id_shift: self.id_shift, id_count: self.id_count, resolve: self.below, entered }
    }
}

impl RootDir {
    /// Finds what `path` is; `None` if it is absent.
    pub fn find(&self, path: &Path, links: Links) -> io::Result<Option<Found>> {
        let flags = match links {
            Links::Followed => OFlags::PATH,
            Links::Kept => OFlags::PATH | OFlags::NOFOLLOW,
        };
        let Some(fd) = absent_is_none(self.open_at(path, flags))? else { return Ok(None) };
        let (metadata, stat) = (self.stat(&fd)?, rfs::fstat(&fd)?);
        let modified = (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let is_host = self.resolve == WITHOUT_LINKS;
        let below = if is_host { WITHOUT_LINKS } else { WITHOUT_LINKS | ResolveFlags::NO_XDEV };
        let RootDir { id_shift, id_count, .. } = *self;
        Ok(Some(Found { fd, metadata, length, modified, id_shift, id_count, below }))
    }

    /// Makes the directory `path`, whose parent exists, with `attributes` but for the time; one that is there, or that
    /// a link there leads to as far as the tree follows any, is left as it is.
    pub fn make_dir(&self, path: &Path, attributes: &Attributes) -> io::Result<()> {
        let Attributes { mode, uid, gid, xattrs, .. } = attributes;
        let Ok((parent, name)) = self.parent_of(path) else {
            // The tree's top, or a path with a parent that is missing, which this then says.
            return self.open_at(path, OFlags::PATH | OFlags::DIRECTORY).map(drop);
        };
        match self.make_dir_in(&parent, &name)? {
            Some(made) => {
                self.own(&made, *mode, *uid, *gid)?;
                self.give(&made, xattrs)
            }
            None => self.open_at(path, OFlags::PATH | OFlags::DIRECTORY).map(drop),
        }
    }

    /// Writes what `content` has to `path`, whose parent exists, by rename: a link at `path` is replaced, not followed.
    /// Long stretches of zeros take no room. Returns how many bytes it were.
    pub fn write_from(&self, path: &Path, content: &mut dyn Read, attributes: &Attributes) -> io::Result<u64> {
        let (parent, name) = self.own_parent_of(path)?;
        // Its own name may be as long as names get.
        let draft = OsString::from(format!(".fleet-copy-{}", std::process::id()));
        remove_at(&parent, &draft)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rfs::openat(&parent, &draft, flags, Mode::from_raw_mode(0o600))?);
        let written = copy_with_holes(content, &mut file).and_then(|length| {
            // In this order: chown(2) takes capabilities away.
            self.own(&file, attributes.mode, attributes.uid, attributes.gid)?;
            self.give(&file, &attributes.xattrs)?;
            let time = Timespec { tv_sec: attributes.modified.0, tv_nsec: attributes.modified.1 };
            rfs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
            rfs::renameat(&parent, &draft, &parent, &name)?;
            Ok(length)
        });
        if written.is_err() {
            let _ = remove_at(&parent, &draft);
        }
        written
    }

    fn give(&self, fd: &impl AsFd, xattrs: &[Xattr]) -> io::Result<()> {
        for (name, value) in xattrs {
            if name == FILE_CAPABILITIES {
                if let Some(value) = capabilities_of_guest(value, self.id_shift) {
                    write_xattr(fd, name, &value)?;
                }
                continue;
            }
            match write_xattr(fd, name, value) {
                // Not every file system keeps them, or has room for them, and nothing breaks without.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSPC | libc::E2BIG)) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Makes `path` another name of the regular file `existing`, in place of whatever file or link is there.
    pub fn hard_link(&self, existing: &Path, path: &Path) -> io::Result<()> {
        let (from, old_name) = self.parent_of(existing)?;
        let (to, new_name) = self.own_parent_of(path)?;
        // By descriptor, and only the guest's: to get at a file of the host's by a name in another directory can be more
        // than by its own.
        let file = self.open_in(&from, &old_name, FileKind::File)?;
        remove_at(&to, &new_name)?;
        Ok(rfs::linkat(rfs::CWD, path_of(&file), &to, &new_name, AtFlags::SYMLINK_FOLLOW)?)
    }
}

/// Copies all of `from` to the empty file `to`; returns how many bytes it were.
fn copy_with_holes(from: &mut dyn Read, to: &mut File) -> io::Result<u64> {
    let (mut chunk, mut length) = (Vec::with_capacity(CHUNK), 0);
    loop {
        chunk.clear();
        let read = (&mut *from).take(CHUNK as u64).read_to_end(&mut chunk)?;
        if read == 0 {
            // A hole at the end is no part of the file yet.
            to.set_len(length)?;
            return Ok(length);
        }
        length += read as u64;
        if chunk.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Start(length))?;
        } else {
            to.write_all(&chunk)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn attributes() -> Attributes {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Attributes { mode: 0o640, uid, gid, modified: (1_000_000_000, 0), xattrs: Vec::new() }
    }

    fn open(path: &Path) -> OwnedFd {
        rfs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("it is there")
    }

    #[test]
    fn no_link_leads_out_of_a_tree_without_links_nor_anywhere_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(dir.path().join("top/real")).expect("made");
        symlink("real", dir.path().join("top/link")).expect("a link");
        symlink("..", dir.path().join("top/up")).expect("a link");
        let tree = RootDir::without_links(open(&dir.path().join("top")));
        for path in ["link/file", "up/file", "../file"] {
            tree.write_from(Path::new(path), &mut &b"x"[..], &attributes()).expect_err(path);
        }
        tree.make_dir(Path::new("link"), &attributes()).expect_err("a link");
        assert_eq!(tree.write_from(Path::new("real/file"), &mut &b"ab"[..], &attributes()).expect("written"), 2);
        let found = tree.find(Path::new("real/file"), Links::Kept).expect("found").expect("it is there");
        assert_eq!((found.metadata().mode, found.length(), found.modified()), (0o640, 2, (1_000_000_000, 0)));
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_was_found_stays_what_it_is() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("file"), "content").expect("written");
        std::fs::write(dir.path().join("secret"), "secret").expect("written");
        let tree = RootDir::new(open(dir.path()));
        let found = tree.find(Path::new("file"), Links::Kept).expect("found").expect("it is there");
        std::fs::remove_file(dir.path().join("file")).expect("removed");
        symlink("secret", dir.path().join("file")).expect("a link");
        let mut text = String::new();
        found.open().expect("opened").read_to_string(&mut text).expect("readable");
        assert_eq!(text, "content");
        let link = tree.find(Path::new("file"), Links::Kept).expect("found").expect("it is there");
        assert_eq!((link.metadata().kind, link.link_text().expect("a text")), (FileKind::Symlink, "secret".into()));
        link.open().expect_err("a link is not read");
        let followed = tree.find(Path::new("file"), Links::Followed).expect("found").expect("it is there");
        assert_eq!(followed.metadata().kind, FileKind::File);
    }
}
