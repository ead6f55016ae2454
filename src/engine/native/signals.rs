//! Signals that fleet is sent while a command runs: they are meant for the command.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::pidfd_send_signal;

/// Signals that ask a command to end.
pub(super) const FORWARDED: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals that came, to be read from a descriptor in place of being handled.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// From now on the calling thread, and what is forked from it, is not interrupted by those that are forwarded and
    /// by changes of the terminal's window.
    pub(super) fn block() -> io::Result<Signals> {
        let mut set: SigSet = FORWARDED.into_iter().collect();
        set.add(Signal::SIGWINCH);
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next one that came.
    fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }

    /// The next one that came and asks the command to end.
    pub(super) fn next_to_end(&self) -> Option<Signal> {
        std::iter::from_fn(|| self.next()).find(|signal| FORWARDED.contains(signal))
    }

    /// Sends those that came on to the process behind `pidfd`, and calls `resized` if one of them tells that the
    /// terminal's window has another size.
    pub(super) fn pass_on(&self, pidfd: &OwnedFd, resized: impl Fn()) {
        while let Some(signal) = self.next() {
            match rustix::process::Signal::from_named_raw(signal as i32) {
                Some(signal) if signal != rustix::process::Signal::WINCH => {
                    // One that has ended needs none.
                    let _ = pidfd_send_signal(pidfd, signal);
                }
                Some(_) | None => resized(),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
