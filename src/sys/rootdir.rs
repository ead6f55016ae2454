//! A directory tree whose content is hostile: every path is resolved inside it.
//!
//! openat2(2) with `RESOLVE_IN_ROOT` treats the tree's top as `/` for absolute links and `..`, and
//! `RESOLVE_NO_MAGICLINKS` closes the way out through `/proc`. A tree that a guest runs in may also have file systems
//! of the guest's making mounted in it, which could hang or lie: there `RESOLVE_NO_XDEV` keeps out of them, or only
//! those of ordinary kinds are entered.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};

use super::power::GuestIds;
use super::walk::{check_ordinary, open_by_steps};
use super::xattrs::path_of;

/// What a name in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, not followed.
    Symlink,
    /// A device, pipe or socket.
    Special,
}

/// What is known of a file in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner as the guest sees it.
    pub uid: u32,
    /// Group as the guest sees it.
    pub gid: u32,
}

/// Which mounted file systems of a tree are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// Whichever the way of resolving paths allows.
    Any,
    /// Only those that store files.
    Ordinary,
}

/// A directory tree with hostile content, whose files carry the guest's ids shifted by `id_shift`.
///
/// Paths given to its methods may begin with `/`, which is the tree's top. Ids are the guest's.
#[derive(Debug)]
pub struct RootDir {
    pub(super) top: OwnedFd,
    pub(super) id_shift: u32,
    /// How many ids the guest has, if something in the tree may be none of its.
    pub(super) id_count: Option<u32>,
    pub(super) resolve: ResolveFlags,
    pub(super) entered: Entered,
}

/// Ways of resolving a path: links lead inside the tree, none through `/proc`.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// No link leads anywhere.
pub(super) const WITHOUT_LINKS: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl RootDir {
    /// The tree under the open directory `top`, which nobody else changes meanwhile and whose ids are the guest's.
    #[must_use]
    pub fn new(top: OwnedFd) -> RootDir {
        RootDir { top, id_shift: 0, id_count: None, resolve: INSIDE, entered: Entered::Any }
    }

    /// The tree that a running guest with `ids` sees as its root, open as `top`. Nothing is written in it that the guest's
    /// root could not write. That may be any file system that the guest has made its root: one that does not store files
    /// is an error, before anything is looked up in it.
    pub fn of_running_guest(top: OwnedFd, ids: GuestIds) -> io::Result<RootDir> {
        check_ordinary(&top)?;
        let resolve = INSIDE | ResolveFlags::NO_XDEV;
        Ok(RootDir { top, id_shift: ids.base, id_count: Some(ids.count), resolve, entered: Entered::Any })
    }

    /// The tree under the directory `path` of the host, which is trusted.
    pub fn open(path: &Path) -> io::Result<RootDir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(RootDir::new(rfs::open(path, flags, Mode::empty())?))
    }

    /// The tree under the open directory `top` of the host, in which no link is followed, whoever made it.
    #[must_use]
    pub fn without_links(top: OwnedFd) -> RootDir {
        RootDir { top, id_shift: 0, id_count: None, resolve: WITHOUT_LINKS, entered: Entered::Any }
    }

    /// The same tree with what is mounted in it, as far as it is storage.
    pub fn across_mounts(&self) -> io::Result<RootDir> {
        check_ordinary(&self.top)?;
        let resolve = self.resolve.difference(ResolveFlags::NO_XDEV);
        Ok(RootDir { resolve, entered: Entered::Ordinary, ..self.at(self.top.try_clone()?) })
    }

    /// The tree's top, opened with `O_PATH`.
    #[must_use]
    pub fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// The tree under the directory `path`, which is not a link; `None` if it is absent. What happens to `path`
    /// afterwards does not matter: the tree stays the directory that was opened.
    pub fn subtree(&self, path: &Path) -> io::Result<Option<RootDir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let Some(top) = absent_is_none(self.open_at(path, flags))? else { return Ok(None) };
        Ok(Some(self.at(top)))
    }

    /// The same kind of tree under the open directory `top`.
    fn at(&self, top: OwnedFd) -> RootDir {
        let RootDir { id_shift, id_count, resolve, entered, .. } = *self;
        RootDir { top, id_shift, id_count, resolve, entered }
    }

    /// Gives the top of a [`RootDir::subtree`] permission bits `mode` and an owner, where they differ.
    pub fn own_top(&self, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        let now = self.stat(&self.top)?;
        if (now.mode, now.uid, now.gid) == (mode, uid, gid) {
            return Ok(());
        }
        self.check_power(&self.top)?;
        self.own(&self.top, mode, uid, gid)
    }

    /// The text of the symbolic link `path`.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let (parent, name) = self.parent_of(path)?;
        let text = rfs::readlinkat(&parent, &name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
    }

    /// What `path` is, its last link not followed; `None` if it is absent.
    pub fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        absent_is_none(self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(|fd| self.stat(&fd)))
    }

    /// What `path` leads to, links followed; `None` if that is absent.
    pub fn metadata_followed(&self, path: &Path) -> io::Result<Option<Metadata>> {
        absent_is_none(self.open_at(path, OFlags::PATH).and_then(|fd| self.stat(&fd)))
    }

    /// Where `path` leads inside the tree, links followed, as an absolute path of the guest; `None` if absent.
    pub fn canonical(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let Some(fd) = absent_is_none(self.open_at(path, OFlags::PATH))? else { return Ok(None) };
        let top = link_of(self.top.as_fd())?;
        let place = link_of(fd.as_fd())?;
        let inside = place.strip_prefix(&top).unwrap_or(&place);
        Ok(Some(Path::new("/").join(inside)))
    }

    /// The names in the directory that `path` leads to, sorted, without `.` and `..`; empty if it is absent. Of more than
    /// `most`, which a guest may have made without end, some are left out.
    pub fn list(&self, path: &Path, most: usize) -> io::Result<Vec<OsString>> {
        let Some(fd) = absent_is_none(self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in rfs::Dir::read_from(&fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == most {
                break;
            }
            names.push(OsString::from_vec(name));
        }
        names.sort();
        Ok(names)
    }

    /// Makes the directory `path` and its missing parents with permission bits `mode`, owned by `uid` and `gid`.
    /// What is there already is left as it is.
    pub fn create_dir_all(&self, path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        let mut so_far = PathBuf::from("/");
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            let parent = self.open_at(&so_far, OFlags::PATH | OFlags::DIRECTORY)?;
            so_far.push(name);
            if let Some(new_dir) = self.make_dir_in(&parent, name)? {
                self.own(&new_dir, mode, uid, gid)?;
            }
        }
        Ok(())
    }

    /// Writes `bytes` to `path` with permission bits `mode`, owned by `uid` and `gid`, by rename: a link at `path` is
    /// replaced, not followed. The parent exists.
    pub fn write(&self, path: &Path, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        let (parent, name) = self.own_parent_of(path)?;
        let draft = draft_name(&name);
        remove_at(&parent, &draft)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rfs::openat(&parent, &draft, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        self.own(&file, mode, uid, gid)?;
        Ok(rfs::renameat(&parent, &draft, &parent, &name)?)
    }

    /// Makes `path` a symbolic link of root's with the text `target`, in place of whatever file or link is there.
    pub fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.symlink_owned(target, path, 0, 0)
    }

    /// The same, owned by `uid` and `gid`.
    pub fn symlink_owned(&self, target: &Path, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        let (parent, name) = self.own_parent_of(path)?;
        let draft = draft_name(&name);
        remove_at(&parent, &draft)?;
        rfs::symlinkat(target, &parent, &draft)?;
        self.own_link_in(&parent, &draft, uid, gid)?;
        Ok(rfs::renameat(&parent, &draft, &parent, &name)?)
    }

    /// Removes the file or link `path`; one that is absent is removed already.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.parent_of(path) {
            Ok((parent, name)) if self.may_change(&parent, &name, false)? => remove_at(&parent, &name),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens the directory that holds `path`'s last component, and that component.
    pub fn parent_of(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    /// The same, for what is to change in that directory.
    pub(super) fn own_parent_of(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let (parent, name) = self.parent_of(path)?;
        self.check_power(&parent)?;
        Ok((parent, name))
    }

    /// Opens `path` inside the tree with `flags`, and always `O_CLOEXEC`.
    pub fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        if self.entered == Entered::Ordinary {
            return open_by_steps(self.top.as_fd(), path, flags);
        }
        // The tree's top is not the root of every way of resolving.
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // EAGAIN: a rename anywhere in the system raced with `..`; openat2(2) asks to try again.
        for _ in 0..64 {
            match rfs::openat2(&self.top, path, flags | OFlags::CLOEXEC, Mode::empty(), self.resolve) {
                Err(rustix::io::Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    pub(super) fn stat(&self, fd: &impl AsFd) -> io::Result<Metadata> {
        let stat = rfs::fstat(fd)?;
        let kind = match rfs::FileType::from_raw_mode(stat.st_mode) {
            rfs::FileType::RegularFile => FileKind::File,
            rfs::FileType::Directory => FileKind::Directory,
            rfs::FileType::Symlink => FileKind::Symlink,
            _ => FileKind::Special,
        };
        Ok(Metadata {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.wrapping_sub(self.id_shift),
            gid: stat.st_gid.wrapping_sub(self.id_shift),
        })
    }

    /// Sets owner, then mode: chown(2) clears set-id bits.
    pub(super) fn own(&self, fd: &impl AsFd, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = self.host_ids(uid, gid);
        rfs::fchown(fd, Some(uid), Some(gid))?;
        Ok(rfs::fchmod(fd, Mode::from_raw_mode(mode))?)
    }

    pub(super) fn host_ids(&self, uid: u32, gid: u32) -> (Uid, Gid) {
        (Uid::from_raw(self.id_shift + uid), Gid::from_raw(self.id_shift + gid))
    }
}

fn draft_name(name: &OsString) -> OsString {
    let mut draft = OsString::from(".");
    draft.push(name);
    draft.push(".fleet-new");
    draft
}

pub(super) fn remove_at(parent: &OwnedFd, name: &OsString) -> io::Result<()> {
    match rfs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn link_of(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    let text = rfs::readlink(path_of(&fd), Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(text.as_bytes())))
}

pub(super) fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    fn tree() -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(dir.path().join("root")).expect("a directory");
        std::fs::write(dir.path().join("secret"), "host").expect("a file");
        let root = RootDir::open(&dir.path().join("root")).expect("it is there");
        (dir, root)
    }

    fn mine() -> (u32, u32) {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    }

    #[test]
    fn links_that_point_out_of_the_tree_stay_in_it() {
        let (dir, root) = tree();
        let top = dir.path().join("root");
        symlink("../secret", top.join("up")).expect("a link");
        symlink(dir.path().join("secret"), top.join("absolute")).expect("a link");
        symlink("/proc/self/root", top.join("magic")).expect("a link");
        assert_eq!(root.read(Path::new("/up")).expect("resolves inside"), None);
        assert_eq!(root.read(Path::new("absolute")).expect("resolves inside"), None);
        assert_eq!(root.read(Path::new("../secret")).expect("resolves inside"), None);
        assert_eq!(root.read(Path::new("magic/etc/passwd")).expect("resolves inside"), None);
    }

    #[test]
    fn a_write_replaces_a_link_and_does_not_follow_it() {
        let (dir, root) = tree();
        let (uid, gid) = mine();
        symlink("../secret", dir.path().join("root/resolv.conf")).expect("a link");
        root.write(Path::new("/resolv.conf"), b"guest", 0o644, uid, gid).expect("written");
        assert_eq!(std::fs::read_to_string(dir.path().join("secret")).expect("untouched"), "host");
        assert_eq!(root.read(Path::new("resolv.conf")).expect("readable"), Some(b"guest".to_vec()));
        assert_eq!(root.list(Path::new("/"), 10).expect("listed"), ["resolv.conf"]);
    }

    #[test]
    fn directories_are_made_inside_through_links_of_the_guest() {
        let (dir, root) = tree();
        let (uid, gid) = mine();
        let top = dir.path().join("root");
        std::fs::create_dir(top.join("usr")).expect("a directory");
        symlink("/usr", top.join("lib")).expect("a link");
        root.create_dir_all(Path::new("/lib/a/b"), 0o750, uid, gid).expect("made");
        assert_eq!(std::fs::metadata(top.join("usr/a/b")).expect("it is there").mode() & 0o7777, 0o750);
        assert_eq!(root.canonical(Path::new("/lib/a")).expect("resolved"), Some(PathBuf::from("/usr/a")));
    }

    #[test]
    fn a_root_that_does_not_store_files_is_refused_before_a_name_is_looked_up() {
        let ids = GuestIds { base: 0, count: 1 };
        let proc = File::open("/proc").expect("it is there");
        RootDir::of_running_guest(proc.into(), ids).expect_err("refused");
        RootDir::open(Path::new("/proc")).and_then(|root| root.across_mounts()).expect_err("refused");
    }

    #[test]
    fn no_more_is_read_or_listed_than_was_asked_for() {
        let (dir, root) = tree();
        for number in 0..20 {
            std::fs::write(dir.path().join(format!("root/{number}")), "content").expect("a file");
        }
        assert_eq!(root.list(Path::new("/"), 7).expect("listed").len(), 7);
        assert_eq!(root.list(Path::new("/"), 20).expect("listed").len(), 20);
        assert_eq!(root.read_start(Path::new("/0"), 3).expect("read"), Some(b"con".to_vec()));
    }
}
