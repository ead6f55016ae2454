//! Session keyrings (keyctl(2)).

use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives the calling process a new, empty, anonymous session keyring, so that it does not hold its starter's keys.
pub fn join_new_session_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for an anonymous keyring; no memory is read.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
