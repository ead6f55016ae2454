//! Overlays of directories that are open (Documentation/filesystems/overlayfs.rst).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::fchdir;

/// The longest value of an option as text, in bytes (`fsconfig(2)`).
const LONGEST_VALUE: usize = 255;

/// The most layers that are stacked: where each is an option of its own, a little less than the kernel's own 500; where
/// their numbers share one text, as many as have room in it with a few hundred files open.
const MOST_LOWERS: usize = 490;
const MOST_LOWERS_IN_TEXT: usize = 60;

/// Directories to be laid one upon the other.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// What nobody writes to, the topmost first.
    pub lowers: &'a [BorrowedFd<'a>],
    /// Where changes go, if there may be any: the directory for them, and one of the same mount to prepare them in.
    pub upper: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// What the device files in it are.
    pub devices: Devices,
}

/// What device files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// Files that nobody can open.
    Dead,
    /// Ways to their devices, for who may go there.
    Usable,
}

/// How a kernel is told of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// By descriptors, since Linux 6.13.
    Descriptors,
    /// By paths, a lower one for each option, since Linux 6.7.
    Paths,
    /// By paths, all lower ones in one option.
    OnePath,
}

impl Overlay<'_> {
    /// Mounts it, detached. Before Linux 6.15 every layer must be attached in the caller's mount namespace.
    ///
    /// The working directory changes meanwhile, where the kernel takes paths alone.
    pub fn mount(self) -> io::Result<OwnedFd> {
        match self.mount_by(Means::Descriptors) {
            Err(error) if is_unknown(&error) => {}
            other => return other,
        }
        match self.mount_by(Means::Paths) {
            Err(error) if is_unknown(&error) => self.mount_by(Means::OnePath),
            other => other,
        }
    }

    /// The same for a process with several threads, whose working directory stays.
    pub fn mount_aside(self) -> io::Result<OwnedFd> {
        match self.mount_by(Means::Descriptors) {
            Err(error) if is_unknown(&error) => thread::scope(|scope| {
                let mount = || {
                    unshare(CloneFlags::CLONE_FS)?;
                    self.mount()
                };
                let thread = thread::Builder::new().spawn_scoped(scope, mount)?;
                thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
            }),
            other => other,
        }
    }

    fn mount_by(self, means: Means) -> io::Result<OwnedFd> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let fd = context.as_fd();
        fsconfig_set_string(fd, "source", "fleet")?;
        let upper = self.upper.map(|(upper, work)| [("upperdir", upper), ("workdir", work)]);
        if means == Means::Descriptors {
            for lower in self.lowers {
                fsconfig_set_fd(fd, "lowerdir+", lower)?;
            }
            for (key, layer) in upper.into_iter().flatten() {
                fsconfig_set_fd(fd, key, layer)?;
            }
            return self.create(fd);
        }
        // Where the working directory is the list of open files, a file's number is its path: short, and nothing in it
        // ends an option.
        let here = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        fchdir(open("/proc/self/fd", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?;
        let mounted = self.set_paths(fd, means, upper).and_then(|()| self.create(fd));
        fchdir(here)?;
        mounted
    }

    fn set_paths(self, fd: BorrowedFd<'_>, means: Means, upper: Option<[(&str, BorrowedFd<'_>); 2]>) -> io::Result<()> {
        let lowers: Vec<String> = self.lowers.iter().map(number).collect();
        if means == Means::Paths {
            for lower in &lowers {
                fsconfig_set_string(fd, "lowerdir+", lower.as_str())?;
            }
        } else {
            let all = lowers.join(":");
            if all.len() > LONGEST_VALUE {
                return Err(io::Error::other(format!("this kernel cannot stack {} layers", lowers.len())));
            }
            fsconfig_set_string(fd, "lowerdir", all.as_str())?;
        }
        for (key, layer) in upper.into_iter().flatten() {
            fsconfig_set_string(fd, key, number(&layer).as_str())?;
        }
        Ok(())
    }

    /// The options are the same whoever mounts it, because redirects and the like are written into the layer.
    fn create(self, fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        if self.upper.is_some() {
            fsconfig_set_string(fd, "redirect_dir", "on")?;
        }
        fsconfig_set_string(fd, "xino", "auto")?;
        fsconfig_create(fd)?;
        let attributes = match self.devices {
            Devices::Dead => MountAttrFlags::MOUNT_ATTR_NODEV,
            Devices::Usable => MountAttrFlags::empty(),
        };
        let mount = fsmount(fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        // overlayfs falls back to read-only with a word in the kernel's log alone.
        if self.upper.is_some() && fstatvfs(&mount)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(io::Error::other("overlayfs made it read-only (the kernel's log says why)"));
        }
        Ok(mount)
    }
}

/// How many lower layers this kernel stacks.
pub fn most_overlay_lowers() -> io::Result<usize> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Before Linux 6.5 it takes any text, and looks at it when it is mounted.
    if fsconfig_set_fd(&context, "lowerdir+", &context) == Err(Errno::OPNOTSUPP) {
        return Ok(MOST_LOWERS_IN_TEXT);
    }
    match fsconfig_set_string(&context, "lowerdir+", "/") {
        Ok(()) => Ok(MOST_LOWERS),
        Err(Errno::INVAL) => Ok(MOST_LOWERS_IN_TEXT),
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel may not have known what it was told. It says the same of layers that it does not take. Before
/// Linux 6.13 it refuses every descriptor of a place (`O_PATH`) as none at all; before 6.5, overlayfs takes none.
fn is_unknown(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP))
}

fn number(fd: &impl AsFd) -> String {
    fd.as_fd().as_raw_fd().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// As the kernels of Debian 12 (one path), of Debian 13 (paths) and newer ones are told of layers.
    #[test]
    fn layers_are_stacked_by_every_means() {
        // Other tests have the same working directory.
        unshare(CloneFlags::CLONE_FS).expect("a working directory of its own");
        let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let make = |name: &str| {
            fs::create_dir(dir.path().join(name)).expect("a directory");
            open(dir.path().join(name), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("it opens")
        };
        let lowers: Vec<OwnedFd> = (0..40).map(|n| make(&n.to_string())).collect();
        for (number, name) in [(0, "both"), (39, "both"), (39, "lowest")] {
            fs::write(dir.path().join(number.to_string()).join(name), number.to_string()).expect("written");
        }
        let (upper, work) = (make("upper"), make("work"));
        let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
        let here = std::env::current_dir().expect("it has one");
        for means in [Means::Descriptors, Means::Paths, Means::OnePath] {
            for upper in [None, Some((upper.as_fd(), work.as_fd()))] {
                let mount = Overlay { lowers: &lowers, upper, devices: Devices::Dead }.mount_by(means);
                let mount = mount.unwrap_or_else(|error| panic!("{means:?}: {error}"));
                let read = |name: &str| {
                    let path = format!("/proc/self/fd/{}/{name}", mount.as_raw_fd());
                    fs::read_to_string(path).expect("readable")
                };
                assert_eq!([read("both"), read("lowest")], ["0", "39"], "{means:?}");
            }
        }
        assert_eq!(std::env::current_dir().expect("it has one"), here);
        assert_eq!(most_overlay_lowers().expect("an overlay file system"), MOST_LOWERS);
    }
}
