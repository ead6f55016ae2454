//! How an init ended, as far as its monitor can know.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::run_state::ProcessId;
use crate::model::Ending;
use crate::sys::{reaped_status, unreaped_status};

/// How long an ended process's parent may take to ask for its status.
const REAPED_AFTER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Waits for the end of the monitor's child behind `pidfd`.
pub(super) fn of_child(pidfd: &OwnedFd) -> Ending {
    let Ok(Some(status)) = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) else { return Ending::Unknown };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Ending::Exited { status: u8::try_from(status & 0xff).unwrap_or(u8::MAX) },
        (None, Some(signal)) => Ending::of_wait_status(signal),
        (None, None) => Ending::Unknown,
    }
}

/// The end of the process `id` behind `pidfd`, which has ended and is the child of another: the host's init, once its
/// first monitor was killed. Until that has asked for the status, all of it can be read; this is likely to come first,
/// being woken first. Afterwards a kernel from 6.15 on tells how the process itself ended, which of a reboot or a
/// power-off says nothing: those look like an exit with status 0 or a kill, so these two then are unknown.
pub(super) fn of_adopted(id: ProcessId, pidfd: &OwnedFd) -> Ending {
    if let Some(status) = unreaped_status(id.pid, id.start_time) {
        return Ending::of_wait_status(status);
    }
    // It hangs up when it has been asked for.
    let _ = poll(&mut [PollFd::new(pidfd, PollFlags::empty())], Some(&REAPED_AFTER));
    match reaped_status(pidfd.as_fd()) {
        Some(0 | libc::SIGKILL) | None => Ending::Unknown,
        Some(status) => Ending::of_wait_status(status),
    }
}
