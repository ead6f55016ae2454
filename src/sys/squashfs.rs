//! squashfs files as mounted file systems, each through one loop device (loop(4)).
//!
//! Nothing is noted anywhere: which device a file has is asked of the kernel, and a device goes with its last user.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::map_ids_of_mount;
use super::user_namespace::with_user_namespace;

/// Requests and flags of `linux/loop.h`.
const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Devices that others may take before us, one after the other.
const MOST_ATTEMPTS: u32 = 64;

/// What a loop device is like (`struct loop_info64`).
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// What a loop device is to be like (`struct loop_config`, Linux 5.8).
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopInfo {
    const NONE: LoopInfo = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// Mounts the squashfs `path`, detached and read-only. All mounts of one file share its device and what is cached of it.
/// A device node in it opens nothing through this mount.
pub fn mount_squashfs(path: &Path) -> io::Result<OwnedFd> {
    // Whoever wants the same file meanwhile waits, and finds the device. Not the file that the device gets is locked: it
    // would stay so as long as the device lives (flock(2)).
    let lock = File::open(path)?;
    lock.lock()?;
    let file = File::open(path)?;
    let (_device, number) = match find_device(&file)? {
        Some(found) => found,
        None => new_device(&file)?,
    };
    // The device stays ours as long as it is open, and after that the mount's.
    let context = fsopen("squashfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", format!("/dev/loop{number}").as_str())?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Whether the kernel should be able to mount a squashfs and map its ids (Linux 6.2). Modules are loaded for the question.
#[must_use]
pub fn knows_squashfs() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 2) && can_mount()
}

fn can_mount() -> bool {
    fsopen("squashfs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok() && File::open("/dev/loop-control").is_ok()
}

/// Whether this kernel can mount the squashfs `path`, packed as it is, and map its ids.
#[must_use]
pub fn can_map_squashfs(path: &Path) -> bool {
    can_mount()
        && mount_squashfs(path)
            .and_then(|mount| with_user_namespace(|namespace| map_ids_of_mount(mount.as_fd(), namespace)))
            .is_ok()
}

/// The device that `file` has as a whole, open, and its number.
fn find_device(file: &File) -> io::Result<Option<(File, u32)>> {
    let wanted = file.metadata()?;
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")).and_then(|number| number.parse().ok());
        // Only a device in use has this directory.
        let Some(number) = number.filter(|_| entry.path().join("loop").is_dir()) else { continue };
        // What cannot be opened now is not the one: that would be open.
        let Ok(device) = File::open(format!("/dev/loop{number}")) else { continue };
        let Some(info) = status(&device)? else { continue };
        let ours = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
        let is_whole = info.offset == 0 && info.size_limit == 0;
        if (info.device, info.inode) == (wanted.dev(), wanted.ino()) && is_whole && info.flags & ours == ours {
            return Ok(Some((device, number)));
        }
    }
    Ok(None)
}

/// What `device` is like; `None` if it has no file.
fn status(device: &File) -> io::Result<Option<LoopInfo>> {
    let mut info = LoopInfo::NONE;
    // SAFETY: the request writes one `loop_info64` to where the pointer points.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    match Errno::from_io_error(&io::Error::last_os_error()) {
        _ if result == 0 => Ok(Some(info)),
        Some(Errno::NXIO) => Ok(None),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives `file` a device that goes with its last user.
fn new_device(file: &File) -> io::Result<(File, u32)> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..MOST_ATTEMPTS {
        // SAFETY: the request takes no argument and returns a number or -1.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        let Ok(number) = u32::try_from(number) else { return Err(io::Error::last_os_error()) };
        let device = File::open(format!("/dev/loop{number}"))?;
        let flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
        let fd = file.as_raw_fd().cast_unsigned();
        let config = LoopConfig { fd, block_size: 0, info: LoopInfo { flags, ..LoopInfo::NONE }, reserved: [0; 8] };
        // SAFETY: the request reads one `loop_config` from where the pointer points.
        if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } == 0 {
            return Ok((device, number));
        }
        let error = io::Error::last_os_error();
        if Errno::from_io_error(&error) != Some(Errno::BUSY) {
            return Err(error);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The loop devices of `path`, by what the kernel says.
    fn devices(path: &Path) -> usize {
        let files = fs::read_dir("/sys/block")
            .expect("readable")
            .filter_map(|entry| fs::read_to_string(entry.expect("readable").path().join("loop/backing_file")).ok());
        files.filter(|file| Path::new(file.trim_end()) == path).count()
    }

    #[test]
    fn all_mounts_of_a_file_share_a_device_that_goes_with_the_last() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let (tree, path) = (dir.path().join("tree"), dir.path().join("file"));
        fs::create_dir(&tree).expect("a directory");
        fs::write(tree.join("name"), "content").expect("written");
        let made = Command::new("mksquashfs").args([&tree, &path]).arg("-quiet").output().expect("mksquashfs");
        assert!(made.status.success(), "{made:?}");
        assert!(can_map_squashfs(&path));
        let mounts: Vec<io::Result<OwnedFd>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..4).map(|_| scope.spawn(|| mount_squashfs(&path))).collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let mounts: Vec<OwnedFd> = mounts.into_iter().collect::<Result<_, _>>().expect("mounted");
        assert_eq!(devices(&path), 1);
        for mount in &mounts {
            let name = format!("/proc/self/fd/{}/name", mount.as_raw_fd());
            assert_eq!(fs::read_to_string(name).expect("readable"), "content");
        }
        drop(mounts);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while devices(&path) > 0 {
            assert!(std::time::Instant::now() < deadline, "the device stays");
            std::thread::yield_now();
        }
        fs::write(&path, "no squashfs").expect("written");
        assert!(!can_map_squashfs(&path));
    }
}
