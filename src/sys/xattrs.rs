//! Extended attributes of files (xattr(7)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStringExt as _;

use rustix::buffer::spare_capacity;
use rustix::fs::{self as rfs, XattrFlags};
use rustix::io::Errno;

/// The largest list of names and the largest value that Linux has (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const LARGEST: usize = 65_536;

/// An extended attribute: its name and its value.
pub type Xattr = (OsString, Vec<u8>);

/// The attribute with the capabilities that a program gets when it is executed (capabilities(7)).
pub const FILE_CAPABILITIES: &str = "security.capability";

/// `struct vfs_ns_cap_data` (linux/capability.h): version 2 has no root id, version 3 has one.
const V2_LENGTH: usize = 20;
const REVISION_MASK: u32 = 0xff00_0000;
const V2: u32 = 0x0200_0000;
const V3: u32 = 0x0300_0000;

/// Reads those attributes of the file or directory behind `fd`, which may be open with `O_PATH`, whose names pass
/// `is_wanted`; sorted by name. A file system without attributes has none.
pub fn read_xattrs(fd: &impl AsFd, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Xattr>> {
    let mut names = Vec::with_capacity(1024);
    match list(fd, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(Errno::RANGE) => {
            names.reserve(LARGEST);
            list(fd, &mut names)?;
        }
        other => other?,
    }
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && is_wanted(name)) {
        let name = OsString::from_vec(name.to_vec());
        let mut value = Vec::with_capacity(LARGEST);
        match get(fd, &name, &mut value) {
            // Somebody has removed it meanwhile.
            Err(Errno::NODATA) => continue,
            other => other?,
        }
        value.shrink_to_fit();
        xattrs.push((name, value));
    }
    xattrs.sort();
    Ok(xattrs)
}

fn list(fd: &impl AsFd, names: &mut Vec<u8>) -> rustix::io::Result<()> {
    match rfs::flistxattr(fd, spare_capacity(names)) {
        Err(Errno::BADF) => rfs::listxattr(path_of(fd), spare_capacity(names)).map(drop),
        listed => listed.map(drop),
    }
}

fn get(fd: &impl AsFd, name: &OsStr, value: &mut Vec<u8>) -> rustix::io::Result<()> {
    match rfs::fgetxattr(fd, name, spare_capacity(value)) {
        Err(Errno::BADF) => rfs::getxattr(path_of(fd), name, spare_capacity(value)).map(drop),
        got => got.map(drop),
    }
}

/// A path to what is open: for descriptors that are open with `O_PATH`, which the calls for descriptors refuse. It stands for
/// the file itself, so that it cannot lead to another by now.
pub(super) fn path_of(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Gives the open file or directory `fd` the attribute `name`.
pub fn write_xattr(fd: &impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rfs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// File capabilities of the host as those of a guest whose root is the host's `root_id`: they count in its user
/// namespace alone. `None` if they are of some other namespace, or of a form that is not known.
#[must_use]
pub fn capabilities_of_guest(value: &[u8], root_id: u32) -> Option<Vec<u8>> {
    let magic = u32::from_le_bytes(*value.first_chunk()?);
    if magic & REVISION_MASK != V2 || value.len() != V2_LENGTH {
        return None;
    }
    if root_id == 0 {
        return Some(value.to_vec());
    }
    let flags = magic & !REVISION_MASK;
    Some([&(V3 | flags).to_le_bytes(), &value[4..], &root_id.to_le_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_become_those_of_one_namespace() {
        // cap_net_raw, permitted and effective: `setcap cap_net_raw+ep`.
        let value = [&0x0200_0001_u32.to_le_bytes()[..], &0x2000_u32.to_le_bytes(), &[0; 12]].concat();
        assert_eq!(capabilities_of_guest(&value, 0).as_deref(), Some(&value[..]));
        let shifted = capabilities_of_guest(&value, 1_000_000).expect("of a known form");
        assert_eq!((&shifted[..4], &shifted[4..20]), (&[1, 0, 0, 3][..], &value[4..]));
        assert_eq!(shifted[20..], 1_000_000_u32.to_le_bytes());
        assert_eq!(capabilities_of_guest(&shifted, 1_000_000), None);
        assert_eq!(capabilities_of_guest(&value[..19], 0), None);
        assert_eq!(capabilities_of_guest(b"", 0), None);
    }
}
