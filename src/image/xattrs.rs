//! Extended attributes: which of them an image may carry, and how they are read and written.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self as rfs, XattrFlags};
use rustix::io::Errno;

pub(super) use crate::sys::Xattr;
use crate::sys::read_xattrs;

/// Whether an image may carry the attribute: file capabilities, the user's own and access lists. All others belong
/// to the host, or would be orders to it, as `trusted.overlay.*` is to the overlay that containers stand on.
pub(super) fn is_welcome(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

/// Writes those of `xattrs` that are welcome to the open file or directory `fd`.
pub(super) fn write(fd: &impl AsFd, xattrs: &[Xattr]) -> io::Result<()> {
    for (name, value) in xattrs.iter().filter(|(name, _)| is_welcome(name.as_bytes())) {
        match rfs::fsetxattr(fd, name.as_os_str(), value, XattrFlags::empty()) {
            // Not every file system keeps these, and nothing breaks without; capabilities are another matter.
            Err(Errno::OPNOTSUPP) if name != "security.capability" => {}
            other => other?,
        }
    }
    Ok(())
}

/// Reads those attributes of the open file or directory `fd` that are welcome, sorted by name.
pub(super) fn read(fd: &impl AsFd) -> io::Result<Vec<Xattr>> {
    read_xattrs(fd, is_welcome)
}

/// The same with what the store itself says to overlayfs.
pub(super) fn read_stored(fd: &impl AsFd) -> io::Result<Vec<Xattr>> {
    read_xattrs(fd, |name| is_welcome(name) || name.starts_with(b"trusted.overlay."))
}
