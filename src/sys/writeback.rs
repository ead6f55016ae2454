//! When what was written to files goes to the disk.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Has the kernel begin to write what it keeps of the open file `fd` to the disk, and does not wait for it
/// (`sync_file_range(2)`): nothing is promised, but a later sync has less to do.
pub fn begin_writeback(fd: &impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    // SAFETY: the descriptor is open as long as it is borrowed, and the call takes no pointers.
    let result = unsafe { libc::sync_file_range(fd.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
