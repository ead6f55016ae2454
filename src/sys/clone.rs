//! New processes: fork(2) and clone3(2).
//!
//! Both give the child a copy of one thread. In a process with more threads that copy may hold locks whose owners do
//! not exist in it, so both refuse unless the caller is the only thread; then the child may run any Rust.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::sched::CloneFlags;
use rustix::process::Pid;

/// Makes the new process a member of the cgroup whose directory is given (Linux 5.7).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The argument of clone3(2), version 2 (88 bytes).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What a new process is to have of its own.
#[derive(Debug, Clone, Copy)]
pub struct CloneRequest<'a> {
    /// Namespaces, as `CLONE_NEW…` flags.
    pub namespaces: i32,
    /// The directory of the cgroup v2 that it starts in; its parent's when not given.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A child made by [`clone_into`].
#[derive(Debug)]
pub struct Cloned {
    /// Its pid, as the caller sees it.
    pub pid: Pid,
    /// A descriptor for it (`pidfd_open(2)`).
    pub pidfd: OwnedFd,
}

/// Whether the calling thread is the only one of its process.
///
/// unshare(2) with `CLONE_VM` does nothing but ask that of the kernel: it needs no `/proc`, which in the middle of
/// entering a container may be another one's.
#[must_use]
pub fn is_single_threaded() -> bool {
    nix::sched::unshare(CloneFlags::CLONE_VM).is_ok()
}

fn require_single_thread() -> io::Result<()> {
    if is_single_threaded() { Ok(()) } else { Err(io::Error::other("the process has more than one thread")) }
}

/// Runs `child` in a new process, which then exits with the status it returns. Returns the child's pid.
pub fn fork(child: impl FnOnce() -> u8) -> io::Result<Pid> {
    require_single_thread()?;
    // SAFETY: the caller is the only thread, so the child's copy of the address space is consistent.
    let pid = unsafe { libc::fork() };
    finish(pid.into(), child)
}

/// Runs `child` in a new process with the namespaces and the cgroup that `request` names, like [`fork`].
pub fn clone_into(request: CloneRequest<'_>, child: impl FnOnce() -> u8) -> io::Result<Cloned> {
    require_single_thread()?;
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: u64::from((request.namespaces | libc::CLONE_PIDFD).cast_unsigned()),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = request.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: `args` and what it points to live until the call returns; without CLONE_VM and with stack 0 the child
    // goes on with a copy of this stack, as after fork(2); the caller is the only thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    let pid = finish(pid, child)?;
    // SAFETY: the kernel has just put a new descriptor there, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned { pid, pidfd })
}

/// In the child, runs `child` and exits; in the parent, returns the pid.
fn finish(pid: libc::c_long, child: impl FnOnce() -> u8) -> io::Result<Pid> {
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    if let Some(pid) = Pid::from_raw(pid) {
        return Ok(pid);
    }
    // A panic must not unwind into the code that the parent goes on with.
    let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
    // SAFETY: ends the process at once; buffers and exit handlers are the parent's business.
    unsafe { libc::_exit(status.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        let refused = fork(|| 0).expect_err("the test runner has threads");
        assert_eq!(refused.to_string(), "the process has more than one thread");
    }
}
