//! How a monitor learns that its container is to stop for good: by `SIGTERM`, which it never dies of. A signal that is
//! pending is not lost, whatever the monitor is doing when it comes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::pidfd_send_signal;

/// The monitor's end.
pub(super) struct StopSign {
    signals: SignalFd,
    has_come: bool,
}

impl StopSign {
    /// Looks out for the sign from now on. What is executed by this process must set its own signal mask.
    pub(super) fn look_out() -> io::Result<StopSign> {
        let mut wanted = SigSet::empty();
        wanted.add(Signal::SIGTERM);
        wanted.thread_block()?;
        let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(StopSign { signals, has_come: false })
    }

    /// Whether it has come; it is never taken back.
    pub(super) fn has_come(&mut self) -> bool {
        while matches!(self.signals.read_signal(), Ok(Some(_))) {
            self.has_come = true;
        }
        self.has_come
    }
}

impl AsFd for StopSign {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

/// Gives the sign to the process behind `monitor`: it starts its container no more, and kills one that it is starting.
pub(super) fn give(monitor: &OwnedFd) -> io::Result<()> {
    match pidfd_send_signal(monitor, rustix::process::Signal::TERM) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
