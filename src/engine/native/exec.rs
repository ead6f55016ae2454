//! Commands in a running container, from the caller's side. A process of its own enters, see [`super::enter`]; the
//! caller stays outside and relays streams and signals.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::sched::CloneFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::enter::{Entrance, OWN_FAILURE, Way, enter_and_wait};
use super::run_state::RunFile;
use super::running::find_running;
use super::signals::Signals;
use super::start::Machine;
use super::streams::{FromInside, NotExecuted};
use super::terminal::{is_wanted, relay_pipes, relay_terminal};
use crate::engine::EngineError;
use crate::model::{ContainerName, GuestCommand};
use crate::store::Layout;
use crate::sys::{CloneRequest, Cloned, MessageSocket, clone_into, privilege_bounds};

/// The exit status for a container that runs no command.
const NO_CONTAINER: u8 = 1;

/// Why a command was not executed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ExecFailure {
    /// The exit status that says so: 126 and 127 as shells have them, 125 when fleet could not prepare it, 1 when no
    /// container can run it.
    pub status: u8,
    /// What failed.
    pub error: EngineError,
}

/// Runs `command` in the running container `name` and waits for it; returns its exit status, 128 plus the signal's
/// number if one ended it. This process's standard streams are relayed to it, and the signals that ask it to end. The
/// caller has one thread.
pub fn exec(layout: &Layout, name: &ContainerName, command: &GuestCommand) -> Result<u8, ExecFailure> {
    let failed = |error| ExecFailure {
        status: OWN_FAILURE,
        error: EngineError::because(format!("cannot run a command in `{name}`"), error),
    };
    let no_container = |error| ExecFailure { status: NO_CONTAINER, error };
    let (machine, state) = find_running(layout, name).map_err(no_container)?;
    if machine.group.is_frozen() {
        return Err(no_container(
            EngineError::new(format!("the container `{name}` is frozen: a command in it would stand still"))
                .with_hint(format!("let it go on with `fleet thaw {name}`")),
        ));
    }
    let entrance = entrance(&machine, &state, command).map_err(failed)?;
    match run(&entrance).map_err(failed)? {
        Ok(status) => Ok(status),
        Err(NotExecuted { status, words, .. }) => Err(ExecFailure { status, error: EngineError::new(words) }),
    }
}

/// What is needed to enter; all of it is read of the same process.
pub(super) fn entrance<'a>(
    machine: &'a Machine,
    state: &RunFile,
    command: &'a GuestCommand,
) -> io::Result<Entrance<'a>> {
    let pid = state.init.pid;
    let bounds = privilege_bounds(pid)?;
    let namespaces = namespaces_of(pid)?;
    let init = state.init.open()?.ok_or(io::ErrorKind::NotFound)?;
    let with_terminal = is_wanted(command.terminal);
    let (security, arch) = (&machine.record.spec.security, &machine.record.spec.arch);
    Ok(Entrance { group: &machine.group, init, namespaces, bounds, security, arch, command, with_terminal })
}

/// The namespaces of process `pid` that are not the caller's too: setns(2) refuses to enter the user namespace that
/// one is in.
fn namespaces_of(pid: u32) -> io::Result<CloneFlags> {
    let mut found = CloneFlags::empty();
    for (name, flag) in [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("net", CloneFlags::CLONE_NEWNET),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ] {
        let inode = |of: &str| fs::metadata(format!("/proc/{of}/ns/{name}")).map(|metadata| metadata.ino());
        if inode(&pid.to_string())? != inode("self")? {
            found |= flag;
        }
    }
    Ok(found)
}

fn run(entrance: &Entrance<'_>) -> io::Result<Result<u8, NotExecuted>> {
    let ran = run_by(entrance, Way::Made);
    let is_full = match &ran {
        Ok(Ok(_)) => false,
        Ok(Err(refusal)) => refusal.is_full,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    if is_full { run_by(entrance, Way::Moved) } else { ran }
}

fn run_by(entrance: &Entrance<'_>, way: Way) -> io::Result<Result<u8, NotExecuted>> {
    let signals = Signals::block()?;
    let (ours, theirs) = MessageSocket::pair()?;
    let enter = || enter_and_wait(entrance, way, &theirs);
    let made = match way {
        Way::Made => entrance.group.fork_inside(enter),
        Way::Moved => clone_into(CloneRequest { namespaces: 0, cgroup: None }, enter),
    };
    let Cloned { pid: between, pidfd } = made?;
    // With its own copy open, the caller would wait for a message of its own.
    drop(theirs);
    if let Some(status) = wait_for_word(&ours, &pidfd, &signals)? {
        wait(between)?;
        return Ok(Ok(status));
    }
    while let Some(received) = ours.receive()? {
        match serde_json::from_slice(&received.bytes)? {
            FromInside::Terminal => {
                let [master] = fds(received.fds)?;
                relay_terminal(&master, &pidfd, &signals)?;
            }
            FromInside::Pipes => relay_pipes(fds(received.fds)?, &pidfd, &signals)?,
            FromInside::NotExecuted(refusal) => {
                wait(between)?;
                return Ok(Err(refusal));
            }
        }
    }
    Ok(Ok(wait(between)?))
}

/// Waits until the process inside says something. A signal that comes first ends the attempt: its exit status.
fn wait_for_word(socket: &MessageSocket, pidfd: &OwnedFd, signals: &Signals) -> io::Result<Option<u8>> {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        if let Some(signal) = signals.next_to_end() {
            pidfd_send_signal(pidfd, Signal::KILL)?;
            return Ok(Some(128 + u8::try_from(signal as i32).unwrap_or_default()));
        }
    }
}

fn fds<const COUNT: usize>(fds: Vec<OwnedFd>) -> io::Result<[OwnedFd; COUNT]> {
    fds.try_into().map_err(|_| io::Error::other("the process inside sent no streams"))
}

/// Waits for the child `pid`; its exit status, or 128 plus the number of the signal that ended it.
fn wait(pid: Pid) -> io::Result<u8> {
    let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Ok(128 + u8::try_from(signal as i32).unwrap_or_default());
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
