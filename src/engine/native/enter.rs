//! The process between the caller, who stays outside, and a command: it enters the container's groups and namespaces,
//! has a child execute the command, since a pid namespace takes in only children, and waits for it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::process::{DumpableBehavior, Pid, kill_process, kill_process_group};

use super::cgroup::Group;
use super::confinement::limit_resources;
use super::execute::execute;
use super::signals::FORWARDED;
use super::streams::{FromInside, NotExecuted, say};
use crate::model::{GuestCommand, SecuritySpec};
use crate::sys::{MessageSocket, PrivilegeBounds, fork};

/// The exit status that tells that fleet itself failed, as in env(1) and docker-run(1).
pub(super) const OWN_FAILURE: u8 = 125;

/// How a command gets in.
pub(super) struct Entrance<'a> {
    pub(super) group: &'a Group,
    /// The init of the container, as a pidfd.
    pub(super) init: OwnedFd,
    /// The namespaces that it has of its own.
    pub(super) namespaces: CloneFlags,
    /// What it may at most do.
    pub(super) bounds: PrivilegeBounds,
    /// What was asked for of it.
    pub(super) security: &'a SecuritySpec,
    /// The architecture of its programs.
    pub(super) arch: &'a str,
    pub(super) command: &'a GuestCommand,
    /// Whether the command gets a terminal.
    pub(super) with_terminal: bool,
}

/// How a command gets into the groups that count the container's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is made there.
    Made,
    /// It moves there, which takes longer, and is not refused where the container has as many processes as it may.
    Moved,
}

/// Runs the command; returns its exit status, 128 plus the number of the signal if one ended it. Signals that are
/// forwarded are blocked.
pub(super) fn enter_and_wait(entrance: &Entrance<'_>, way: Way, socket: &MessageSocket) -> u8 {
    let failed = |what: &str, error: &io::Error| {
        let is_full = error.kind() == io::ErrorKind::WouldBlock;
        let refusal = NotExecuted { status: OWN_FAILURE, words: format!("cannot {what}: {error}"), is_full };
        // A caller that is gone needs no reason.
        let _ = say(socket, &FromInside::NotExecuted(refusal), &[]);
        OWN_FAILURE
    };
    let groups = match enter(entrance, way) {
        Ok(groups) => groups,
        Err(error) => return failed("enter the container", &error),
    };
    match fork(|| execute(entrance, &groups, socket)).and_then(wait) {
        Ok(status) => status,
        Err(error) => failed("make a process in the container", &error),
    }
}

/// Enters; returns the files through which the command has yet to enter the groups that are left.
fn enter(entrance: &Entrance<'_>, way: Way) -> io::Result<Vec<File>> {
    // What is typed at the user's terminal reaches the caller alone, who passes it on.
    rustix::process::setsid()?;
    // Inside, the guest could otherwise reach this process through /proc, and with it the host (CVE-2019-5736).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut awaited: SigSet = FORWARDED.into_iter().collect();
    awaited.add(Signal::SIGCHLD);
    awaited.thread_block()?;
    limit_resources(entrance.security, std::process::id())?;
    let groups = match way {
        Way::Made => entrance.group.enter_v1().map(|()| Vec::new())?,
        Way::Moved => {
            let groups = entrance.group.open_counted()?;
            entrance.group.enter_v1_uncounted().map(|()| groups)?
        }
    };
    setns(entrance.init.as_fd(), entrance.namespaces)?;
    Ok(groups)
}

/// Waits for the child `pid`, the first of a session of its own, and passes signals on to its process group, as a
/// terminal does.
fn wait(pid: Pid) -> io::Result<u8> {
    let mut awaited: SigSet = FORWARDED.into_iter().collect();
    awaited.add(Signal::SIGCHLD);
    let child = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, status) => return Ok(u8::try_from(status & 0xff).unwrap_or(OWN_FAILURE)),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + u8::try_from(signal as i32).unwrap_or_default()),
            _ => {}
        }
        let signal = awaited.wait()?;
        if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32)
            && signal != rustix::process::Signal::CHILD
        {
            // It may not have begun its session yet. It is not reaped, so the pid is still its own.
            let _ = kill_process_group(pid, signal).or_else(|_| kill_process(pid, signal));
        }
    }
}
