//! The container's root file system: the layers of the image below, the container's own above, each shown with the
//! container's ids (Documentation/filesystems/{overlayfs,idmappings}.rst).
//!
//! On disk all layers belong to the guest's ids unshifted: nothing is copied and nothing chowned.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};

use super::failure::{StartFailure, Step as _};
use super::paths::ContainerPaths;
use crate::store::Lower;
use crate::sys::{Devices, Overlay, copy_of_mount, map_ids_of_mount, mount_squashfs, set_filesystem_ids};

/// Mounts the root file system of a container that is about to start, detached: `lowers` and the container's own layer,
/// their ids those of `user_namespace`, whose root is the host's `base`; a privileged container has none. The caller has
/// one thread.
pub(super) fn mount_for_guest(
    lowers: &[Lower],
    paths: &ContainerPaths,
    user_namespace: Option<BorrowedFd<'_>>,
    base: u32,
) -> Result<OwnedFd, StartFailure> {
    let lowers: Vec<OwnedFd> =
        lowers.iter().map(|lower| open_mapped(lower, user_namespace)).collect::<Result<_, _>>()?;
    let layer = open_mapped(&Lower::Directory(paths.layer()), user_namespace)?;
    let step = || "cannot mount the overlay of the root file system".to_owned();
    // An image may have devices that nobody knows of, and the guest's root would own them. Who is kept to its devices may make
    // files for them.
    let devices = if user_namespace.is_some() { Devices::Dead } else { Devices::Usable };
    match overlay_as(base, &lowers, &layer, devices) {
        Err(error) if wants_attached(&error) => in_private_namespace(|| {
            attach_all(lowers.iter().chain([&layer]), &paths.rootfs()).step(step)?;
            overlay_as(base, &lowers, &layer, devices).step(step)
        }),
        mounted => mounted.step(step),
    }
}

/// Until Linux 6.15, overlayfs takes as layers only what is attached in the caller's mount namespace.
fn wants_attached(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::INVAL)
}

/// Does `work` in a mount namespace that lives only for that moment, so that the host never sees what is attached.
/// Afterwards root and working directory are those of the host's namespace. The caller has one thread.
pub(super) fn in_private_namespace<T>(work: impl FnOnce() -> Result<T, StartFailure>) -> Result<T, StartFailure> {
    let host = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "cannot open the mount namespace".to_owned())?;
    let worked = leave_namespace().step(|| "cannot make a mount namespace".to_owned()).and_then(|()| work());
    setns(host.as_fd(), CloneFlags::CLONE_NEWNS).step(|| "cannot go back to the host's mount namespace".to_owned())?;
    worked
}

/// Makes a mount namespace for the calling thread, out of which nothing gets.
pub(super) fn leave_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// The overlay of `lowers`, the topmost first, and the directories `upper` and `work` of `layer`, mounted by the guest's
/// root, which is the host's `base`.
///
/// overlayfs makes files in the work directory as whoever mounts. Mapped layers know no host root, so it would fall
/// back to read-only.
pub(super) fn overlay_as(base: u32, lowers: &[OwnedFd], layer: &OwnedFd, devices: Devices) -> io::Result<OwnedFd> {
    set_filesystem_ids(base)?;
    let mounted = overlay(lowers, layer, Threads::One, devices);
    set_filesystem_ids(0)?;
    mounted
}

/// Whether anybody else has the working directory of the calling thread.
#[derive(Debug, Clone, Copy)]
enum Threads {
    /// Nobody.
    One,
    /// The process's other threads.
    Many,
}

fn overlay(lowers: &[OwnedFd], layer: &OwnedFd, threads: Threads, devices: Devices) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let (upper, work) = (openat(layer, "upper", flags, Mode::empty())?, openat(layer, "work", flags, Mode::empty())?);
    let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(OwnedFd::as_fd).collect();
    let overlay = Overlay { lowers: &lowers, upper: Some((upper.as_fd(), work.as_fd())), devices };
    match threads {
        Threads::One => overlay.mount(),
        Threads::Many => overlay.mount_aside(),
    }
}

/// Opens `lower` as a detached mount, its ids those of `user_namespace`.
pub(super) fn open_mapped(lower: &Lower, user_namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StartFailure> {
    let path = match lower {
        Lower::Directory(path) | Lower::Squashfs(path) => path.display(),
    };
    let tree = open_lower(lower).step(|| format!("cannot open the layer `{path}`"))?;
    let mapped = user_namespace.map_or(Ok(()), |namespace| map_ids_of_mount(tree.as_fd(), namespace));
    mapped.step(|| format!("cannot map the ids of `{path}`")).map_err(|failure| StartFailure {
        hint: Some("the file system below it must support idmapped mounts: ext4, xfs, btrfs or tmpfs".to_owned()),
        ..failure
    })?;
    Ok(tree)
}

fn open_lower(lower: &Lower) -> io::Result<OwnedFd> {
    match lower {
        Lower::Directory(path) => copy_of_mount(CWD, path),
        Lower::Squashfs(path) => mount_squashfs(path),
    }
}

/// Attaches all `mounts` to the directory `place`, one upon the other: they are used by their descriptors.
pub(super) fn attach_all<'a>(mounts: impl Iterator<Item = &'a OwnedFd>, place: &Path) -> io::Result<()> {
    for mount in mounts {
        move_mount(mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    Ok(())
}

/// Mounts the root file system of a container that does not run, detached, for the host to work on: its files carry
/// the guest's ids as they are.
pub(super) fn mount_plain(lowers: &[Lower], paths: &ContainerPaths) -> io::Result<OwnedFd> {
    mount_layers(lowers, &paths.layer(), &paths.rootfs())
}

/// The overlay of `lowers` and of the directories `upper` and `work` in `layer`, detached, their ids as they are. Where
/// the kernel wants them attached, they are at `place`, in a namespace of their own.
pub(super) fn mount_layers(lowers: &[Lower], layer: &Path, place: &Path) -> io::Result<OwnedFd> {
    let lowers: Vec<OwnedFd> = lowers.iter().map(open_lower).collect::<Result<_, _>>()?;
    let layer = open_lower(&Lower::Directory(layer.to_owned()))?;
    let in_namespace = || {
        leave_namespace()?;
        attach_all(lowers.iter().chain([&layer]), place)?;
        overlay(&lowers, &layer, Threads::One, Devices::Dead)
    };
    match overlay(&lowers, &layer, Threads::Many, Devices::Dead) {
        Err(error) if wants_attached(&error) => thread::scope(|scope| {
            let thread = thread::Builder::new().spawn_scoped(scope, in_namespace)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
        }),
        mounted => mounted,
    }
}
