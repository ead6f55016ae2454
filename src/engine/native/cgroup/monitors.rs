//! The group of the monitors, beside the containers'.
//!
//! Whoever runs fleet may be a service or a login session, whose end kills everything in its group (systemd.kill(5),
//! logind.conf(5) `KillUserProcesses`). Containers are in groups of their own; what looks after them has to leave too.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::Hierarchies;
use super::group::{child_dirs, is_cpuset, make};

/// The name of the group. No container can have it.
const MONITORS: &str = ".monitors";

/// How long the last monitor may take to end, and the kernel to let go of it.
const END_DEADLINE: Duration = Duration::from_secs(1);

impl Hierarchies {
    /// Moves the calling, single-threaded process into the group of the monitors under the group `parent`, in every
    /// hierarchy of version 1. Returns the directory of that of version 2, for clone3(2): there is no cheap way for a
    /// process to move itself in version 2, it would wait for every processor of the host, some 10 ms.
    pub(in crate::engine::native) fn enter_monitors(&self, parent: &str) -> io::Result<Option<OwnedFd>> {
        self.make_parent(parent)?;
        for (mount, controllers) in &self.v1 {
            let dir = mount.join(parent).join(MONITORS);
            make(&dir, is_cpuset(controllers))?;
            fs::write(dir.join("tasks"), "0")?;
        }
        let Some((mount, _)) = &self.v2 else { return Ok(None) };
        let dir = mount.join(parent).join(MONITORS);
        make(&dir, false)?;
        Ok(Some(File::open(dir)?.into()))
    }

    /// Removes the group `parent` itself from every hierarchy, unless containers or monitors are still in it. A monitor
    /// removes what it has recorded before it ends, so the last one may be about to: it is waited for.
    pub(in crate::engine::native) fn remove_parent(&self, parent: &str) {
        let deadline = Instant::now() + END_DEADLINE;
        for mount in self.v1.iter().map(|(mount, _)| mount).chain(self.v2.iter().map(|(mount, _)| mount)) {
            let parent = mount.join(parent);
            if !has_containers(&parent) && remove_before(&parent.join(MONITORS), deadline) {
                let _ = fs::remove_dir(&parent);
            }
        }
    }
}

/// Whether a group other than that of the monitors is in the group `parent`.
fn has_containers(parent: &Path) -> bool {
    child_dirs(parent).iter().any(|dir| dir.file_name().is_some_and(|name| name != MONITORS))
}

/// Removes a group when the last process in it has ended; false if one has not by `deadline`.
fn remove_before(dir: &Path, deadline: Instant) -> bool {
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(_) if Instant::now() > deadline => return false,
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}
