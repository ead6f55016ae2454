//! The group of one container in all hierarchies: made, filled, emptied, removed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Hierarchies;
use super::limits::{ControllerDir, LimitFiles};
use super::tree::{pids_below, remove_tree};
use crate::model::{Bytes, Limits};
use crate::sys::{self, AllowedDevice, CloneRequest, Cloned, clone_into};

/// Controllers that a container's group gets in version 2, as far as the host has them.
const V2_CONTROLLERS: [&str; 6] = ["memory", "cpu", "pids", "cpuset", "io", "hugetlb"];

/// The group of commands run from outside, in the guest's part of version 2: it may not be `guest` itself, which takes
/// no processes once controllers are enabled for its children, and its guest's init may be about to enable them.
const VISITORS: &str = "fleet.exec";

/// What a guest may have below its group in version 2, and the files that say so: far more than an init with users and
/// their services has, also if there are containers in it. Each group costs the host memory that counts for nobody, and
/// the time that it takes to go through all of them.
const MOST_BELOW: [(&str, &str); 2] = [("cgroup.max.depth", "32"), ("cgroup.max.descendants", "10000")];

/// How long the kernel gets to let go of a group's last processes.
pub(super) const EMPTY_DEADLINE: Duration = Duration::from_secs(10);

/// The group of one container.
#[derive(Debug, Clone)]
pub(in crate::engine::native) struct Group {
    hierarchies: Hierarchies,
    parent: String,
    name: String,
}

impl Group {
    /// The group of container `name` under the group `parent`.
    pub(in crate::engine::native) fn new(hierarchies: &Hierarchies, parent: &str, name: &str) -> Group {
        Group { hierarchies: hierarchies.clone(), parent: parent.to_owned(), name: name.to_owned() }
    }

    fn v1_dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies.v1.iter().map(|(mount, _)| mount.join(&self.parent).join(&self.name))
    }

    pub(super) fn v2_dir(&self) -> Option<PathBuf> {
        self.hierarchies.v2.as_ref().map(|(mount, _)| mount.join(&self.parent).join(&self.name))
    }

    pub(super) fn v1_dir(&self, controller: &str) -> Option<PathBuf> {
        self.hierarchies.v1_with(controller).map(|mount| mount.join(&self.parent).join(&self.name))
    }

    fn limit_files(&self) -> LimitFiles {
        let dir = |controller: &str| {
            if let Some(dir) = self.v1_dir(controller) {
                return Some(ControllerDir::V1(dir));
            }
            let (mount, controllers) = self.hierarchies.v2.as_ref()?;
            let is_there = controllers.iter().any(|one| one == controller);
            is_there.then(|| ControllerDir::V2(mount.join(&self.parent).join(&self.name)))
        };
        LimitFiles {
            memory: dir("memory"),
            cpu: dir("cpu"),
            cpuset: dir("cpuset"),
            pids: dir("pids"),
            io: dir("io").or_else(|| dir("blkio")),
            disk: self.hierarchies.disk,
        }
    }

    /// Makes the group everywhere with its limits, before anything runs in it, and gives the guest's part of
    /// version 2 to the guest's root, `owner`.
    pub(in crate::engine::native) fn create(&self, limits: &Limits, owner: u32) -> io::Result<()> {
        let age = match self.make_dirs(owner) {
            // Whoever starts a monitor has made it already. It is missing where somebody has cleared up by hand.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.hierarchies.make_parent(&self.parent)?;
                self.make_dirs(owner)?
            }
            made => made?,
        };
        match age {
            Age::New => self.limit_files().set_first(limits),
            Age::Old => self.set_limits(limits),
        }
    }

    fn make_dirs(&self, owner: u32) -> io::Result<Age> {
        let mut age = Age::New;
        for (mount, controllers) in &self.hierarchies.v1 {
            age = age.max(make(&mount.join(&self.parent).join(&self.name), is_cpuset(controllers))?);
        }
        if let Some((mount, controllers)) = &self.hierarchies.v2 {
            let group = mount.join(&self.parent).join(&self.name);
            age = age.max(make(&group, false)?);
            bound(&group)?;
            enable(&group, controllers);
            make(&group.join("exec"), false)?;
            let guest = group.join("guest");
            make(&guest, false)?;
            delegate(&guest, owner)?;
        }
        Ok(age)
    }

    /// Lets the container's processes use only `devices`, and make nodes of any. Where the host has version 1 of the
    /// device controller (Documentation/admin-guide/cgroup-v1/devices.rst), by it.
    pub(in crate::engine::native) fn allow_only(&self, devices: &[AllowedDevice]) -> io::Result<()> {
        let Some(mount) = self.hierarchies.v1_with("devices") else {
            let Some(dir) = self.v2_dir() else { return Err(io::Error::other("this host has no device controller")) };
            return sys::allow_only(File::open(dir)?.as_fd(), devices);
        };
        let dir = mount.join(&self.parent).join(&self.name);
        fs::write(dir.join("devices.deny"), "a")?;
        let lines = devices.iter().map(|device| {
            let kind = if device.is_block { 'b' } else { 'c' };
            let minor = device.minor.map_or_else(|| "*".to_owned(), |minor| minor.to_string());
            format!("{kind} {}:{minor} rwm", device.major)
        });
        for line in ["c *:* m".to_owned(), "b *:* m".to_owned()].into_iter().chain(lines) {
            fs::write(dir.join("devices.allow"), line)?;
        }
        Ok(())
    }

    /// Sets the limits.
    pub(in crate::engine::native) fn set_limits(&self, limits: &Limits) -> io::Result<()> {
        self.limit_files().set(limits)
    }

    /// The limits in force, of a container that `asked` was asked for.
    pub(in crate::engine::native) fn limits(&self, asked: &Limits) -> Limits {
        self.limit_files().read(asked)
    }

    /// Memory in use.
    pub(in crate::engine::native) fn memory_used(&self) -> Option<Bytes> {
        self.limit_files().memory_used()
    }

    /// The guest's directory in version 2, for clone3(2); `None` on a host without version 2.
    pub(in crate::engine::native) fn open_guest_dir(&self) -> io::Result<Option<OwnedFd>> {
        self.v2_dir().map(|dir| open_group(&dir.join("guest"))).transpose()
    }

    /// The files through which a thread enters the groups of version 1: it writes `0`. Moving itself by `tasks` is
    /// much cheaper than having its parent write `cgroup.procs`, which waits for a lock of the whole system.
    pub(in crate::engine::native) fn open_v1_tasks(&self) -> io::Result<Vec<File>> {
        self.v1_dirs().map(|dir| OpenOptions::new().write(true).open(dir.join("tasks"))).collect()
    }

    /// Runs `child` in a new process in the group of version 2, beside the guest's own processes, which then enters
    /// those of version 1 by [`Group::enter_v1`]. It is made there: a process that moves itself in version 2 waits for
    /// every processor of the host, some 10 ms. The caller has one thread.
    pub(in crate::engine::native) fn fork_inside(&self, child: impl Fn() -> u8) -> io::Result<Cloned> {
        let make = |group: Option<OwnedFd>| {
            clone_into(CloneRequest { namespaces: 0, cgroup: group.as_ref().map(OwnedFd::as_fd) }, &child)
        };
        let Some(dir) = self.v2_dir() else { return make(None) };
        if let Some(visible) = visitors(&dir)
            && let Ok(made) = make(Some(open_group(&visible)?))
        {
            return Ok(made);
        }
        make(Some(open_group(&dir.join("exec"))?))
    }

    /// Moves the calling, single-threaded process into the groups of version 1.
    pub(in crate::engine::native) fn enter_v1(&self) -> io::Result<()> {
        self.open_v1_tasks()?.iter_mut().try_for_each(|tasks| tasks.write_all(b"0"))
    }

    /// The same but for the group that counts processes: in there, a child of the caller's may be one too many.
    pub(in crate::engine::native) fn enter_v1_uncounted(&self) -> io::Result<()> {
        let counted = self.v1_dir("pids");
        let mut dirs = self.v1_dirs().filter(|dir| Some(dir) != counted.as_ref());
        dirs.try_for_each(|dir| fs::write(dir.join("tasks"), "0"))
    }

    /// The files through which a process moves itself into the groups that count processes, and into that of version 2: it
    /// writes `0`. Who comes is counted and not refused (Documentation/admin-guide/cgroup-v2.rst, PID).
    pub(in crate::engine::native) fn open_counted(&self) -> io::Result<Vec<File>> {
        let v1 = self.v1_dir("pids").map(|dir| dir.join("tasks"));
        let v2 = self.v2_dir().map(|dir| visitors(&dir).unwrap_or_else(|| dir.join("exec")).join("cgroup.procs"));
        v1.into_iter().chain(v2).map(|path| OpenOptions::new().write(true).open(path)).collect()
    }

    /// Whether a process is in the group or below it.
    pub(in crate::engine::native) fn is_populated(&self) -> bool {
        match self.v2_dir() {
            Some(dir) => fs::read_to_string(dir.join("cgroup.events")).is_ok_and(|text| text.contains("populated 1")),
            None => self.v1_dirs().any(|dir| !pids_below(&dir).is_empty()),
        }
    }

    /// Kills every process in the group and waits until they are gone.
    pub(in crate::engine::native) fn kill(&self) -> io::Result<()> {
        let started = Instant::now();
        while self.is_populated() {
            if started.elapsed() > EMPTY_DEADLINE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not die"));
            }
            let is_killed = self.v2_dir().is_some_and(|dir| fs::write(dir.join("cgroup.kill"), "1").is_ok());
            if !is_killed {
                self.kill_one_by_one();
            }
            // In version 1 what is frozen does not even die.
            let _ = self.thaw();
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// For hosts without version 2 or with a kernel before 5.14, which has no `cgroup.kill`.
    fn kill_one_by_one(&self) {
        for pid in self.v1_dirs().chain(self.v2_dir()).flat_map(|dir| pids_below(&dir)) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }

    /// Removes the group, whose processes are gone, from every hierarchy, with what the guest made below it. One where it
    /// cannot be removed does not keep the others.
    pub(in crate::engine::native) fn remove(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for dir in self.v1_dirs().chain(self.v2_dir()) {
            outcome = outcome.and(remove_tree(&dir));
        }
        outcome
    }
}

impl Hierarchies {
    /// Makes the group `parent`, in which containers and monitors have theirs, in every hierarchy. Its controllers
    /// are enabled while nothing is in it: with processes in it, the kernel would lock all of the host's for 10 ms.
    pub(super) fn make_parent(&self, parent: &str) -> io::Result<()> {
        for (mount, controllers) in &self.v1 {
            make(&mount.join(parent), is_cpuset(controllers))?;
        }
        let Some((mount, controllers)) = &self.v2 else { return Ok(()) };
        enable(mount, controllers);
        make(&mount.join(parent), false)?;
        enable(&mount.join(parent), controllers);
        Ok(())
    }
}

/// The group of commands run from outside in the container's group `dir` of version 2, made if it is missing. `None` where
/// the guest made one in its place: that may be frozen, or take no processes.
fn visitors(dir: &Path) -> Option<PathBuf> {
    let visible = dir.join("guest").join(VISITORS);
    let is_ours = match fs::create_dir(&visible) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::symlink_metadata(&visible).is_ok_and(|metadata| metadata.uid() == 0)
        }
        other => other.is_ok(),
    };
    is_ours.then_some(visible)
}

/// Opens the directory of a group of version 2, for clone3(2).
fn open_group(dir: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir)?.into())
}

/// Whether a hierarchy of version 1 has the controller that needs values before it takes processes.
pub(super) fn is_cpuset(controllers: &[String]) -> bool {
    controllers.iter().any(|one| one == "cpuset")
}

/// The names of all groups under the group `parent`, in any hierarchy.
pub(in crate::engine::native) fn groups_of(hierarchies: &Hierarchies, parent: &str) -> BTreeSet<String> {
    let mounts = hierarchies.v1.iter().map(|(mount, _)| mount).chain(hierarchies.v2.iter().map(|(mount, _)| mount));
    mounts
        .flat_map(|mount| child_dirs(&mount.join(parent)))
        .filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// Since when a group has been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    /// It was just made: its files say what the kernel begins with.
    New,
    /// Earlier.
    Old,
}

/// Makes the directory `dir` of a hierarchy. In version 1, cpuset starts without a processor and without memory
/// nodes and then refuses processes: it inherits its parent's.
pub(super) fn make(dir: &Path, is_cpuset_v1: bool) -> io::Result<Age> {
    let age = match fs::create_dir(dir) {
        Ok(()) => Age::New,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Age::Old,
        Err(error) => return Err(error),
    };
    if is_cpuset_v1 {
        for file in ["cpuset.mems", "cpuset.cpus"] {
            if fs::read_to_string(dir.join(file))?.trim().is_empty() {
                let inherited = fs::read_to_string(dir.with_file_name(file))?;
                fs::write(dir.join(file), inherited)?;
            }
        }
    }
    Ok(age)
}

/// Lets the children of `dir` use the controllers. One that cannot be had is noticed when a limit needs it.
fn enable(dir: &Path, controllers: &[String]) {
    let file = dir.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    for controller in V2_CONTROLLERS {
        let is_there = controllers.iter().any(|one| one == controller);
        if is_there && !enabled.split_ascii_whitespace().any(|one| one == controller) {
            let _ = fs::write(&file, format!("+{controller}"));
        }
    }
}

/// Bounds how many groups may be made below the group `dir` of version 2.
fn bound(dir: &Path) -> io::Result<()> {
    for (file, most) in MOST_BELOW {
        match OpenOptions::new().write(true).open(dir.join(file)).and_then(|mut file| file.write_all(most.as_bytes())) {
            // Before Linux 4.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}

/// Gives `dir` to `owner` as the kernel says it is to be done (cgroups(7), "Cgroups delegation"): the directory and
/// the files that `/sys/kernel/cgroup/delegate` lists, never those of the limits.
fn delegate(dir: &Path, owner: u32) -> io::Result<()> {
    chown(dir, Some(owner), Some(owner))?;
    let files = fs::read_to_string("/sys/kernel/cgroup/delegate")
        .unwrap_or_else(|_| "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n".to_owned());
    for file in files.lines() {
        match chown(dir.join(file), Some(owner), Some(owner)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
