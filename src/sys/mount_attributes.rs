//! What a mount makes of its file system (`mount_setattr(2)`, Linux 5.12).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{OpenTreeFlags, open_tree};

const MOUNT_ATTR_RDONLY: u64 = 0x0000_0001;
const MOUNT_ATTR_NODEV: u64 = 0x0000_0004;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes the detached mount `mount` show its files with the ids of the user namespace `user_namespace`. It can be
/// done once for each mount, before it is attached.
pub fn map_ids_of_mount(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::from(user_namespace.as_raw_fd().cast_unsigned());
    set_attributes(mount, 0, &MountAttr { set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() })
}

/// Another mount of the file or directory `path` in `directory`, or of `directory` itself if `path` is empty: detached, and
/// without what is mounted below.
///
/// It is cut off those that it is a copy of. Where the host shares its mounts, as systemd has it, what is mounted on the copy
/// would else be mounted on the host's, whoever does it (`mount_namespaces(7)`, "Shared subtrees").
pub fn copy_of_mount(directory: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    copy(directory, path, OpenTreeFlags::empty(), 0)
}

/// As [`copy_of_mount`] with all that is mounted below, each cut off in the same way.
pub fn copy_of_tree(directory: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    copy(directory, path, OpenTreeFlags::AT_RECURSIVE, libc::AT_RECURSIVE)
}

fn copy(directory: BorrowedFd<'_>, path: &Path, which: OpenTreeFlags, of_which: i32) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let copy = open_tree(directory, path, flags | which)?;
    set_attributes(copy.as_fd(), of_which, &MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() })?;
    Ok(copy)
}

/// Lets nobody write through the mount `mount`.
pub fn set_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(mount, 0, &MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() })
}

/// What a tree of mounts is to be for those who get it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TreeAttributes<'a> {
    /// Whether nobody may write.
    pub is_read_only: bool,
    /// The user namespace with whose ids the files show; as they are without one.
    pub ids: Option<BorrowedFd<'a>>,
}

/// Makes all mounts of the detached tree `top` what `attributes` say. Devices in them cannot be used.
pub fn set_tree_attributes(top: BorrowedFd<'_>, attributes: TreeAttributes<'_>) -> io::Result<()> {
    let mut attr = MountAttr { set: MOUNT_ATTR_NODEV, ..MountAttr::default() };
    if attributes.is_read_only {
        attr.set |= MOUNT_ATTR_RDONLY;
    }
    if let Some(ids) = attributes.ids {
        attr.set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = u64::from(ids.as_raw_fd().cast_unsigned());
    }
    set_attributes(top, libc::AT_RECURSIVE, &attr)
}

fn set_attributes(mount: BorrowedFd<'_>, flags: i32, attributes: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is a NUL-terminated literal and `attributes` lives until the call returns; its size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
