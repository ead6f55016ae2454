//! Pseudo-terminals of a devpts mount that need not be the host's (pty(7)).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end of whoever watches.
    pub master: OwnedFd,
    /// The end that programs use as their terminal.
    pub slave: OwnedFd,
}

/// Opens a new pseudo-terminal of the devpts mount whose directory is `devpts`.
pub fn open_pty(devpts: impl AsFd) -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(devpts, Path::new("ptmx"), flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let slave = peer_of(&master)?;
    Ok(Pty { master, slave })
}

/// Opens the terminal behind `master` without a path (`TIOCGPTPEER`, Linux 4.13): no name inside a mount of somebody
/// else's making is trusted.
pub fn peer_of(master: impl AsFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes open flags by value and returns a descriptor or -1.
    let fd = unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
