//! A new console for a guest that runs: the old one's other end died with its monitor.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::cgroup::Group;
use super::failure::{StartFailure, Step as _};
use super::system_mounts::remount_console;
use super::visit::visit;

/// Opens a terminal in the guest with the cgroups `group` whose init is behind `init`, and mounts it on the guest's
/// `/dev/console`. Returns the master end. The caller has one thread.
pub(super) fn reopen_console(group: &Group, init: &OwnedFd) -> Result<OwnedFd, StartFailure> {
    let step = || "cannot open a new console in the guest".to_owned();
    // Devices that a privileged guest may not use shall not be opened for it either.
    let in_its_groups = |work: &dyn Fn() -> u8| group.fork_inside(|| if group.enter_v1().is_ok() { work() } else { 1 });
    let master = visit(init, in_its_groups, |root| Ok(Some(remount_console(root)?.master)));
    let master = master.map_err(|failure| StartFailure { step: step(), why: failure.to_string(), ..failure })?;
    master.ok_or("no terminal came").step(step)
}

/// The console that the attendant `pid` behind `init` has kept open, for its program has no other.
pub(super) fn kept_console(pid: u32, init: &OwnedFd) -> Result<OwnedFd, StartFailure> {
    let step = || "cannot take over the guest's console".to_owned();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).step(step)? {
        let entry = entry.step(step)?;
        let is_master = fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("ptmx"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (true, Some(number)) = (is_master, number) {
            return pidfd_getfd(init, number, PidfdGetfdFlags::empty()).step(step);
        }
    }
    Err("it is not there".to_owned()).step(step)
}
