//! User namespaces that nobody lives in: all they are for is their id maps (`user_namespaces(7)`).

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::{CloneRequest, MessageSocket, clone_into};

/// Makes a user namespace in which `uid` and `gid` are the only ids, and are `outside` to the caller. The caller has
/// one thread and is root.
pub fn user_namespace_of_one(uid: u32, gid: u32, outside: u32) -> io::Result<OwnedFd> {
    let (ours, theirs) = MessageSocket::pair()?;
    let mut ours = Some(ours);
    let our_end = &mut ours;
    let request = CloneRequest { namespaces: libc::CLONE_NEWUSER, cgroup: None };
    // A namespace begins with a process in it. This one does nothing but wait for the other end to close, which the
    // caller's death does too.
    let child = clone_into(request, move || {
        drop(our_end.take());
        let _ = theirs.receive();
        0
    })?;
    let pid = child.pid.as_raw_nonzero();
    let opened = fs::write(format!("/proc/{pid}/uid_map"), format!("{uid} {outside} 1\n"))
        .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), format!("{gid} {outside} 1\n")))
        .and_then(|()| Ok(open(format!("/proc/{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?));
    drop(ours);
    waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED)?;
    opened
}
