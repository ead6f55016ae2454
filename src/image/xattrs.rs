//! Extended attributes: which of them an image may carry, and how they are read and written.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self as rfs, XattrFlags};
use rustix::io::Errno;

use super::acl;
pub(super) use crate::sys::Xattr;
use crate::sys::read_xattrs;

/// Whether an image may carry the attribute: file capabilities, the user's own and access lists. All others belong
/// to the host, or would be orders to it, as `trusted.overlay.*` is to the overlay that containers stand on.
pub(super) fn is_welcome(name: &[u8]) -> bool {
    name == b"security.capability"
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        || is_acl(name)
}

/// Whether the attribute is an access control list.
pub(super) fn is_acl(name: &[u8]) -> bool {
    name == acl::ACCESS.as_bytes() || name == acl::DEFAULT.as_bytes()
}

/// Writes those of `xattrs` that are welcome to the open file or directory `fd`.
pub(super) fn write<'x>(fd: &impl AsFd, xattrs: impl IntoIterator<Item = &'x Xattr>) -> io::Result<()> {
    for (name, value) in xattrs.into_iter().filter(|(name, _)| is_welcome(name.as_bytes())) {
        match rfs::fsetxattr(fd, name.as_os_str(), value, XattrFlags::empty()) {
            // Not every file system keeps these, and nothing breaks without; capabilities are another matter.
            Err(Errno::OPNOTSUPP) if name != "security.capability" => {}
            other => other?,
        }
    }
    Ok(())
}

/// Takes the attribute `name` from the open file or directory `fd`, if it has it.
pub(super) fn remove(fd: &impl AsFd, name: &str) -> io::Result<()> {
    match rfs::fremovexattr(fd, name) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads those attributes of the open file or directory `fd` that are welcome, sorted by name.
pub(super) fn read(fd: &impl AsFd) -> io::Result<Vec<Xattr>> {
    read_xattrs(fd, is_welcome)
}

/// The same with what the store itself says to overlayfs.
pub(super) fn read_stored(fd: &impl AsFd) -> io::Result<Vec<Xattr>> {
    read_xattrs(fd, |name| is_welcome(name) || name.starts_with(b"trusted.overlay."))
}
