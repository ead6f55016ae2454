//! What a guest sees of the machine, cut to its own limits by lxcfs(1) where that runs on the host: its memory and
//! processors, and since when it is up. Without it a guest sees the host's.

use std::fs::read_dir;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, statfs};

use crate::sys::copy_of_mount;

/// Where packages of lxcfs mount it.
const LXCFS: &str = "/var/lib/lxcfs";

/// The magic number of FUSE (statfs(2)).
const FUSE: i64 = 0x6573_5546;

/// A file or directory in place of the kernel's own.
pub(super) struct View {
    /// Detached.
    pub(super) mount: OwnedFd,
    /// What it covers in the guest, relative to its root.
    pub(super) place: String,
}

/// All views of lxcfs; none where it does not run.
pub(super) fn views() -> Vec<View> {
    // One that was killed does not answer.
    if !statfs(LXCFS).is_ok_and(|found| found.f_type == FUSE) {
        return Vec::new();
    }
    let names = read_dir(Path::new(LXCFS).join("proc")).into_iter().flatten().filter_map(Result::ok);
    let files = names.filter_map(|entry| Some(format!("proc/{}", entry.file_name().to_str()?)));
    files.chain(["sys/devices/system/cpu".to_owned()]).filter_map(view).collect()
}

fn view(place: String) -> Option<View> {
    let mount = copy_of_mount(CWD, &Path::new(LXCFS).join(&place)).ok()?;
    Some(View { mount, place })
}
