//! Attaches a container's own mounts, from inside: places are looked up and made as the guest's root would, with the
//! guest's links followed, but never out of its root file system.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::mount::{MoveMountFlags, move_mount};

use super::child::FromMonitor;
use super::failure::{StartFailure, Step as _};
use super::guest_root::GuestRoot;
use crate::model::MountSpec;
use crate::sys::{MessageSocket, RootDir};

/// Receives the mounts, one message for each, and attaches them in `root`.
pub(super) fn attach_mounts(
    socket: &MessageSocket,
    root: &GuestRoot,
    mounts: &[MountSpec],
) -> Result<(), StartFailure> {
    let tree = root.tree()?;
    for mount in mounts {
        let received = receive(socket)?;
        attach(&tree, &received, &mount.target).step(|| format!("cannot mount `{mount}`"))?;
    }
    Ok(())
}

fn receive(socket: &MessageSocket) -> Result<OwnedFd, StartFailure> {
    let step = || "cannot receive the mounts".to_owned();
    let received = socket.receive().step(step)?.ok_or("the monitor is gone").step(step)?;
    match (serde_json::from_slice(&received.bytes), received.fds.into_iter().next()) {
        (Ok(FromMonitor::Mount), Some(mount)) => Ok(mount),
        (Ok(_) | Err(_), _) => Err("the monitor is gone").step(step),
    }
}

/// Attaches the detached `mount` to `target`.
pub(super) fn attach(tree: &RootDir, mount: &OwnedFd, target: &Path) -> io::Result<()> {
    let place = if FileType::from_raw_mode(fstat(mount)?.st_mode) == FileType::Directory {
        tree.create_dir_all(target, 0o755, 0, 0)?;
        tree.open_at(target, OFlags::PATH | OFlags::DIRECTORY)?
    } else {
        ensure_file(tree, target)?;
        tree.open_at(target, OFlags::PATH)?
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", &place, "", flags)?)
}

/// Makes an empty file at `target`, for a file to be mounted on.
fn ensure_file(tree: &RootDir, target: &Path) -> io::Result<()> {
    if tree.metadata_followed(target)?.is_some() {
        return Ok(());
    }
    tree.create_dir_all(target.parent().unwrap_or(Path::new("/")), 0o755, 0, 0)?;
    let (parent, name) = tree.parent_of(target)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)?;
    Ok(())
}
