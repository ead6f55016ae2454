//! What a guest's root may write, told by the host's root, who may write anything.
//!
//! A directory of the host that is mounted in a guest can be mounted again at any place of the guest's, or become its
//! root (`pivot_root(2)`). What the host's root then writes at a path of the guest's, the guest chose, and could not
//! have written itself: its root has power only over what an id of its user namespace owns (`user_namespaces(7)`,
//! "Interaction of user namespaces and other types of namespaces"). Whom an object belongs to is asked of its
//! descriptor: behind a name there may be another by the time it is used.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags, ResolveFlags};

use super::read::read_whole;
use super::rootdir::{FileKind, RootDir, WITHOUT_LINKS};

/// The ids of a guest's users and groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestIds {
    /// The host's id of the guest's root.
    pub base: u32,
    /// How many there are, one after the other.
    pub count: u32,
}

/// Why nothing is written: the guest's root could not do it either.
#[derive(Debug, thiserror::Error)]
#[error("the directory belongs to no user of the guest")]
struct NoPower;

/// Whether `error` is that what was to be changed is not the guest's.
#[must_use]
pub fn is_not_the_guests(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<NoPower>())
}

/// Only the name in the very directory, whatever is mounted there or is a link.
const ITSELF: ResolveFlags = WITHOUT_LINKS.union(ResolveFlags::NO_XDEV);

impl RootDir {
    /// Whether the guest has power over the open object. The group does not matter: an owner may change it, and the
    /// mode. Of a tree that no guest works on, nobody asks.
    fn has_power(&self, fd: &impl AsFd) -> io::Result<bool> {
        match self.id_count {
            None => Ok(true),
            Some(count) => Ok(self.stat(fd)?.uid < count),
        }
    }

    /// The content of the regular file that `path` leads to, for the guest to have; `None` if it is absent, or not the
    /// guest's: its root might not be able to read it. More than 16 MiB is an error.
    pub fn read_own(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        if self.has_power(&file)? { read_whole(file).map(Some) } else { Ok(None) }
    }

    /// Refuses what the guest has no power over.
    pub(super) fn check_power(&self, fd: &impl AsFd) -> io::Result<()> {
        if self.has_power(fd)? { Ok(()) } else { Err(io::Error::new(io::ErrorKind::PermissionDenied, NoPower)) }
    }

    /// The same for what is to change the name `name` in `parent`; `false` if the guest has no power but there is nothing
    /// to change either, as it is there or not as `is_wanted` says.
    pub(super) fn may_change(&self, parent: &OwnedFd, name: &OsStr, is_wanted: bool) -> io::Result<bool> {
        let Err(refused) = self.check_power(parent) else { return Ok(true) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let is_there = match rfs::openat(parent, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => false,
            other => other.map(|_| true)?,
        };
        if is_there == is_wanted { Ok(false) } else { Err(refused) }
    }

    /// Makes the directory `name` in `parent`, closed to others, and opens it; `None` if something of that name is
    /// there.
    pub(super) fn make_dir_in(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<Option<OwnedFd>> {
        if !self.may_change(parent, name, true)? {
            return Ok(None);
        }
        match rfs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rfs::openat2(parent, name, flags, Mode::empty(), ITSELF)?;
                // A guest that is quick has put another in its place, perhaps of the host's.
                self.check_power(&made)?;
                Ok(Some(made))
            }
            Err(rustix::io::Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the symbolic link `name` in `parent`, which was just made, its owner.
    pub(super) fn own_link_in(&self, parent: &OwnedFd, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        let link = self.open_in(parent, name, FileKind::Symlink)?;
        let (uid, gid) = self.host_ids(uid, gid);
        Ok(rfs::chownat(&link, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    }

    /// Opens what is called `name` in `parent` with `O_PATH`: it is of this kind and in the power of the guest.
    pub(super) fn open_in(&self, parent: &OwnedFd, name: &OsStr, kind: FileKind) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rfs::openat2(parent, name, flags, Mode::empty(), ITSELF)?;
        if self.stat(&found)?.kind != kind {
            return Err(io::Error::other("something else has taken its place"));
        }
        self.check_power(&found)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::sys::{Attributes, as_filesystem_user};

    const IDS: GuestIds = GuestIds { base: 1_879_048_192, count: 65_536 };

    /// The tree of a guest, with the directory `own` of its root's and the directory `hosts` of the host's, as if it were
    /// mounted there; a file is in each.
    fn tree() -> (tempfile::TempDir, RootDir) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["own", "hosts"] {
            fs::create_dir(dir.path().join(name)).expect("made");
            fs::write(dir.path().join(name).join("file"), name).expect("written");
        }
        for own in ["", "own", "own/file"] {
            chown(dir.path().join(own), Some(IDS.base), Some(IDS.base)).expect("tests run as root");
        }
        // Whom else it belongs to does not matter.
        chown(dir.path().join("own"), None, Some(100)).expect("tests run as root");
        let top = fs::File::open(dir.path()).expect("it is there");
        let root = RootDir::of_running_guest(top.into(), IDS).expect("it stores files");
        (dir, root)
    }

    /// What changes the name `new` in the directory `dir`, and the file `file` in it.
    fn changes(root: &RootDir, dir: &str) -> Vec<(&'static str, io::Result<()>)> {
        let path = |name: &str| PathBuf::from("/").join(dir).join(name);
        let attributes = Attributes { mode: 0o700, uid: 0, gid: 0, modified: (1, 0), xattrs: Vec::new() };
        vec![
            ("write", root.write(&path("new"), b"new", 0o644, 0, 0)),
            ("write over", root.write(&path("file"), b"new", 0o644, 0, 0)),
            ("write from", root.write_from(&path("new"), &mut &b"new"[..], &attributes).map(drop)),
            ("link", root.symlink(Path::new("text"), &path("new"))),
            ("name", root.hard_link(&path("file"), &path("new"))),
            ("remove", root.remove_file(&path("file"))),
            ("make", root.make_dir(&path("new-dir"), &attributes)),
            ("make all", root.create_dir_all(&path("all/below"), 0o700, 0, 0)),
            ("own", root.subtree(&path("")).and_then(|top| top.expect("it is there").own_top(0o700, 0, 0))),
        ]
    }

    #[test]
    fn a_directory_of_the_hosts_in_a_guest_is_left_as_it_is() {
        let (dir, root) = tree();
        for root in [root.across_mounts().expect("it stores files"), root] {
            for (what, result) in changes(&root, "hosts") {
                assert!(is_not_the_guests(&result.expect_err(what)), "{what}");
            }
            // What is there already, or gone, needs no change.
            root.create_dir_all(Path::new("/hosts/file"), 0o700, 0, 0).expect("it is there");
            root.remove_file(Path::new("/hosts/gone")).expect("it is gone");
        }
        let hosts = dir.path().join("hosts");
        assert_eq!(fs::read_dir(&hosts).expect("listed").count(), 1);
        assert_eq!(fs::read_to_string(hosts.join("file")).expect("readable"), "hosts");
        let metadata = fs::metadata(&hosts).expect("it is there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o755));

        // It may have become the guest's whole root.
        let top = fs::File::open(&hosts).expect("it is there");
        let root = RootDir::of_running_guest(top.into(), IDS).expect("it stores files");
        assert!(is_not_the_guests(&root.write(Path::new("/passwd"), b"", 0o644, 0, 0).expect_err("refused")));
    }

    #[test]
    fn a_guests_own_directory_is_written() {
        let (dir, root) = tree();
        // As whom fleet works on the tree.
        let changed = as_filesystem_user(IDS.base, || changes(&root, "own")).expect("tests run as root");
        for (what, result) in changed {
            result.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let names = ["own", "own/new", "own/new-dir", "own/all/below"];
        assert!(!dir.path().join("own/file").exists());
        for name in names {
            let metadata = fs::symlink_metadata(dir.path().join(name)).expect("it is there");
            assert_eq!((metadata.uid(), metadata.gid()), (IDS.base, IDS.base), "{name}");
        }
        // A guest whose ids are the host's may change all that the host may.
        let top = fs::File::open(dir.path()).expect("it is there");
        let all = GuestIds { base: 0, count: u32::MAX };
        let root = RootDir::of_running_guest(top.into(), all).expect("it stores files");
        for (what, result) in changes(&root, "hosts") {
            result.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }

    #[test]
    fn what_took_the_place_of_a_new_link_gets_no_owner() {
        let (dir, root) = tree();
        let (own, _) = root.parent_of(Path::new("/own/x")).expect("it is there");
        fs::write(dir.path().join("own/put"), "").expect("written");
        symlink("text", dir.path().join("own/hosts-link")).expect("a link");
        for name in ["put", "hosts-link"] {
            root.own_link_in(&own, OsStr::new(name), 0, 0).expect_err(name);
            assert_eq!(
                fs::symlink_metadata(dir.path().join("own").join(name)).expect("it is there").uid(),
                0,
                "{name}"
            );
        }
    }

    #[test]
    fn a_file_of_the_hosts_gets_no_further_name_and_is_not_read_for_the_guest() {
        let (dir, root) = tree();
        let linked = root.hard_link(Path::new("/hosts/file"), Path::new("/own/new"));
        assert!(is_not_the_guests(&linked.expect_err("refused")));
        assert!(!dir.path().join("own/new").exists());
        assert_eq!(root.read_own(Path::new("/hosts/file")).expect("left out"), None);
        assert_eq!(root.read_own(Path::new("/own/file")).expect("readable"), Some(b"own".to_vec()));
    }
}
