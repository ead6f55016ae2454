//! Stopping a container, and cleaning up behind one that was not stopped well.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::inits::ask_to_shut_down;
use super::run_state::RunFile;
use super::start::Machine;
use super::{cleanup, stop_sign};
use crate::model::InitKind;
use crate::store::write_volatile;

/// How long a killed process may take to go.
const KILL_DEADLINE: Duration = Duration::from_secs(15);

/// How long a monitor may take from its init's end to its own: it cleans up, or finishes a start and kills that init.
const MONITOR_DEADLINE: Duration = Duration::from_secs(15);

/// Stops the container; returns when nothing of it runs and everything that lives only while it runs is gone.
pub(super) fn stop(machine: &Machine, timeout: Duration) -> io::Result<()> {
    let watched = RunFile::load_watched(&machine.paths.run_state())?;
    let monitor = watched.map(|state| state.monitor.open()).transpose()?.flatten();
    if let Some(monitor) = &monitor {
        // If this process is killed, whoever comes next knows that the init's days are numbered. It goes with the rest. A
        // disk that takes nothing more does not keep a guest from being stopped.
        let _ = write_volatile(&machine.paths.stopping(), &[], 0o600);
        stop_sign::give(monitor)?;
    }
    // Only now is it certain which init is the last: an earlier one may just be followed by another.
    if let Some(state) = RunFile::load_running(&machine.paths.run_state())?
        && let Some(init) = state.init.open()?
    {
        end_init(machine, &init, state.init_kind, timeout)?;
    }
    if let Some(monitor) = monitor
        && !wait_for_end(monitor.as_fd(), MONITOR_DEADLINE)?
    {
        // It must not start anything behind this clean-up's back.
        kill(&monitor, "its monitor does not die")?;
    }
    cleanup(machine)
}

/// Asks the init to shut its guest down, and kills it when `timeout` is over.
fn end_init(machine: &Machine, init: &OwnedFd, kind: Option<InitKind>, timeout: Duration) -> io::Result<()> {
    if !timeout.is_zero() {
        // A frozen init would not hear what it is asked.
        machine.group.thaw()?;
        if ask_to_shut_down(init.as_fd(), kind, &machine.record.spec.init).is_ok() {
            wait_for_end(init.as_fd(), timeout)?;
        }
    }
    let _ = pidfd_send_signal(init, Signal::KILL);
    // In version 1 what is frozen does not even die. It does before it gets to do anything else.
    machine.group.thaw()?;
    kill(init, "its init does not die")
}

/// Kills the process behind `pidfd`, which may have ended.
fn kill(pidfd: &OwnedFd, stubborn: &str) -> io::Result<()> {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    if wait_for_end(pidfd.as_fd(), KILL_DEADLINE)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, stubborn))
}

/// Waits until the process behind `pidfd` has ended; false when `timeout` is over first.
pub(super) fn wait_for_end(pidfd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
