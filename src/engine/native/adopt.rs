//! A new console for a guest that runs: the old one's other end died with its monitor.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, WaitOptions, pidfd_send_signal, set_dumpable_behavior, waitpid};
use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use super::failure::{StartFailure, Step as _};
use super::guest_root::GuestRoot;
use super::stop::wait_for_end;
use super::system_mounts::remount_console;
use crate::sys::{MessageSocket, become_namespace_root};

/// How long the guest may make it take: a file system of its own making may never answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// What the process inside tells; the console's master end comes with success.
#[derive(Debug, Serialize, Deserialize)]
struct Opened(Result<(), StartFailure>);

/// Opens a terminal in the guest with the cgroups `group` whose init is behind `init`, and mounts it on the guest's
/// `/dev/console`. Returns the master end. The caller has one thread.
pub(super) fn reopen_console(group: &Group, init: &OwnedFd) -> Result<OwnedFd, StartFailure> {
    let step = || "cannot open a new console in the guest".to_owned();
    let (ours, theirs) = MessageSocket::pair().step(step)?;
    let inside = group.fork_inside(|| tell(&theirs, open_inside(group, init))).step(step)?;
    drop(theirs);
    let answer = receive(&ours).step(step);
    // Done with or stuck, it is not needed any more.
    let _ = pidfd_send_signal(&inside.pidfd, Signal::KILL);
    // One that is stuck in the kernel goes when the container does.
    let _ = wait_for_end(inside.pidfd.as_fd(), DEADLINE);
    let _ = waitpid(Some(inside.pid), WaitOptions::NOHANG);
    let (Opened(opened), master) = answer?;
    opened?;
    master.ok_or("no terminal came").step(step)
}

fn receive(socket: &MessageSocket) -> io::Result<(Opened, Option<OwnedFd>)> {
    let timeout = Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
    if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the guest's file systems do not answer"));
    }
    let received = socket.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((serde_json::from_slice(&received.bytes)?, received.fds.into_iter().next()))
}

fn tell(socket: &MessageSocket, opened: Result<OwnedFd, StartFailure>) -> u8 {
    let (opened, master) = match opened {
        Ok(master) => (Ok(()), Some(master)),
        Err(failure) => (Err(failure), None),
    };
    let message = serde_json::to_vec(&Opened(opened)).unwrap_or_default();
    let fds: Vec<_> = master.iter().map(OwnedFd::as_fd).collect();
    u8::from(socket.send(&message, &fds).is_err())
}

/// In a process of its own: enters the guest's mounts, and does there what the guest's first process did at its start.
fn open_inside(group: &Group, init: &OwnedFd) -> Result<OwnedFd, StartFailure> {
    let step = || "cannot enter the container".to_owned();
    // Inside, the guest could otherwise reach this process, and with it the host (CVE-2019-5736).
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(step)?;
    // Devices that a privileged guest may not use shall not be opened for it either.
    group.enter_v1().step(step)?;
    match setns(init.as_fd(), CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        // A privileged container has no user namespace of its own, and to enter one's own is an error (setns(2)).
        Err(nix::errno::Errno::EINVAL) => setns(init.as_fd(), CloneFlags::CLONE_NEWNS).step(step)?,
        other => other.step(step)?,
    }
    // The guest's root is to own the terminal.
    become_namespace_root().step(step)?;
    Ok(remount_console(&GuestRoot::entered()?)?.master)
}
