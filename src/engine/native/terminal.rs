//! The user's end of a command's streams: the terminal that the user sits at, or whatever was given in its place.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::relay::{Pump, PumpKind, relay};
use super::signals::Signals;
use crate::model::TerminalUse;

/// Whether a command gets a terminal.
pub(super) fn is_wanted(terminal: TerminalUse) -> bool {
    match terminal {
        TerminalUse::Always => true,
        TerminalUse::Never => false,
        TerminalUse::Auto => io::stdin().is_terminal() && io::stdout().is_terminal(),
    }
}

/// The user's terminal in raw mode; back as it was when dropped.
pub(super) struct RawMode(Termios);

impl RawMode {
    pub(super) fn enter() -> io::Result<RawMode> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Passes bytes, window sizes and signals between the user and the terminal behind `master` until the process behind
/// `pidfd` has ended.
pub(super) fn relay_terminal(master: &OwnedFd, pidfd: &OwnedFd, signals: &Signals) -> io::Result<()> {
    let (_raw, input) = if io::stdin().is_terminal() {
        (Some(RawMode::enter()?), PumpKind::Input)
    } else {
        (None, PumpKind::TerminalInput)
    };
    copy_size(master);
    let pumps = vec![
        Pump::new(own_copy(&io::stdin())?, master.try_clone()?, input)?,
        Pump::new(master.try_clone()?, own_copy(&io::stdout())?, PumpKind::Output)?,
    ];
    relay(pumps, pidfd, signals.as_fd(), || signals.pass_on(pidfd, || copy_size(master)))
}

/// Passes bytes and signals between the user's standard streams and the other ends of a command's, until the process
/// behind `pidfd` has ended.
pub(super) fn relay_pipes(ends: [OwnedFd; 4], pidfd: &OwnedFd, signals: &Signals) -> io::Result<()> {
    let [to_stdin, from_stdout, from_stderr, stdin] = ends;
    let pumps = vec![
        Pump::returning(own_copy(&io::stdin())?, to_stdin, stdin)?,
        Pump::new(from_stdout, own_copy(&io::stdout())?, PumpKind::Output)?,
        Pump::new(from_stderr, own_copy(&io::stderr())?, PumpKind::Output)?,
    ];
    relay(pumps, pidfd, signals.as_fd(), || signals.pass_on(pidfd, || {}))
}

fn own_copy(stream: &impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// Gives the guest's terminal the size of the user's, whichever stream that is on.
fn copy_size(master: &OwnedFd) {
    let size: Option<Winsize> =
        tcgetwinsize(io::stdin()).or_else(|_| tcgetwinsize(io::stdout())).or_else(|_| tcgetwinsize(io::stderr())).ok();
    if let Some(size) = size {
        let _ = tcsetwinsize(master, size);
    }
}
