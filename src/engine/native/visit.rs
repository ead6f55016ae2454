//! Short work inside a running guest's file systems, by a process of its own that the guest cannot reach, and that is
//! given up if the guest makes it wait.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, Signal, WaitOptions, pidfd_send_signal, set_dumpable_behavior, waitpid};
use serde::{Deserialize, Serialize};

use super::failure::{StartFailure, Step as _};
use super::guest_root::GuestRoot;
use super::stop::wait_for_end;
use crate::sys::{Cloned, MessageSocket, become_namespace_root};

/// How long the guest may make it take: a file system of its own making may never answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// What comes of it; a descriptor may come with it.
#[derive(Debug, Serialize, Deserialize)]
struct Done(Result<(), StartFailure>);

/// Does `work` as root of the guest whose init is behind `init`, in its user and mount namespace; returns the
/// descriptor that it returns. `fork` runs its argument in a new process, which is in what groups it should be. The
/// caller has one thread.
pub(super) fn visit(
    init: &OwnedFd,
    fork: impl FnOnce(&dyn Fn() -> u8) -> io::Result<Cloned>,
    work: impl Fn(&GuestRoot) -> Result<Option<OwnedFd>, StartFailure>,
) -> Result<Option<OwnedFd>, StartFailure> {
    let step = || "cannot work in the guest".to_owned();
    let (ours, theirs) = MessageSocket::pair().step(step)?;
    let inside = fork(&|| tell(&theirs, enter(init).and_then(|root| work(&root)))).step(step)?;
    drop(theirs);
    let answer = receive(&ours).step(step);
    // Done with or stuck, it is not needed any more.
    let _ = pidfd_send_signal(&inside.pidfd, Signal::KILL);
    // One that is stuck in the kernel goes when the container does.
    let _ = wait_for_end(inside.pidfd.as_fd(), DEADLINE);
    let _ = waitpid(Some(inside.pid), WaitOptions::NOHANG);
    let (Done(done), fd) = answer?;
    done.map(|()| fd)
}

fn receive(socket: &MessageSocket) -> io::Result<(Done, Option<OwnedFd>)> {
    let timeout = Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
    if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the guest's file systems do not answer"));
    }
    let received = socket.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((serde_json::from_slice(&received.bytes)?, received.fds.into_iter().next()))
}

fn tell(socket: &MessageSocket, done: Result<Option<OwnedFd>, StartFailure>) -> u8 {
    let (done, fd) = match done {
        Ok(fd) => (Ok(()), fd),
        Err(failure) => (Err(failure), None),
    };
    let message = serde_json::to_vec(&Done(done)).unwrap_or_default();
    let fds: Vec<_> = fd.iter().map(OwnedFd::as_fd).collect();
    u8::from(socket.send(&message, &fds).is_err())
}

fn enter(init: &OwnedFd) -> Result<GuestRoot, StartFailure> {
    let step = || "cannot enter the container".to_owned();
    // Inside, the guest could otherwise reach this process, and with it the host (CVE-2019-5736).
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(step)?;
    match setns(init.as_fd(), CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
        // A privileged container has no user namespace of its own, and to enter one's own is an error (setns(2)).
        Err(nix::errno::Errno::EINVAL) => setns(init.as_fd(), CloneFlags::CLONE_NEWNS).step(step)?,
        other => other.step(step)?,
    }
    // What is made is to be the guest's root's.
    become_namespace_root().step(step)?;
    GuestRoot::entered()
}
