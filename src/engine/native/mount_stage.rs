//! A place to attach mounts before the container gets them, and what locks them on the way.
//!
//! A guest's root may loosen a mount in its own mount namespace: make it writable, allow devices. Not one that was
//! there when the namespace was made by a less privileged user namespace (`mount_namespaces(7)`, "Restrictions on
//! mount namespaces"): what such a copy forbids is locked, in copies of it too.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, FileType, Mode, fstat, mkdirat, mknodat};
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};
use rustix::process::{WaitOptions, waitpid};

use super::failure::{StartFailure, Step as _};
use super::guest_root::NewMount;
use crate::sys::{MessageSocket, copy_of_tree, fork};

/// An empty tmpfs, the working directory of the calling process, whose mount namespace is private.
pub(super) struct MountStage {
    places: Cell<usize>,
}

impl MountStage {
    /// Attaches it to the directory `at`, and enters it.
    pub(super) fn set_up(at: &Path) -> Result<MountStage, StartFailure> {
        let step = || "cannot make a place to attach mounts".to_owned();
        let options = [("mode", "0755")];
        let new = NewMount { kind: "tmpfs", attributes: MountAttrFlags::empty(), options: &options };
        let mount = new.open().step(step)?;
        move_mount(&mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step(step)?;
        rustix::process::fchdir(&mount).step(step)?;
        Ok(MountStage { places: Cell::new(0) })
    }

    /// Makes a directory; returns its path, relative to the stage.
    pub(super) fn make_dir(&self) -> io::Result<String> {
        let name = self.next_name();
        mkdirat(CWD, name.as_str(), Mode::from_raw_mode(0o755))?;
        Ok(name)
    }

    fn next_name(&self) -> String {
        let place = self.places.get();
        self.places.set(place + 1);
        place.to_string()
    }

    /// The same mounts, detached again, for a container with `user_namespace`: nobody in it can allow what they
    /// forbid. The caller has one thread.
    pub(super) fn lock(
        &self,
        mounts: &[OwnedFd],
        user_namespace: BorrowedFd<'_>,
    ) -> Result<Vec<OwnedFd>, StartFailure> {
        let step = || "cannot lock the container's mounts".to_owned();
        let places: Vec<String> = mounts.iter().map(|mount| self.attach(mount)).collect::<Result<_, _>>().step(step)?;
        let (ours, theirs) = MessageSocket::pair().step(step)?;
        let mut ours = Some(ours);
        let our_end = &mut ours;
        let attached = &places;
        let pid = fork(move || {
            drop(our_end.take());
            match send_copies(&theirs, attached, user_namespace) {
                Ok(()) => 0,
                Err(error) => {
                    let _ = theirs.send(error.to_string().as_bytes(), &[]);
                    1
                }
            }
        });
        let pid = pid.step(step)?;
        let copies = receive_copies(&ours.expect("only the child took it"), mounts.len());
        let _ = waitpid(Some(pid), WaitOptions::empty());
        copies.step(step)
    }

    /// Attaches `mount` to a place of its kind.
    fn attach(&self, mount: &OwnedFd) -> io::Result<String> {
        let name = self.next_name();
        if FileType::from_raw_mode(fstat(mount)?.st_mode) == FileType::Directory {
            mkdirat(CWD, name.as_str(), Mode::from_raw_mode(0o755))?;
        } else {
            mknodat(CWD, name.as_str(), FileType::RegularFile, Mode::from_raw_mode(0o600), 0)?;
        }
        move_mount(mount, "", CWD, name.as_str(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(name)
    }
}

/// Copies all mounts into a namespace of `user_namespace`, which locks them, and sends copies of `places` from there.
fn send_copies(to: &MessageSocket, places: &[String], user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    setns(user_namespace, CloneFlags::CLONE_NEWUSER)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    for place in places {
        // With all that is below: what is mounted there is locked to its place.
        let copy = copy_of_tree(CWD, Path::new(place))?;
        to.send(place.as_bytes(), &[copy.as_fd()])?;
    }
    Ok(())
}

fn receive_copies(from: &MessageSocket, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut copies = Vec::with_capacity(count);
    while copies.len() < count {
        let received = from.receive()?.ok_or_else(|| io::Error::other("the process that copies them was killed"))?;
        match received.fds.into_iter().next() {
            Some(copy) => copies.push(copy),
            None => return Err(io::Error::other(String::from_utf8_lossy(&received.bytes).into_owned())),
        }
    }
    Ok(copies)
}
