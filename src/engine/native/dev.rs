//! The container's `/dev`: a small tmpfs with the devices that every userland expects.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Dev, FileType, Mode, major, makedev, minor, mkdirat, mknodat, symlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use super::failure::{StartFailure, Step as _};
use crate::model::DeviceSpec;
use crate::sys::{AllowedDevice, set_filesystem_ids};

/// Character devices with major and minor number (Documentation/admin-guide/devices.txt).
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links that programs expect.
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("/proc/kcore", "core"),
    ("pts/ptmx", "ptmx"),
];

/// Terminals: the console, `/dev/ptmx` and the Unix 98 terminals, which have majors 136 to 143.
const TERMINALS: [(u32, Option<u32>); 10] = [
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
    (137, None),
    (138, None),
    (139, None),
    (140, None),
    (141, None),
    (142, None),
    (143, None),
];

/// What a privileged guest, whose root could make a node of any device, may use: what is in its `/dev`, and `devices`
/// of the host.
pub(super) fn usable_devices(devices: &[DeviceSpec]) -> io::Result<Vec<AllowedDevice>> {
    let own = DEVICES.iter().map(|(_, major, minor)| (*major, Some(*minor)));
    let own = own.chain(TERMINALS).map(|(major, minor)| AllowedDevice { is_block: false, major, minor });
    let asked = devices.iter().map(|device| {
        let (kind, number) = node_of(device)?;
        let is_block = kind == FileType::BlockDevice;
        Ok(AllowedDevice { is_block, major: major(number), minor: Some(minor(number)) })
    });
    own.map(Ok).chain(asked).collect()
}

/// What the host's device is.
fn node_of(device: &DeviceSpec) -> io::Result<(FileType, Dev)> {
    let at = |why: String| io::Error::other(format!("`{}`: {why}", device.source.display()));
    let metadata = fs::metadata(&device.source).map_err(|error| at(error.to_string()))?;
    match FileType::from_raw_mode(metadata.mode()) {
        kind @ (FileType::CharacterDevice | FileType::BlockDevice) => Ok((kind, metadata.rdev())),
        _ => Err(at("it is not a device".to_owned())),
    }
}

/// Makes it, detached, owned by the host id `base`, the guest's root, with `devices` of the host.
///
/// It is mounted from the host's side: a tmpfs that the guest's user namespace mounted would refuse device nodes.
pub(super) fn mount_dev(base: u32, devices: &[DeviceSpec]) -> Result<OwnedFd, StartFailure> {
    let dev = mount_tmpfs(base).step(|| "cannot mount the container's `/dev`".to_owned())?;
    set_filesystem_ids(base).step(|| "cannot become the guest's root".to_owned())?;
    let filled = fill(&dev).step(|| "cannot fill the container's `/dev`".to_owned());
    let given = devices.iter().try_for_each(|device| give(&dev, device));
    set_filesystem_ids(0).step(|| "cannot become root again".to_owned())?;
    filled.and(given).map(|()| dev)
}

/// Makes a node for `device` of the host, and the directories that it lies in.
fn give(dev: &OwnedFd, device: &DeviceSpec) -> Result<(), StartFailure> {
    let path = device.target.strip_prefix("/dev").unwrap_or(&device.target);
    let make = || -> io::Result<()> {
        let (kind, number) = node_of(device)?;
        let above: Vec<&Path> = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
        for dir in above.into_iter().rev() {
            match mkdirat(dev, dir, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(mknodat(dev, path, kind, Mode::from_raw_mode(device.mode), number)?)
    };
    make().step(|| format!("cannot give the container the device `{device}`")).map_err(|failure| StartFailure {
        hint: Some("the host must have it: its driver may have to be loaded first".to_owned()),
        ..failure
    })
}

fn mount_tmpfs(base: u32) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = context.as_fd();
    let id = base.to_string();
    let options =
        [("source", "dev"), ("mode", "0755"), ("size", "512k"), ("nr_inodes", "1024"), ("uid", &id), ("gid", &id)];
    for (key, value) in options {
        fsconfig_set_string(fd, key, value)?;
    }
    fsconfig_create(fd)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn fill(dev: &OwnedFd) -> rustix::io::Result<()> {
    let all = Mode::from_raw_mode(0o666);
    for (name, major, minor) in DEVICES {
        mknodat(dev, name, FileType::CharacterDevice, all, makedev(major, minor))?;
    }
    // A file for the console's terminal to be mounted on.
    mknodat(dev, "console", FileType::RegularFile, Mode::from_raw_mode(0o600), 0)?;
    for name in ["pts", "shm", "mqueue"] {
        mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    }
    for (target, name) in LINKS {
        symlinkat(target, dev, name)?;
    }
    Ok(())
}
