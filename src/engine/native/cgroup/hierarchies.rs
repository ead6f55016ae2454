//! Which hierarchies the host has mounted, and where.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::io::Disk;
use crate::model::{IoLimits, Limits};

/// The cgroup hierarchies of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::engine::native) struct Hierarchies {
    /// Version 1: mount point and controllers of each; a named one such as `name=systemd` has no controller.
    pub(super) v1: Vec<(PathBuf, Vec<String>)>,
    /// Version 2: its mount point, and the controllers that are not bound to version 1.
    pub(super) v2: Option<(PathBuf, Vec<String>)>,
    /// The disk that containers' files lie on, as far as there is one.
    pub(super) disk: Option<Disk>,
}

impl Hierarchies {
    /// Reads them from `/proc/self/mountinfo`. `containers` is where containers' files lie.
    pub(in crate::engine::native) fn detect(containers: &Path) -> io::Result<Hierarchies> {
        let mut found = Hierarchies::parse(&fs::read_to_string("/proc/self/mountinfo")?);
        found.disk = Disk::under(containers);
        if found.v2.is_none() && !found.v1.is_empty() {
            found.v2 = own_v2_mount().map(|mount| (mount.to_owned(), Vec::new()));
        }
        if let Some((mount, controllers)) = &mut found.v2 {
            let text = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
            *controllers = text.split_ascii_whitespace().map(str::to_owned).collect();
        }
        Ok(found)
    }

    /// Reads them from the text of a mountinfo file (`proc_pid_mountinfo(5)`); the first mount of each counts.
    pub(in crate::engine::native) fn parse(mountinfo: &str) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mountinfo.lines() {
            let Some((mount, file_system)) = line.split_once(" - ") else { continue };
            let Some(point) = mount.split(' ').nth(4) else { continue };
            let mut fields = file_system.split(' ');
            let (kind, options) = (fields.next(), fields.nth(1).unwrap_or_default());
            match kind {
                Some("cgroup2") if found.v2.is_none() => found.v2 = Some((point.into(), Vec::new())),
                Some("cgroup") => {
                    let controllers: Vec<String> =
                        options.split(',').filter(|option| KNOWN_V1.contains(option)).map(str::to_owned).collect();
                    let is_seen = found.v1.iter().any(|(seen, known)| {
                        seen == Path::new(point) || (!controllers.is_empty() && *known == controllers)
                    });
                    if !is_seen {
                        found.v1.push((point.into(), controllers));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The version 1 mount point of `controller`, if it is bound to version 1.
    pub(super) fn v1_with(&self, controller: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(_, controllers)| controllers.iter().any(|one| one == controller))
            .map(|(p, _)| p.as_path())
    }

    /// Whether the host has version 2, alone or beside version 1.
    pub(in crate::engine::native) fn has_v2(&self) -> bool {
        self.v2.is_some()
    }

    /// Whether limits on `controller` can be set on this host.
    pub(in crate::engine::native) fn can_limit(&self, controller: &str) -> bool {
        self.v1_with(controller).is_some()
            || (controller == "io" && self.v1_with("blkio").is_some())
            || self.v2.as_ref().is_some_and(|(_, controllers)| controllers.iter().any(|one| one == controller))
    }
}

impl Hierarchies {
    /// What this host's controllers, which are there, cannot do of `limits`: what, and the fix.
    pub(in crate::engine::native) fn lacking_files<'a>(
        &self,
        limits: impl Iterator<Item = &'a Limits>,
    ) -> Vec<(String, &'static str)> {
        let limits: Vec<&Limits> = limits.collect();
        let any = |is_used: fn(&Limits) -> bool| limits.iter().any(|limits| is_used(limits));
        let mut lacking = Vec::new();
        if let Some(memory) = self.v1_with("memory") {
            if any(|limits| limits.memory_high.is_some()) {
                lacking.push((
                    "`memory_high` needs the memory controller in cgroup version 2, and this host has version 1".into(),
                    "leave it out, or boot with systemd.unified_cgroup_hierarchy=1",
                ));
            }
            if any(|limits| limits.swap.is_some() && limits.memory.is_none()) {
                lacking.push((
                    "cgroup version 1 limits swap only together with memory".into(),
                    "set `memory` where `swap` is set",
                ));
            }
            let counts_swap = memory.join("memory.memsw.limit_in_bytes").exists();
            if !counts_swap && any(|limits| limits.swap.is_some()) {
                lacking.push(("the kernel does not count swap".into(), "boot with swapaccount=1"));
            }
        }
        if self.v1_with("blkio").is_some()
            && !self.disk.is_some_and(Disk::has_shares)
            && any(|limits| limits.io_weight.is_some())
        {
            lacking.push((
                "`io_weight` needs the bfq scheduler on a host with cgroup version 1".into(),
                "leave it out, or choose bfq in /sys/block/DISK/queue/scheduler",
            ));
        }
        if self.disk.is_none() && any(|limits| limits.io != IoLimits::default()) {
            let what = "the containers' files lie on no single disk whose use could be limited";
            lacking.push((what.into(), "leave `io` out, or use --root with a directory on a disk"));
        }
        lacking
    }
}

/// A mount of version 2 that only this process and its children see, for hosts that have mounted version 1 alone: the
/// kernel has the tree all the same, and guests need it.
struct OwnMount {
    /// What keeps it.
    fd: OwnedFd,
    path: PathBuf,
}

static OWN_MOUNT: OnceLock<Option<OwnMount>> = OnceLock::new();

/// The directory of that mount; `None` if the kernel does not know version 2.
fn own_v2_mount() -> Option<&'static Path> {
    let mount = || -> rustix::io::Result<OwnMount> {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        let fd = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd()).into();
        Ok(OwnMount { fd, path })
    };
    OWN_MOUNT.get_or_init(|| mount().ok()).as_ref().map(|mount| mount.path.as_path())
}

/// What a process that goes on using [`Hierarchies`] must keep open, if anything.
pub(in crate::engine::native) fn to_keep_open() -> Option<BorrowedFd<'static>> {
    OWN_MOUNT.get()?.as_ref().map(|mount| mount.fd.as_fd())
}

/// The controllers of version 1; other words among the options of a mount are not controllers.
const KNOWN_V1: [&str; 13] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "net_cls",
    "net_prio",
    "perf_event",
    "hugetlb",
    "rdma",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_has_both_versions() {
        let found = Hierarchies::parse(
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        assert_eq!(
            found,
            Hierarchies {
                v1: vec![
                    ("/sys/fs/cgroup/cpu,cpuacct".into(), vec!["cpu".into(), "cpuacct".into()]),
                    ("/sys/fs/cgroup/systemd".into(), vec![]),
                ],
                v2: Some(("/sys/fs/cgroup/unified".into(), vec![])),
                disk: None,
            }
        );
        assert_eq!(found.v1_with("cpu"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
    }
}
