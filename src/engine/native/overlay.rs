//! The container's root file system: the image below, the container's own layer above, each shown with the
//! container's ids (Documentation/filesystems/{overlayfs,idmappings}.rst).
//!
//! On disk both layers belong to the guest's ids unshifted: nothing is copied and nothing chowned.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags, fstatvfs, open};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
};

use super::failure::{StartFailure, Step as _};
use super::paths::ContainerPaths;
use crate::sys::{map_ids_of_mount, set_filesystem_ids};

/// Mounts the root file system of a container that is about to start, detached, its ids those of `user_namespace`,
/// whose root is the host's `base`; a privileged container has none. The caller has one thread.
pub(super) fn mount_for_guest(
    image: &Path,
    paths: &ContainerPaths,
    user_namespace: Option<BorrowedFd<'_>>,
    base: u32,
) -> Result<OwnedFd, StartFailure> {
    // Until Linux 6.13, overlayfs takes as layers only what is attached in the caller's mount namespace.
    in_private_namespace(|| mount_in_private(image, paths, user_namespace, base))
}

/// Does `work` in a mount namespace that lives only for that moment, so that the host never sees what is attached.
/// Afterwards root and working directory are those of the host's namespace. The caller has one thread.
pub(super) fn in_private_namespace<T>(work: impl FnOnce() -> Result<T, StartFailure>) -> Result<T, StartFailure> {
    let host = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "cannot open the mount namespace".to_owned())?;
    unshare(CloneFlags::CLONE_NEWNS).step(|| "cannot make a mount namespace".to_owned())?;
    let worked = mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .step(|| "cannot cut the mount namespace off the host's".to_owned())
        .and_then(|()| work());
    setns(host.as_fd(), CloneFlags::CLONE_NEWNS).step(|| "cannot go back to the host's mount namespace".to_owned())?;
    worked
}

fn mount_in_private(
    image: &Path,
    paths: &ContainerPaths,
    user_namespace: Option<BorrowedFd<'_>>,
    base: u32,
) -> Result<OwnedFd, StartFailure> {
    attach_mapped(image, &paths.rootfs(), user_namespace)?;
    attach_mapped(&paths.layer(), &paths.layer(), user_namespace)?;
    // Relative paths: a string option has at most 255 bytes, and a comma or colon in a path would end it.
    let dir = open(paths.dir(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    dir.and_then(|dir| rustix::process::fchdir(&dir)).step(|| format!("cannot enter `{}`", paths.dir().display()))?;
    overlay_as(base, "rootfs", "fs/upper", "fs/work")
        .step(|| "cannot mount the overlay of the root file system".to_owned())
}

/// The overlay of three directories below the working directory, mounted by the guest's root, which is the host's
/// `base`.
///
/// overlayfs makes files in the work directory as whoever mounts. Mapped layers know no host root, so it would fall
/// back to read-only.
pub(super) fn overlay_as(base: u32, lower: &str, upper: &str, work: &str) -> io::Result<OwnedFd> {
    set_filesystem_ids(base)?;
    let mounted = overlay(lower, upper, work);
    set_filesystem_ids(0)?;
    mounted
}

/// Attaches the tree at `source` to `target`, its ids those of `user_namespace`.
pub(super) fn attach_mapped(
    source: &Path,
    target: &Path,
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<(), StartFailure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, flags).step(|| format!("cannot open the layer `{}`", source.display()))?;
    let mapped = user_namespace.map_or(Ok(()), |namespace| map_ids_of_mount(tree.as_fd(), namespace));
    mapped.step(|| format!("cannot map the ids of `{}`", source.display())).map_err(|failure| StartFailure {
        hint: Some("the file system below it must support idmapped mounts: ext4, xfs, btrfs or tmpfs".to_owned()),
        ..failure
    })?;
    move_mount(tree.as_fd(), "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step(|| format!("cannot attach the layer `{}`", source.display()))
}

/// Mounts the root file system of a container that does not run, detached, for the host to work on: its files carry
/// the guest's ids as they are.
pub(super) fn mount_plain(image: &Path, paths: &ContainerPaths) -> io::Result<OwnedFd> {
    let open = |path: &Path| open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let (lower, upper, work) = (open(image)?, open(&paths.upper())?, open(&paths.work())?);
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    overlay(&path(&lower), &path(&upper), &path(&work))
}

/// The overlay of three directories. The options are the same for the host and for the guest, because redirects and
/// the like are written into the layer.
fn overlay(lower: &str, upper: &str, work: &str) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = context.as_fd();
    fsconfig_set_string(fd, "source", "fleet")?;
    fsconfig_set_string(fd, "lowerdir", lower)?;
    fsconfig_set_string(fd, "upperdir", upper)?;
    fsconfig_set_string(fd, "workdir", work)?;
    fsconfig_set_string(fd, "redirect_dir", "on")?;
    fsconfig_set_string(fd, "xino", "auto")?;
    fsconfig_create(fd)?;
    let mount = fsmount(fd, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    // overlayfs falls back to read-only with a word in the kernel's log alone.
    if fstatvfs(&mount)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(io::Error::other("overlayfs made it read-only (the kernel's log says why)"));
    }
    Ok(mount)
}
