//! Stopping all processes of a container where they are, and letting them go on.
//!
//! v2: Documentation/admin-guide/cgroup-v2.rst, `cgroup.freeze`, which also works on the empty tree of a hybrid host;
//! v1: Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Group;

/// How long processes get to reach a place where they can be stopped.
const FREEZE_DEADLINE: Duration = Duration::from_secs(10);

/// The files of one container's freezer, and their words.
struct Freezer {
    /// What is written to, and tells what was asked for.
    control: PathBuf,
    frozen: &'static str,
    thawed: &'static str,
    /// What tells that it is so, and the line that does.
    outcome: PathBuf,
    is_so: &'static str,
}

impl Freezer {
    /// Whether every process stands still.
    fn has_frozen(&self) -> io::Result<bool> {
        Ok(fs::read_to_string(&self.outcome)?.lines().any(|line| line == self.is_so))
    }
}

impl Group {
    /// Those that the host has; fleet freezes by the first. By the other, somebody else may have, as lxc-freeze(1) does.
    fn freezers(&self) -> impl Iterator<Item = Freezer> {
        let v2 = self.v2_dir().map(|dir| {
            let (control, outcome) = (dir.join("cgroup.freeze"), dir.join("cgroup.events"));
            Freezer { control, frozen: "1", thawed: "0", outcome, is_so: "frozen 1" }
        });
        let v1 = self.v1_dir("freezer").map(|dir| {
            let control = dir.join("freezer.state");
            Freezer { outcome: control.clone(), control, frozen: "FROZEN", thawed: "THAWED", is_so: "FROZEN" }
        });
        v2.into_iter().chain(v1)
    }

    /// Stops every process of the group where it is; returns when all stand still. If one does not in time, all go on.
    pub(in crate::engine::native) fn freeze(&self) -> io::Result<()> {
        let none = || io::Error::other("this host has no `freezer` cgroup controller");
        // Those that one freezer has stopped do not get to where the other would have them.
        if self.freezers().any(|freezer| freezer.has_frozen().unwrap_or(false)) {
            return Ok(());
        }
        let freezer = self.freezers().next().ok_or_else(none)?;
        let started = Instant::now();
        loop {
            // Again and again: in version 1, one that forked meanwhile takes another round.
            fs::write(&freezer.control, freezer.frozen)?;
            if freezer.has_frozen()? {
                return Ok(());
            }
            if started.elapsed() > FREEZE_DEADLINE {
                fs::write(&freezer.control, freezer.thawed)?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not stand still"));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets the processes of the group go on. Those of one that is not frozen, or gone, do already.
    pub(in crate::engine::native) fn thaw(&self) -> io::Result<()> {
        self.freezers().try_for_each(|freezer| match fs::write(&freezer.control, freezer.thawed) {
            Err(error) if is_gone(&error) => Ok(()),
            other => other,
        })
    }

    /// Whether the group was frozen: whatever enters it stops.
    pub(in crate::engine::native) fn is_frozen(&self) -> bool {
        self.freezers()
            .any(|freezer| fs::read_to_string(&freezer.control).is_ok_and(|text| text.trim_end() != freezer.thawed))
    }
}

/// Whether `error` says that a group was removed: before its file was opened, or before it was written to.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
