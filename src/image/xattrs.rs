//! Extended attributes: which of them an image may carry, and how they are read and written.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::buffer::spare_capacity;
use rustix::fs::{self as rfs, XattrFlags};
use rustix::io::Errno;

/// The largest list of names and the largest value that Linux has (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LARGEST: usize = 65_536;

/// An extended attribute: its name and its value.
pub(super) type Xattr = (OsString, Vec<u8>);

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
    read_those(fd, is_welcome)
}

/// The same with what the store itself says to overlayfs.
pub(super) fn read_stored(fd: &impl AsFd) -> io::Result<Vec<Xattr>> {
    read_those(fd, |name| is_welcome(name) || name.starts_with(b"trusted.overlay."))
}

fn read_those(fd: &impl AsFd, is_wanted: fn(&[u8]) -> bool) -> io::Result<Vec<Xattr>> {
    let mut names = Vec::with_capacity(1024);
    match rfs::flistxattr(fd, spare_capacity(&mut names)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            names.reserve(LARGEST);
            rfs::flistxattr(fd, spare_capacity(&mut names))?;
        }
        other => drop(other?),
    }
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_wanted(name)) {
        let name = OsString::from_vec(name.to_vec());
        let mut value = Vec::with_capacity(LARGEST);
        rfs::fgetxattr(fd, name.as_os_str(), spare_capacity(&mut value))?;
        value.shrink_to_fit();
        xattrs.push((name, value));
    }
    xattrs.sort();
    Ok(xattrs)
}
