//! User namespaces that nobody lives in: all they are for is their id maps (`user_namespaces(7)`).

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, waitid, waitpid};

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

/// Calls `work` with a user namespace that is nobody's, in which root is the host's. The caller is root and may have many
/// threads.
pub(super) fn with_user_namespace<T>(work: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
    let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with stack 0 the child goes on with a copy of this stack. It may find locks that
    // threads of the parent held, and does nothing but system calls.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        loop {
            // SAFETY: takes no memory and no lock; it ends with the process.
            unsafe { libc::pause() };
        }
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(io::Error::last_os_error)?;
    let number = pid.as_raw_nonzero();
    let opened = fs::write(format!("/proc/{number}/uid_map"), "0 0 1\n")
        .and_then(|()| fs::write(format!("/proc/{number}/gid_map"), "0 0 1\n"))
        .and_then(|()| Ok(open(format!("/proc/{number}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?));
    // It has not been waited for, so the pid is still its own.
    let _ = kill_process(pid, Signal::KILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
    work(opened?.as_fd())
}
