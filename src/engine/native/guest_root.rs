//! The root file system as the container's first process handles it, until it is the process's own root.
//!
//! The guest made the directories in it: no path is followed through a link of the guest's.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};

use super::failure::{StartFailure, Step as _};
use crate::sys::RootDir;

/// The root file system, attached in the mount namespace of the calling process.
pub(super) struct GuestRoot(OwnedFd);

/// A new file system, to be mounted.
pub(super) struct NewMount<'a> {
    /// Its type.
    pub(super) kind: &'a str,
    /// What is forbidden in it.
    pub(super) attributes: MountAttrFlags,
    /// Its options; one without a value is a flag.
    pub(super) options: &'a [(&'a str, &'a str)],
}

impl GuestRoot {
    /// Attaches the root file system. It goes on top of the host's root, the one directory that this process can
    /// surely reach: the container's own directory is closed to it, now that it is nobody to the host.
    pub(super) fn attach(root: OwnedFd) -> Result<GuestRoot, StartFailure> {
        // Without a user namespace of its own this one still shares its mounts with the host's.
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .step(|| "cannot cut the mount namespace off the host's".to_owned())?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&root, "", rustix::fs::CWD, "/", flags).step(|| "cannot attach the root file system".to_owned())?;
        Ok(GuestRoot(root))
    }

    /// The root file system of the guest whose mount namespace the calling process has entered.
    pub(super) fn entered() -> Result<GuestRoot, StartFailure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open("/", flags, Mode::empty()).step(|| "cannot open the root file system".to_owned())?;
        Ok(GuestRoot(root))
    }

    /// Makes the directory `name` at the top if there is nothing of that name.
    pub(super) fn ensure_top_dir(&self, name: &str) -> Result<(), StartFailure> {
        match mkdirat(&self.0, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error).step(|| format!("cannot make `/{name}`")),
        }
    }

    /// Mounts `new` on `target`.
    pub(super) fn mount(&self, target: &str, new: &NewMount<'_>) -> Result<(), StartFailure> {
        let mount = new.open().step(|| format!("cannot mount {} for `/{target}`", new.kind))?;
        self.attach_at(mount.as_fd(), target)
    }

    /// Attaches a detached mount to `target`.
    pub(super) fn attach_at(&self, mount: BorrowedFd<'_>, target: &str) -> Result<(), StartFailure> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        let place = self.open(target, OFlags::empty())?;
        move_mount(mount, "", &place, "", flags).step(|| format!("cannot mount on `/{target}`"))
    }

    /// Opens `path` as a place; a link in it is an error.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, StartFailure> {
        self.find(path, flags).step(|| format!("cannot open `/{path}` of the root file system"))
    }

    /// Like [`GuestRoot::open`]; `None` if there is nothing at `path`.
    pub(super) fn open_if_there(&self, path: &str) -> Result<Option<OwnedFd>, StartFailure> {
        match self.find(path, OFlags::empty()) {
            Err(rustix::io::Errno::NOENT) => Ok(None),
            other => other.map(Some).step(|| format!("cannot open `/{path}` of the root file system")),
        }
    }

    /// It as a tree in which the guest's links are followed, but never out of it.
    pub(super) fn tree(&self) -> Result<RootDir, StartFailure> {
        self.0.try_clone().map(RootDir::new).step(|| "cannot open the root file system".to_owned())
    }

    fn find(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside)
    }

    /// Makes it the root of this mount namespace and drops the host's (`pivot_root(2)`, its example with two dots).
    pub(super) fn enter(self) -> Result<(), StartFailure> {
        let step = || "cannot enter the root file system".to_owned();
        rustix::process::fchdir(&self.0).step(step)?;
        rustix::process::pivot_root(".", ".").step(step)?;
        unmount(".", UnmountFlags::DETACH).step(step)?;
        // systemd and others expect mounts to be shared below; nothing of it reaches the host, which was left above.
        mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).step(step)?;
        rustix::process::chdir("/").step(step)
    }
}

impl NewMount<'_> {
    /// Makes it, detached.
    pub(super) fn open(&self) -> rustix::io::Result<OwnedFd> {
        let context = fsopen(self.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(context.as_fd(), "source", self.kind)?;
        for (key, value) in self.options {
            if value.is_empty() {
                fsconfig_set_flag(context.as_fd(), *key)?;
            } else {
                fsconfig_set_string(context.as_fd(), *key, *value)?;
            }
        }
        fsconfig_create(context.as_fd())?;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, self.attributes)
    }
}
