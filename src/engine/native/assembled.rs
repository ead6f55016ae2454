//! The root file system of a container that does not run, with its own mounts in place, for the host to work on: what
//! is written at a path is then found at that path when it runs.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{MoveMountFlags, move_mount};

use super::guest_mounts::attach;
use super::mounts::{copy_of, ensure_layer};
use super::overlay::{leave_namespace, mount_layers, mount_plain};
use super::paths::ContainerPaths;
use crate::model::{ContainerRecord, MountIds, MountSource, MountSpec};
use crate::store::{Lower, Volumes};
use crate::sys::{RootDir, TreeAttributes, set_tree_attributes};

/// Calls `work` on the root file system of the container with `record`, which stands on `lowers`: its files carry the
/// guest's ids as they are. `volumes` are those of its fleet. What is mounted is seen by `work` alone.
pub(super) fn with_assembled<T: Send>(
    lowers: &[Lower],
    paths: &ContainerPaths,
    record: &ContainerRecord,
    volumes: &Volumes,
    work: impl FnOnce(&RootDir) -> T + Send,
) -> io::Result<T> {
    let root = mount_plain(lowers, paths)?;
    let mounts = &record.spec.mounts;
    if mounts.is_empty() {
        return Ok(work(&RootDir::new(root)));
    }
    // A mount namespace can be that of one thread, and goes with it.
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            let root = attach_root(&root, &paths.rootfs())?;
            for mount in mounts {
                let failed = |error| io::Error::other(format!("cannot mount `{mount}`: {error}"));
                let Some(opened) = open_mount(mount, record, paths, volumes).map_err(failed)? else { continue };
                attach(&root, &opened, &mount.target).map_err(failed)?;
            }
            Ok(work(&root))
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}

/// Attaches the detached mount `root` to the directory `at` in a mount namespace of the calling thread's own: until
/// Linux 6.15, nothing can be mounted in what is detached.
fn attach_root(root: &OwnedFd, at: &Path) -> io::Result<RootDir> {
    leave_namespace()?;
    move_mount(root, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(RootDir::new(open(at, flags, Mode::empty())?))
}

/// Opens what `mount` mounts, detached; `None` if there is nothing of it while the container does not run. Where the
/// ids in it are not the guest's, it is read-only.
fn open_mount(
    mount: &MountSpec,
    record: &ContainerRecord,
    paths: &ContainerPaths,
    volumes: &Volumes,
) -> io::Result<Option<OwnedFd>> {
    let is_privileged = record.spec.security.privileged;
    let source = |path: &Path, recursive| {
        copy_of(path, recursive).map_err(|error| io::Error::other(format!("cannot open `{}`: {error}", path.display())))
    };
    let (opened, has_guests_ids) = match &mount.source {
        MountSource::Tmpfs { .. } => return Ok(None),
        MountSource::Volume { name } => (source(&volumes.ensure(name)?, false)?, true),
        MountSource::Bind { path, ids, recursive } => {
            let has_guests_ids = match ids {
                MountIds::Guest => true,
                MountIds::Host => is_privileged,
                MountIds::Owner => false,
            };
            (source(path, *recursive)?, has_guests_ids)
        }
        MountSource::Overlay { path } => {
            let layer = paths.mount_layer(&mount.target);
            ensure_layer(&layer, path)?;
            (mount_layers(&[Lower::Directory(path.clone())], &layer, &paths.rootfs())?, true)
        }
    };
    let is_read_only = mount.read_only || !has_guests_ids;
    set_tree_attributes(opened.as_fd(), TreeAttributes { is_read_only, ids: None })?;
    Ok(Some(opened))
}
