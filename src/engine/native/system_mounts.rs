//! What every guest finds mounted: its devices and terminals, `/proc`, `/sys`, its cgroups, memory for what is gone
//! at the next start.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstatfs, open};
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};

use super::failure::{StartFailure, Step as _};
use super::guest_root::{GuestRoot, NewMount};
use crate::model::SecuritySpec;
use crate::sys::{Pty, RootDir, copy_of_mount, open_pty, set_read_only};

/// How a guest's system mounts differ from those of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemMounts<'a> {
    /// The host's `/sys`, detached, for a guest that cannot mount its own.
    pub(super) sys: Option<BorrowedFd<'a>>,
    /// Whether `/sys` may be written to.
    pub(super) writable_sys: bool,
    /// Whether the host has cgroups of version 2.
    pub(super) has_cgroup2: bool,
    /// What the guest may do.
    pub(super) security: &'a SecuritySpec,
}

const NO_SUID_EXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
const NO_SUID_EXEC_DEV: MountAttrFlags = NO_SUID_EXEC.union(MountAttrFlags::MOUNT_ATTR_NODEV);
const NO_SUID_DEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// The magic number of devpts (statfs(2)).
const DEVPTS: i64 = 0x1cd1;

/// Files that tell of the host or, in a privileged container, reach into it.
const MASKED_FILES: [&str; 5] =
    ["proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list", "proc/sched_debug"];

/// Directories of that kind: firmware, and power meters, which tell keys (CVE-2020-8694).
const MASKED_DIRS: [&str; 4] = ["proc/acpi", "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap"];

/// What may be read but not written: interrupts, buses, the keys that crash or reboot the host.
const READ_ONLY: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sysrq-trigger"];

impl SystemMounts<'_> {
    /// Mounts all of it in `root`, with `dev` as `/dev`. Returns both ends of the console.
    pub(super) fn mount(self, root: &GuestRoot, dev: BorrowedFd<'_>) -> Result<Pty, StartFailure> {
        for name in ["dev", "proc", "sys", "run", "tmp"] {
            root.ensure_top_dir(name)?;
        }
        root.attach_at(dev, "dev")?;
        let options = [("gid", "5"), ("mode", "0620"), ("ptmxmode", "0666"), ("max", "1024"), ("newinstance", "")];
        root.mount("dev/pts", &NewMount { kind: "devpts", attributes: NO_SUID_EXEC, options: &options })?;
        let console = mount_console(root)?;
        // The kernel lets a user namespace mount proc and sysfs only while it can see the host's uncovered, so this
        // comes before the host's mounts are left.
        root.mount("proc", &NewMount { kind: "proc", attributes: NO_SUID_EXEC_DEV, options: &[] })?;
        // systemd takes a writable /sys for a sign that udev runs, and then waits for it.
        let read_only = if self.writable_sys && !self.security.privileged {
            MountAttrFlags::empty()
        } else {
            MountAttrFlags::MOUNT_ATTR_RDONLY
        };
        match self.sys {
            Some(sys) => root.attach_at(sys, "sys")?,
            None => {
                root.mount("sys", &NewMount { kind: "sysfs", attributes: NO_SUID_EXEC_DEV | read_only, options: &[] })?;
            }
        }
        if self.has_cgroup2 {
            // A unified tree for every guest, whatever the host has: new systemd knows nothing else.
            root.mount("sys/fs/cgroup", &NewMount { kind: "cgroup2", attributes: NO_SUID_EXEC_DEV, options: &[] })?;
        }
        // The kernel lets containers inside have a `/proc` of their own only where that of the outer one is whole.
        if !self.security.nesting {
            mask(root)?;
            if self.security.privileged {
                protect_parameters(root)?;
            }
        }
        let memory = |mode| NewMount { kind: "tmpfs", attributes: NO_SUID_DEV, options: mode };
        root.mount("dev/shm", &memory(&[("mode", "1777")]))?;
        root.mount("dev/mqueue", &NewMount { kind: "mqueue", attributes: NO_SUID_EXEC_DEV, options: &[] })?;
        root.mount("run", &memory(&[("mode", "0755")]))?;
        Ok(console)
    }
}

/// Another mount of the host's `/sys`, detached and read-only, without what is mounted in it: sysfs belongs to a network
/// namespace, and the kernel lets nobody mount one who does not own that. LXC has its users bind the host's, too.
pub(super) fn clone_of_sys() -> Result<OwnedFd, StartFailure> {
    let step = || "cannot clone the host's `/sys`".to_owned();
    let place = open("/sys", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).step(step)?;
    let sys = clone_of(place.as_fd()).step(step)?;
    set_read_only(sys.as_fd()).step(step)?;
    Ok(sys)
}

/// Opens the container's console in its own devpts, and mounts it on `/dev/console`.
fn mount_console(root: &GuestRoot) -> Result<Pty, StartFailure> {
    let console = open_pty(root.open("dev/pts", OFlags::DIRECTORY)?).step(|| "cannot open the console".to_owned())?;
    let terminal = clone_of(console.slave.as_fd()).step(|| "cannot open the console".to_owned())?;
    root.attach_at(terminal.as_fd(), "dev/console")?;
    Ok(console)
}

/// Like the console of a guest's start, in one that runs: it gets a new terminal in place of the dead one.
pub(super) fn remount_console(root: &GuestRoot) -> Result<Pty, StartFailure> {
    let place = root.open("dev/console", OFlags::empty())?;
    // Left below the new one, there would be one more with every monitor that is killed.
    if is_in_devpts(&place).step(|| "cannot look at `/dev/console`".to_owned())? {
        unmount("/dev/console", UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .step(|| "cannot unmount `/dev/console`".to_owned())?;
    }
    let console = mount_console(root)?;
    match is_in_devpts(&console.master) {
        Ok(true) => Ok(console),
        // The guest may have put anything in the place of its devpts.
        Ok(false) => Err("it is no terminal".to_owned()).step(|| "cannot open the console".to_owned()),
        Err(error) => Err(error).step(|| "cannot open the console".to_owned()),
    }
}

fn is_in_devpts(file: &OwnedFd) -> rustix::io::Result<bool> {
    Ok(fstatfs(file)?.f_type == DEVPTS)
}

/// Makes the host's kernel parameters read-only, but for those of the container's own network, as LXC's
/// `lxc.mount.auto = proc:mixed` does.
fn protect_parameters(root: &GuestRoot) -> Result<(), StartFailure> {
    let step = || "cannot make `/proc/sys` read-only".to_owned();
    let network = clone_of(root.open("proc/sys/net", OFlags::empty())?.as_fd()).step(step)?;
    let all = clone_of(root.open("proc/sys", OFlags::empty())?.as_fd()).step(step)?;
    set_read_only(all.as_fd()).step(step)?;
    root.attach_at(all.as_fd(), "proc/sys")?;
    root.attach_at(network.as_fd(), "proc/sys/net")
}

/// Covers files with `/dev/null`, directories with an empty one, and forbids to write to the rest. The guest's root
/// could uncover them: against it stands the kernel, which lets nobody of its user namespace use them. They are for
/// programs that look, and for privileged containers that dropped `CAP_SYS_ADMIN`.
fn mask(root: &GuestRoot) -> Result<(), StartFailure> {
    let null = root.open("dev/null", OFlags::empty())?;
    for path in MASKED_FILES {
        if root.open_if_there(path)?.is_some() {
            let cover = clone_of(null.as_fd()).step(|| format!("cannot cover `/{path}`"))?;
            root.attach_at(cover.as_fd(), path)?;
        }
    }
    let attributes = NO_SUID_EXEC_DEV | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let empty = NewMount { kind: "tmpfs", attributes, options: &[("mode", "0555"), ("size", "4k")] };
    let empty = empty.open().step(|| "cannot make an empty directory".to_owned())?;
    // Until Linux 6.15, only a mount that is attached can be cloned: the first place takes the mount itself.
    let mut is_attached = false;
    for path in MASKED_DIRS {
        if root.open_if_there(path)?.is_none() {
            continue;
        }
        if is_attached {
            let cover = clone_of(empty.as_fd()).step(|| format!("cannot cover `/{path}`"))?;
            root.attach_at(cover.as_fd(), path)?;
        } else {
            root.attach_at(empty.as_fd(), path)?;
            is_attached = true;
        }
    }
    for path in READ_ONLY {
        if let Some(place) = root.open_if_there(path)? {
            let step = || format!("cannot make `/{path}` read-only");
            let same = clone_of(place.as_fd()).step(step)?;
            set_read_only(same.as_fd()).step(step)?;
            root.attach_at(same.as_fd(), path)?;
        }
    }
    Ok(())
}

/// Another mount of the file or directory `place`.
fn clone_of(place: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    copy_of_mount(place, Path::new(""))
}

/// Whether the image has a device manager that needs a writable `/sys`.
pub(super) fn has_udev(root: &RootDir) -> bool {
    ["/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "/sbin/udevd", "/usr/bin/udevadm"]
        .iter()
        .any(|path| root.metadata_followed(std::path::Path::new(path)).is_ok_and(|found| found.is_some()))
}
